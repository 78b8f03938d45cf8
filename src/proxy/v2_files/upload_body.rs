//! The body of an upload on its way: ComfyUI's form becomes the server's while it comes. The file goes on as it is; what it is
//! called follows it, as the other fields, and whether there is another file of that name, are known by then.

use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, BoxError},
        buffered::discard,
        multipart::{FormError, FormReader, PartHead, Piece},
    },
    jobs_api::{Claim, KnownFiles},
    mapping::dialect::V2FileNames,
};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use std::sync::Arc;

/// The longest field besides the file, in bytes.
const LONGEST_FIELD: usize = 16 << 10;

/// Why an upload is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the form cannot be read: {0}")]
    Form(#[from] FormError),
    #[error("the form has no file \"{0}\" with a name")]
    NoFile(String),
    #[error("the field \"{0}\" is longer than {LONGEST_FIELD} bytes, or no UTF-8")]
    Field(String),
    #[error("a file cannot be called so, or be there: its name, \"subfolder\" and \"type\" lead nowhere")]
    Place,
    #[error("the name is taken, and too long for a number behind it")]
    Long,
}

/// An upload that the server has got whole.
pub(super) struct Uploaded {
    /// Its name, until it is known.
    pub claim: Claim,
    /// Its folder as it was sent.
    pub folder: String,
}

/// Filled in before the server gets the last byte.
pub(super) type Outcome = Arc<Mutex<Option<Uploaded>>>;

/// A body on its way.
pub(super) struct UploadBody {
    body: Body,
    /// Until it has come to its end.
    form: Option<Form>,
}

/// What has been read of a form.
struct Form {
    reader: FormReader,
    names: V2FileNames,
    files: Arc<KnownFiles>,
    scope: Scope,
    outcome: Outcome,
    part: Part,
    /// The file's name, and what its bytes are known by.
    file: Option<(String, Context)>,
    /// The folder, the place, and whether to overwrite.
    fields: [Option<Vec<u8>>; 3],
}

/// What the part that comes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    File,
    /// One of the fields.
    Field(usize),
    Other,
}

impl UploadBody {
    pub(super) fn new(
        body: Body,
        reader: FormReader,
        names: V2FileNames,
        (files, scope): (Arc<KnownFiles>, Scope),
        outcome: Outcome,
    ) -> Self {
        let form = Form {
            reader,
            names,
            files,
            scope,
            outcome,
            part: Part::Other,
            file: None,
            fields: [const { None }; 3],
        };
        let form = Some(form);
        Self { body, form }
    }

    /// What goes on. It ends with an [`UploadError`] where it is no upload: the server must not take it for one.
    pub(super) fn into_body(self) -> Body {
        let frames = stream::try_unfold(self, Self::next);
        let frames = frames.map_ok(|pieces| stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece)))));
        StreamBody::new(frames.try_flatten()).boxed_unsync()
    }

    async fn next(mut self) -> Result<Option<(Vec<Bytes>, Self)>, BoxError> {
        let Some(mut form) = self.form.take() else {
            return Ok(None);
        };
        let piece = match self.body.frame().await.transpose()? {
            Some(frame) => frame.into_data().unwrap_or_default(),
            None => {
                let last = form.finish()?;
                return Ok(Some((vec![last], self)));
            }
        };
        match form.copy(piece) {
            Ok(pieces) => {
                self.form = Some(form);
                Ok(Some((pieces, self)))
            }
            Err(error) => {
                drop(form);
                discard(self.body).await;
                Err(error.into())
            }
        }
    }
}

impl Form {
    /// What goes on of a piece.
    fn copy(&mut self, piece: Bytes) -> Result<Vec<Bytes>, UploadError> {
        let mut out = Vec::new();
        self.reader.push(piece);
        while let Some(piece) = self.reader.next_piece()? {
            match piece {
                Piece::Part(head) => out.extend(self.begin(head)),
                Piece::Data(data) => out.extend(self.content(data)?),
                Piece::PartEnd => self.part = Part::Other,
                Piece::End => {}
            }
        }
        Ok(out)
    }

