//! JSON as a tree.

/// A JSON value as a tree that still knows how it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Leaf(String),
    List(Vec<Tree>, Spacing),
    Object(Vec<(Key, Tree)>, Spacing),
}

/// A key as written (without quotes), and what it spells.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub raw: String,
    pub name: String,
}

/// What stands after an opening bracket, between members, between key and value, before a closing bracket.
pub type Spacing = [&'static str; 4];

pub const PYTHON: Spacing = ["", ", ", ": ", ""];
pub const SPACINGS: [Spacing; 3] = [PYTHON, ["", ",", ":", ""], ["\n ", " ,\t", " : ", "\r\n"]];

impl Tree {
    pub fn text(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List(items, [open, comma, _, close]) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{open}{}{close}]", items.join(comma))
            }
            Self::Object(members, [open, comma, colon, close]) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("\"{}\"{colon}{}", key.raw, value.text()))
                    .collect();
                format!("{{{open}{}{close}}}", members.join(comma))
            }
        }
    }

    pub fn members(&self) -> &[(Key, Tree)] {
        match self {
            Self::Object(members, _) => members,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Tree] {
        match self {
            Self::List(items, _) => items,
            _ => &[],
        }
    }

    /// The value at a dotted path: of repeated keys the last one, and null is as good as nothing.
    pub fn at(&self, path: &str) -> Option<&Tree> {
        let found = path.split('.').try_fold(self, |value, name| {
            let members = value.members().iter();
            members.rev().find(|(key, _)| key.name == name).map(|(_, value)| value)
        });
        found.filter(|value| **value != leaf("null"))
    }

    /// What a string spells; half a surrogate pair spells nothing.
    pub fn string(&self) -> Option<String> {
        match self {
            Self::Leaf(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// Without what stands at `path`, when it is `is`.
    pub fn without(&self, path: &str, is: Option<&str>) -> Tree {
        let Self::Object(members, spacing) = self else {
            return self.clone();
        };
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let members = members.iter().filter_map(|(key, value)| {
            if key.name != head {
                return Some((key.clone(), value.clone()));
            }
            if !rest.is_empty() {
                return Some((key.clone(), value.without(rest, is)));
            }
            let goes = is.is_none_or(|is| value.string().as_deref() == Some(is));
            (!goes).then(|| (key.clone(), value.clone()))
        });
        Self::Object(members.collect(), *spacing)
    }

    pub fn map(&self, change: impl Fn(&Tree) -> Tree) -> Tree {
        match self {
            Self::List(items, spacing) => Self::List(items.iter().map(change).collect(), *spacing),
            Self::Object(members, spacing) => {
                let members = members.iter().map(|(key, value)| (key.clone(), change(value)));
                Self::Object(members.collect(), *spacing)
            }
            Self::Leaf(_) => self.clone(),
        }
    }
}

pub fn leaf(text: &str) -> Tree {
    Tree::Leaf(text.to_owned())
}

pub fn plain(name: &str) -> Key {
    Key {
        raw: name.to_owned(),
        name: name.to_owned(),
    }
}

/// An object as the legacy server spaces it.
pub fn object(members: Vec<(&str, Tree)>) -> Tree {
    let members = members.into_iter().map(|(name, value)| (plain(name), value));
    Tree::Object(members.collect(), PYTHON)
}

pub fn list(items: Vec<Tree>) -> Tree {
    Tree::List(items, PYTHON)
}
