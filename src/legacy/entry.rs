//! The text of one job in one legacy view, plain or compressed, and the headers of answers that carry it.

use crate::{
    http::{buffered::BufferBudget, encoding::Encoding, entity_tag::Version, gzip::PackedText},
    jobs_api::DialectKind,
    mapping::json::replace_ids,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use parking_lot::RwLock;
use std::sync::Arc;

/// One job in one legacy view, `{"id": entry}`, as it is or compressed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    form: Form,
    /// How long the text is, in bytes.
    text_length: usize,
    /// Where the entry itself begins.
    begin: usize,
    /// Where in the entry its place in the list belongs, counted from the beginning of the text.
    place: Option<usize>,
    /// Of the text.
    pub version: Version,
    /// The version as an `ETag`, and the length of [`Entry::whole`] as a `Content-Length`: ready for every answer.
    tag: HeaderValue,
    content_length: HeaderValue,
    head: Arc<Head>,
}

/// How a text is held.
#[derive(Clone, Debug)]
enum Form {
    Plain(Bytes),
    /// By gzip: good as a whole, and as a part of a list that is.
    Packed(PackedText),
    /// By something else: good only as a whole.
    Compressed(Bytes),
}

/// An entry whose text is at hand, of which a list shows a part.
#[derive(Clone, Debug)]
pub(super) struct PlainEntry {
    text: Bytes,
    entry: Entry,
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
    fn in_form(&self, form: Form) -> Self {
        Self {
            content_length: form.whole().len().into(),
            head: Arc::default(),
            form,
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

    /// How long [`Entry::whole`] is, in bytes.
    pub(super) fn length(&self) -> usize {
        self.form.whole().len()
    }

    /// `{"id": entry}`, as it is held.
    pub(super) fn whole(&self) -> Bytes {
        self.form.whole().clone()
    }

    /// The same, plain. A text that is unpacked is held within `budget`. `None` where there is no room for it, or it cannot be
    /// had from what is held.
    pub(super) fn plain(&self, budget: &BufferBudget) -> Option<PlainEntry> {
        match &self.form {
            Form::Plain(text) => Some(PlainEntry {
                text: text.clone(),
                entry: self.clone(),
            }),
            Form::Packed(packed) => {
                let text = budget.counted(packed.text(self.text_length)?).ok()?;
                let entry = self.in_form(Form::Plain(text.clone()));
                Some(PlainEntry { text, entry })
            }
            Form::Compressed(_) => None,
        }
    }

    /// How long the text is, in bytes, however it is held.
    pub(super) fn text_length(&self) -> usize {
        self.text_length
    }

    /// The text by gzip, if it is held so.
    pub(super) fn packed(&self) -> Option<&PackedText> {
        match &self.form {
            Form::Packed(packed) => Some(packed),
            Form::Plain(_) | Form::Compressed(_) => None,
        }
    }
}

impl Form {
    fn whole(&self) -> &Bytes {
        match self {
            Self::Plain(text) | Self::Compressed(text) => text,
            Self::Packed(packed) => packed.member(),
        }
    }
}

impl PlainEntry {
    /// An entry whose text is `{"id": entry}`; `begin` is where the entry begins.
    pub(super) fn new(text: Vec<u8>, begin: usize, place: Option<usize>) -> Self {
        let text = Bytes::from(text.into_boxed_slice());
        let version = Version::of(&text);
        let entry = Entry {
            version,
            tag: version.tag(),
            content_length: text.len().into(),
            head: Arc::default(),
            text_length: text.len(),
            form: Form::Plain(text.clone()),
            begin,
            place,
        };
        Self { text, entry }
    }

    /// The same with another string in the place of the job's id, wherever that stands.
    pub(super) fn with_other_id(self, id: &str, other: &str) -> Self {
        let (text, Entry { begin, place, .. }) = (&self.text, &self.entry);
        let replaced = |from: usize, to: usize| {
            let part = text.get(from..to).unwrap_or_default();
            let replaced = replace_ids(part, id.len(), |found| {
                (found == id.as_bytes()).then(|| other.to_owned())
            });
            replaced.unwrap_or_else(|| part.to_vec())
        };
        let mut all = replaced(0, *begin);
        let begin_now = all.len();
        all.append(&mut replaced(*begin, place.unwrap_or(*begin)));
        let place_now = place.map(|_| all.len());
        all.append(&mut replaced(place.unwrap_or(*begin), text.len()));
        Self::new(all, begin_now, place_now)
    }

    /// As all forms are.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// `{"id": entry}`.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The same entry, compressed. `None` if that fails.
    pub(super) fn compressed(&self, encoding: Encoding) -> Option<Entry> {
        let form = match encoding {
            Encoding::Gzip => Form::Packed(PackedText::of(&self.text)?),
            Encoding::Zstd => Form::Compressed(encoding.whole(&self.text).ok()?),
        };
        Some(self.entry.in_form(form))
    }

    /// `"id": entry`.
    pub(super) fn member(&self) -> Bytes {
        self.text.slice(1..self.text.len() - 1)
    }

    /// The entry, with its place in the list, counted from 1, where it has one.
    pub(super) fn item(&self, position: usize) -> impl Iterator<Item = Bytes> {
        let end = self.text.len() - 1;
        let parts = match self.entry.place {
            None => [Some(self.text.slice(self.entry.begin..end)), None, None],
            Some(place) => [
                Some(self.text.slice(self.entry.begin..place)),
                Some(position.to_string().into()),
                Some(self.text.slice(place..end)),
            ],
        };
        parts.into_iter().flatten()
    }
}