    /// A part begins. Of a repeated one the first counts.
    fn begin(&mut self, head: PartHead) -> Option<Bytes> {
        let name = head.disposition.name.unwrap_or_default();
        self.part = Part::Other;
        if name == self.names.form.file {
            let filename = head
                .disposition
                .filename
                .filter(|name| !name.is_empty() && self.file.is_none())?;
            self.part = Part::File;
            let begun = self.file_head(&filename, head.content_type.as_deref());
            self.file = Some((filename, Context::new(&SHA256)));
            return Some(begun);
        }
        let nth = self.field_names().into_iter().position(|field| *field == name);
        if let Some(nth) = nth
            && let Some(field @ None) = self.fields.get_mut(nth)
        {
            *field = Some(Vec::new());
            self.part = Part::Field(nth);
        }
        None
    }

    fn content(&mut self, data: Bytes) -> Result<Option<Bytes>, UploadError> {
        match self.part {
            Part::Other => Ok(None),
            Part::File => {
                if let Some((_, hash)) = &mut self.file {
                    hash.update(&data);
                }
                Ok(Some(data))
            }
            Part::Field(nth) => {
                let field = self.fields.get_mut(nth).and_then(Option::as_mut);
                if let Some(field) = field {
                    field.extend_from_slice(&data);
                    if field.len() > LONGEST_FIELD {
                        return Err(self.wrong_field(nth));
                    }
                }
                Ok(None)
            }
        }
    }

    fn field_names(&self) -> [&String; 3] {
        let form = &self.names.form;
        [&form.folder, &form.place, &form.overwrite]
    }

    fn wrong_field(&self, nth: usize) -> UploadError {
        let name = self.field_names().into_iter().nth(nth);
        UploadError::Field(name.cloned().unwrap_or_default())
    }

    /// What a field says.
    fn text(&self, nth: usize) -> Result<Option<&str>, UploadError> {
        let field = self.fields.get(nth).and_then(Option::as_ref);
        let text = field.map(|field| str::from_utf8(field)).transpose();
        text.map_err(|_| self.wrong_field(nth))
    }

    /// The boundary is the client's: it is nowhere in the file.
    fn delimiter(&self) -> String {
        String::from_utf8_lossy(self.reader.delimiter()).into_owned()
    }

    fn file_head(&self, filename: &str, content_type: Option<&str>) -> Bytes {
        let delimiter = self.delimiter();
        // The name itself follows: this one only says of which kind the file is.
        let plain = |letter: char| match letter {
            letter if letter.is_ascii_alphanumeric() || ".-_ ()".contains(letter) => letter,
            _ => '_',
        };
        let filename: String = filename.chars().map(plain).collect();
        let content_type = content_type.unwrap_or("application/octet-stream");
        let name = &self.names.file;
        let head = format!(
            "{}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
             Content-Type: {content_type}\r\n\r\n",
            delimiter.trim_start()
        );
        head.into()
    }

    /// What goes on once all has come: what the file is called.
    fn finish(&mut self) -> Result<Bytes, UploadError> {
        self.reader.finish()?;
        let delimiter = self.delimiter();
        let no_file = || UploadError::NoFile(self.names.form.file.clone());
        let (filename, hash) = self.file.take().ok_or_else(no_file)?;
        let folder = self.text(0)?.unwrap_or_default();
        let file = self.names.placed(self.text(1)?, folder, &filename);
        let file = file.ok_or(UploadError::Place)?;
        let content = hash.finish().as_ref().try_into().unwrap_or_default();
        let overwrite = self
            .text(2)?
            .is_some_and(|word| self.names.form.yes.iter().any(|yes| yes == word));
        let claim = self.files.claim(self.scope, file, content, overwrite);
        let claim = claim.ok_or(UploadError::Long)?;
        let [name, begins] = &self.names.path;
        let path = match Some(&claim.file.place) == self.names.places.first() {
            true => claim.file.path(),
            false => claim.file.key(),
        };
        // A backslash is a slash to some, and a line would end.
        let path = path.replace(|letter: char| letter == '\\' || letter.is_control(), "_");
        let end = format!(
            "{delimiter}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{begins}{path}{delimiter}--\r\n"
        );
        let folder = folder.to_owned();
        *self.outcome.lock() = Some(Uploaded { claim, folder });
        Ok(end.into())
    }
}
