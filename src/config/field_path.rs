//! Paths into JSON, as people write them: in tables, and in settings. This is the only parser of them.

use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The member of an object.
    Name(String),
    /// The item of a list.
    Index(usize),
}

/// A path into JSON, such as `prompt[4].x`; it has one segment or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

/// The text is no path, or not one of the kind that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is no path at all.
    #[error("{0:?} is no path: write it like workflow.prompt or prompt[4]")]
    Malformed(String),
    /// It has an index where only members can be named.
    #[error("{0:?} is no path here: it must name members alone, like workflow.prompt")]
    Index(String),
}

impl FieldPath {
    /// Reads a path: names with dots between them, and indices in brackets.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath::Malformed(text.to_owned());
        let mut segments = Vec::new();
        for (nth, dotted) in text.split('.').enumerate() {
            let (name, mut indices) = match dotted.find('[') {
                Some(at) => dotted.split_at(at),
                None => (dotted, ""),
            };
            if !name.is_empty() {
                segments.push(Segment::Name(name.to_owned()));
            } else if nth > 0 || indices.is_empty() {
                return Err(invalid());
            }
            while !indices.is_empty() {
                let index = indices.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let (index, rest) = index.ok_or_else(invalid)?;
                segments.push(Segment::Index(index.parse().map_err(|_| invalid())?));
                indices = rest;
            }
        }
        Ok(Self(segments))
    }

    /// Its steps, from the outermost one on.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The text of some segments.
    pub fn text_of(segments: &[Segment]) -> String {
        let mut text = String::new();
        for segment in segments {
            match segment {
                Segment::Name(name) if text.is_empty() => text += name,
                Segment::Name(name) => text.extend([".", name]),
                Segment::Index(index) => text += &format!("[{index}]"),
            }
        }
        text
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::text_of(&self.0))
    }
}

/// The line, counted from 1, that byte `offset` of `source` stands in.
pub fn line_of(source: &str, offset: usize) -> usize {
    let before = source.as_bytes().get(..offset).unwrap_or(source.as_bytes());
    memchr::memchr_iter(b'\n', before).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_indices_and_written_as_it_was_read() {
        for (text, count) in [
            ("id", 1),
            ("[4].create_time", 2),
            ("outputs.*.text", 3),
            ("messages[0][1].id", 4),
        ] {
            let path = FieldPath::parse(text).expect(text);
            assert_eq!((path.segments().len(), path.to_string()), (count, text.to_owned()));
        }
        for text in ["", ".", "a.", "a..b", "a.[0]", "a[", "a[x]", "a[0]b", "a[-1]"] {
            assert_eq!(FieldPath::parse(text), Err(InvalidPath::Malformed(text.to_owned())));
        }
    }
}
