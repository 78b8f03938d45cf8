//! A prompt whose client chose an id that is no UUID (`legacy.ids`).

use super::{
    ForwardedRequest,
    prompt_recorder::{PromptRecorder, Submission, no_room, set_text},
};
use crate::{
    http::{body::Body, body_decoding::decode},
    upstream::UpstreamError,
};
use bytes::Bytes;
use http::{Response, StatusCode, header::ACCEPT_ENCODING, request::Parts};

/// Such a prompt.
pub(super) struct NamedPrompt {
    /// The id.
    pub name: String,
    /// Its head.
    pub head: Parts,
    /// Its body, as it goes on.
    pub sent: Bytes,
}

impl ForwardedRequest<'_> {
    /// Sends a prompt whose id the server may refuse: under a UUID at once where that is known, and otherwise after it was
    /// refused. A refused prompt has done nothing, and what is wrong with it besides is said again.
    pub(super) async fn submit_named<'a, E, F>(
        self,
        prompt: NamedPrompt,
        submission: &mut Submission<'_>,
        elsewhere: Option<E>,
    ) -> Result<Response<Body>, UpstreamError>
    where
        E: FnOnce(Parts) -> F,
        F: Future<Output = Option<(ForwardedRequest<'a>, Parts)>>,
    {
        let NamedPrompt { name, mut head, sent } = prompt;
        let PromptRecorder { names, scope, .. } = *submission.recorder;
        // The answer is to be read.
        head.headers.remove(ACCEPT_ENCODING);
        if let Some(uuid) = names.submitted_under(scope, &name) {
            let (head, sent) = submission.under(&name, uuid, head, sent)?;
            return self.submit(head, sent, submission.recorder, elsewhere).await;
        }
        let again = self.once_more();
        let response = self
            .submit(head.clone(), sent.clone(), submission.recorder, elsewhere)
            .await?;
        match response.status() {
            StatusCode::OK => names.taken(scope, &name),
            StatusCode::BAD_REQUEST => {
                let (uuid, _) = names.hold(scope, &name);
                let (head, sent) = submission.under(&name, uuid, head, sent)?;
                let response = again.forward(submission.recorder.listable(head, sent)?).await?;
                match response.status() {
                    StatusCode::OK => names.refused(),
                    // Something else is wrong with it.
                    _ => names.forget(scope, &name),
                }
                return Ok(response);
            }
            _ => {}
        }
        Ok(response)
    }

    /// The same way once more, of a request that is at hand.
    fn once_more(&self) -> Self {
        Self {
            progress: None,
            shutdown: None,
            socket: None,
            names: None,
            uri: self.uri.clone(),
            ..*self
        }
    }
}

impl Submission<'_> {
    /// The prompt under a UUID in the place of its name, which goes along with it.
    fn under(
        &mut self,
        name: &str,
        uuid: String,
        mut head: Parts,
        sent: Bytes,
    ) -> Result<(Parts, Bytes), UpstreamError> {
        let PromptRecorder {
            table,
            max_body,
            budget,
            ..
        } = self.recorder;
        // It was read before.
        let Ok(text) = decode(&head.headers, &sent, *max_body, budget) else {
            return Ok((head, sent));
        };
        let Some(changed) = table.request.under(&text, &uuid, name) else {
            return Ok((head, sent));
        };
        self.chosen.id = Some(uuid);
        set_text(&mut head, changed.len());
        // One of them is held from now on.
        drop((sent, text));
        Ok((head, budget.counted(changed).map_err(no_room)?))
    }
}
