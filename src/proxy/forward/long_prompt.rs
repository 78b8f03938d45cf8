//! A prompt that is too long to be held goes on while it is read, as long as it was: what must not go on is blank.

use super::client_sockets::PromptUnderWay;
use crate::{
    http::{
        body::{Body, BoxError},
        buffered::{BufferBudget, discard},
    },
    mapping::{
        RequestRules,
        json::{HeldMember, MemberFilter},
    },
};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;

/// A body on its way.
pub(super) struct LongPrompt {
    body: Body,
    /// Until it has come to its end.
    filter: Option<MemberFilter>,
    blanks: Blanks,
}

/// What is blanked, and whether the log says so.
struct Blanks {
    request: RequestRules,
    under_way: Arc<PromptUnderWay>,
    unlistable: Option<RequestRules>,
    is_said: bool,
}

impl LongPrompt {
    /// `body`, without a redacted key as `request` says, and without what the server's list fails at. What is held of it counts within
    /// `budget`.
    pub(super) fn new(
        body: Body,
        request: &RequestRules,
        unlistable: Option<&RequestRules>,
        budget: &BufferBudget,
        under_way: Arc<PromptUnderWay>,
    ) -> Self {
        let names = [Some(request), unlistable].into_iter().flatten();
        let names = names.flat_map(RequestRules::outermost).map(str::to_owned);
        Self {
            body,
            // A workflow in it may have whole images in it.
            filter: Some(MemberFilter::new(names.collect(), budget)),
            blanks: Blanks {
                request: request.clone(),
                under_way,
                unlistable: unlistable.cloned(),
                is_said: false,
            },
        }
    }

    /// What goes on of it. It ends with a `BufferError` where more would have to be held than may be.
    pub(super) fn into_body(self) -> Body {
        let frames = stream::try_unfold(self, Self::next);
        let frames = frames.map_ok(|pieces| stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece)))));
        StreamBody::new(frames.try_flatten()).boxed_unsync()
    }

    /// The next pieces. Trailers of a request do not go on (RFC 9110 section 6.5.1).
    async fn next(mut self) -> Result<Option<(Vec<Bytes>, Self)>, BoxError> {
        let Some(mut filter) = self.filter.take() else {
            return Ok(None);
        };
        let piece = self
            .body
            .frame()
            .await
            .transpose()?
            .and_then(|frame| frame.into_data().ok());
        let Some(piece) = piece else {
            let rest = filter.end();
            return Ok(Some((Vec::from_iter((!rest.is_empty()).then_some(rest)), self)));
        };
        match filter.copy(&piece, &mut |member| self.blanks.edit(member)) {
            Ok(pieces) => {
                self.filter = Some(filter);
                Ok(Some((pieces, self)))
            }
            Err(error) => {
                drop(filter);
                discard(self.body).await;
                Err(error.into())
            }
        }
    }
}

impl Blanks {
    fn edit(&mut self, mut member: HeldMember<'_>) {
        if let Some(client) = self.request.client_in(&member) {
            self.under_way.is_of(&client);
        }
        let had_key = self.request.blank(&mut member);
        let unlistable = self.unlistable.as_ref();
        let was_unlistable = unlistable.is_some_and(|rules| rules.blank(&mut member));
        // A member may be there any number of times.
        if had_key && !self.is_said {
            log_redacted_key();
        }
        if was_unlistable && !self.is_said {
            log_unlistable();
        }
        self.is_said |= had_key || was_unlistable;
    }
}

/// Says that a key was taken out that is none.
pub(super) fn log_redacted_key() {
    tracing::warn!(
        "POST /prompt carried a redacted key in place of a key; it was removed: the client seems to resubmit what it read"
    );
}

/// Says that the server does not get all that its client sent.
pub(super) fn log_unlistable() {
    tracing::info!(
        "POST /prompt carried what the server's list fails at (see [prompt] in the dialect's table); the server got it without"
    );
}
