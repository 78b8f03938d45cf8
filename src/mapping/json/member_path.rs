//! Paths of names alone: where a value is in objects within objects.

use crate::config::field_path::{FieldPath, InvalidPath, Segment};
use serde::Deserialize;
use std::fmt;

/// A path of names alone, such as `workflow.prompt`; it has one name or more.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct MemberPath(Vec<String>);

impl MemberPath {
    /// Reads a path. One with an index is refused: what jobs are searched for is in objects only.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let names = FieldPath::parse(text)?;
        let names = names.segments().iter().map(|segment| match segment {
            Segment::Name(name) => Ok(name.clone()),
            Segment::Index(_) => Err(InvalidPath::Index(text.to_owned())),
        });
        names.collect::<Result<_, _>>().map(Self)
    }

    /// Its names, from the outermost one on.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The path below the first name, where that is `name`, and there is something below it.
    pub(crate) fn below(&self, name: &str) -> Option<Self> {
        match self.0.split_first() {
            Some((first, rest)) if first == name && !rest.is_empty() => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// The path of the first name alone.
    pub(crate) fn head(&self) -> Self {
        Self(self.0.iter().take(1).cloned().collect())
    }

    /// The path `inner` below this one.
    pub(crate) fn join(&self, inner: &Self) -> Self {
        Self([self.names(), inner.names()].concat())
    }
}

impl TryFrom<String> for MemberPath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        Self::parse(&text)
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_members_has_no_index() {
        let path = MemberPath::parse("workflow.prompt").expect("a path");
        assert_eq!(path.names(), ["workflow", "prompt"]);
        assert_eq!(
            path.below("workflow").map(|path| path.to_string()).as_deref(),
            Some("prompt")
        );
        assert_eq!(path.below("prompt"), None);
        assert_eq!(
            MemberPath::parse("a[0].b"),
            Err(InvalidPath::Index("a[0].b".to_owned()))
        );
        assert!(matches!(MemberPath::parse("a..b"), Err(InvalidPath::Malformed(_))));
    }
}
