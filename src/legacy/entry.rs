//! The text of one job in one legacy form, and the headers of answers that carry it.

use crate::{http::entity_tag::Version, jobs_api::DialectKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use parking_lot::RwLock;
use std::sync::Arc;

/// One job in one legacy view: `{"id": entry}`, of which a list shows a part.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    text: Bytes,
    /// Where the entry itself begins.
    begin: usize,
    /// Where in the entry its place in the list belongs, counted from the beginning of the text.
    place: Option<usize>,
    /// Of the text.
    pub version: Version,
    /// The version as an `ETag`, and the length of `{"id": entry}` as a `Content-Length`: ready for every answer.
    tag: HeaderValue,
    content_length: HeaderValue,
    head: Arc<Head>,
}

/// The headers of an answer that was given with a remembered text: the next one has the same, as long as it is given on the
/// same terms. To copy them takes a third of what it takes to make them.
#[derive(Debug, Default)]
pub struct Head(RwLock<Option<(HeadKey, HeaderMap)>>);

/// What the headers depend on besides the text: the service, by its number, and whose names it goes by.
pub(super) type HeadKey = (u64, Option<DialectKind>);

impl Head {
    /// The headers, if they were made on these terms.
    pub fn made_on(&self, terms: HeadKey) -> Option<HeaderMap> {
        let kept = self.0.read();
        let (made_on, headers) = kept.as_ref()?;
        (*made_on == terms).then(|| headers.clone())
    }

    /// Keeps headers that were made on these terms.
    pub fn keep(&self, terms: HeadKey, headers: HeaderMap) {
        *self.0.write() = Some((terms, headers));
    }
}

impl Entry {
    /// An entry whose text is `{"id": entry}`; `begin` is where the entry begins.
    pub(super) fn new(text: Vec<u8>, begin: usize, place: Option<usize>) -> Self {
        let text = text.into_boxed_slice();
        let version = Version::of(&text);
        Self {
            version,
            tag: version.tag(),
            content_length: text.len().into(),
            head: Arc::default(),
            text: text.into(),
            begin,
            place,
        }
    }

    /// The same, compressed: good only as a whole.
    pub(super) fn compressed(&self, text: Bytes) -> Self {
        Self {
            content_length: text.len().into(),
            head: Arc::default(),
            text,
            ..self.clone()
        }
    }

    /// The version as an `ETag`.
    pub(super) fn tag(&self) -> HeaderValue {
        self.tag.clone()
    }

    /// How long [`Entry::whole`] is, as a `Content-Length`.
    pub(super) fn content_length(&self) -> HeaderValue {
        self.content_length.clone()
    }

    /// The headers of answers with [`Entry::whole`] from memory.
    pub(super) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.head)
    }

    /// How long `{"id": entry}` is, in bytes.
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// `{"id": entry}`.
    pub(super) fn whole(&self) -> Bytes {
        self.text.clone()
    }

    /// `"id": entry`.
    pub(super) fn member(&self) -> Bytes {
        self.text.slice(1..self.text.len() - 1)
    }

    /// The entry, with its place in the list, counted from 1, where it has one.
    pub(super) fn item(&self, position: usize) -> impl Iterator<Item = Bytes> {
        let end = self.text.len() - 1;
        let parts = match self.place {
            None => [Some(self.text.slice(self.begin..end)), None, None],
            Some(place) => [
                Some(self.text.slice(self.begin..place)),
                Some(position.to_string().into()),
                Some(self.text.slice(place..end)),
            ],
        };
        parts.into_iter().flatten()
    }
}
