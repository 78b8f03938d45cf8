//! Derivations: the few things that a path in a table cannot say. One small function each: about times in `time`, about
//! members of objects in `members`, about files in `files`, about the nodes of a workflow in `nodes`, `expansion` and `typed_inputs`.

mod expansion;
mod files;
mod members;
mod nodes;
mod python;
mod time;
mod typed_inputs;

use members::without;
pub(super) use members::{gaps_below, parts_without};

use super::{
    classes::Classes,
    json::{Group, MemberPath, ScanError, spelt},
    json_text::json_text,
    source_path::SourcePath,
};
use files::{FileNames, files_by_node, lines, only};
use members::{NewMember, extend, keys, no_objects, put_in, unwrap_items};
use nodes::{node_meta, output_nodes};
use serde::Deserialize;
use std::collections::BTreeMap;
pub use time::rfc3339_from_ms;
use time::{milliseconds, ms_from_rfc3339, rfc3339};

/// A derivation as a table writes it: its name, the path it works on, and what it needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "derive", rename_all = "snake_case")]
pub(super) enum Derivation {
    /// The item's place in its list, counted from 1: left open, and told by [`Context::position`].
    Position,
    /// A time in milliseconds; a value under 10^11 is seconds (docs/contract.md section 2).
    Ms { of: SourcePath },
    /// A time in milliseconds, from RFC 3339 text.
    MsFromRfc3339 { of: SourcePath },
    /// A time as RFC 3339 text, from milliseconds or seconds.
    Rfc3339 { of: SourcePath },
    /// One value for each word that the field may hold; absent for a word that is not listed.
    Map {
        of: SourcePath,
        values: BTreeMap<String, toml::Value>,
    },
    /// The object without some of its members, and with those of the object at `put`, where there is one.
    Drop {
        of: SourcePath,
        members: Vec<DroppedMember>,
        put: Option<SourcePath>,
    },
    /// Those members of an object that are no objects themselves, or have something inside that is none, by these paths;
    /// absent when there are none.
    NoObjects { of: SourcePath, members: Vec<MemberPath> },
    /// Outputs, with every item that is an object of exactly these members, one with a given value, replaced by one
    /// of its members.
    UnwrapItems {
        of: SourcePath,
        exactly: Vec<String>,
        when: BTreeMap<String, String>,
        take: String,
    },
    /// The ids of the nodes whose class is an output node, and that the list `only` names if there is one; absent
    /// while a class is not known to the server.
    OutputNodes {
        of: SourcePath,
        class: String,
        only: Option<SourcePath>,
    },
    /// The value, where it is of that kind.
    Kind { of: SourcePath, is: Kind },
    /// A prompt with the values of its inputs as the server converts them before it queues it, from the output nodes on,
    /// or those that the list `only` names if there is one. `wrapped` is the member that holds a value that is a list.
    TypedInputs {
        of: SourcePath,
        class: String,
        inputs: String,
        wrapped: String,
        only: Option<SourcePath>,
    },
    /// The object with members set to the values at other paths, where these have one: those of `with` in any case, those
    /// of `add` where it has no such member.
    Extend {
        of: SourcePath,
        with: BTreeMap<String, SourcePath>,
        #[serde(default)]
        add: BTreeMap<String, SourcePath>,
    },
    /// The keys of an object.
    Keys { of: SourcePath },
    /// A text as the list of its lines.
    Lines { of: SourcePath },
    /// The object with these members alone; absent when it has none of them.
    Only { of: SourcePath, members: Vec<String> },
    /// The value, unless the string at `word` is this.
    Unless {
        of: SourcePath,
        word: SourcePath,
        is: String,
    },
    /// Files that are listed one by one, by node and kind; the prompt says in which folder a node was to write.
    FilesByNode {
        of: SourcePath,
        prompt: SourcePath,
        names: Box<FileNames>,
    },
    /// What is known of each node with outputs: an object a node. The prompt tells which of them it made by expansion.
    NodeMeta {
        of: SourcePath,
        prompt: Option<SourcePath>,
        node: String,
        display: String,
        parent: String,
        real: String,
    },
}

/// Kinds of values.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Object,
    List,
    String,
}

impl Kind {
    /// What the text of such a value begins with.
    fn begins(self) -> u8 {
        match self {
            Self::Object => b'{',
            Self::List => b'[',
            Self::String => b'"',
        }
    }

    fn is_of(self, value: &[u8]) -> bool {
        value.first() == Some(&self.begins())
    }
}

/// A member to leave out; with `is`, only when that string is its value; with `unless`, only when its value is of another
/// kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DroppedMember {
    pub(crate) path: MemberPath,
    is: Option<String>,
    unless: Option<Kind>,
}

impl DroppedMember {
    /// The names on the way to it, from the outermost object.
    pub(crate) fn names(&self) -> &[String] {
        self.path.names()
    }

    fn holds(&self, value: &[u8]) -> bool {
        let is = self.is.as_deref();
        is.is_none_or(|is| spelt(value).as_deref() == Some(is)) && self.unless.is_none_or(|kind| !kind.is_of(value))
    }
}

/// What a derivation needs besides the job, and what it leaves open.
pub(super) struct Context<'a> {
    /// Where the entry's place in its list belongs, once that is passed.
    pub position: Option<usize>,
    /// The node classes of the prompt.
    pub classes: &'a dyn Classes,
}

/// What a derivation works on.
pub(super) struct DerivationInput<'a, 'r> {
    /// The value at the first of [`Derivation::paths`].
    pub text: &'a [u8],
    /// The values at the others.
    pub more: Vec<Option<&'a [u8]>>,
    /// Whether any of [`Derivation::touches`] has a value.
    pub touched: bool,
    /// The text that spans of this group are in, and what [`Derivation::each`] found; `None` for more than can be told
    /// apart.
    pub group: Option<(&'a [u8], &'r Group)>,
}

impl Derivation {
    /// The paths it needs: the one it works on first. It is not asked to write when that one has no value.
    pub(super) fn paths(&self) -> Vec<&SourcePath> {
        match self {
            Self::Position => Vec::new(),
            Self::Ms { of }
            | Self::MsFromRfc3339 { of }
            | Self::Rfc3339 { of }
            | Self::Lines { of }
            | Self::Only { of, .. }
            | Self::Map { of, .. }
            | Self::NoObjects { of, .. }
            | Self::UnwrapItems { of, .. }
            | Self::Kind { of, .. }
            | Self::Keys { of } => vec![of],
            Self::Unless { of, word: more, .. } | Self::FilesByNode { of, prompt: more, .. } => vec![of, more],
            Self::OutputNodes { of, only: more, .. }
            | Self::TypedInputs { of, only: more, .. }
            | Self::Drop { of, put: more, .. }
            | Self::NodeMeta { of, prompt: more, .. } => [Some(of), more.as_ref()].into_iter().flatten().collect(),
            Self::Extend { of, with, add } => [of].into_iter().chain(with.values()).chain(add.values()).collect(),
        }
    }

    /// The paths without which it changes nothing: when none of them has a value, there is nothing to look for.
    pub(super) fn touches(&self) -> Vec<SourcePath> {
        match self {
            Self::Drop { of, members, .. } => members.iter().map(|member| of.join(&member.path)).collect(),
            _ => Vec::new(),
        }
    }

    /// An object, and what it needs of each of its members.
    pub(super) fn each(&self) -> Option<(&SourcePath, &str)> {
        match self {
            Self::OutputNodes { of, class, .. } | Self::TypedInputs { of, class, .. } => Some((of, class)),
            _ => None,
        }
    }

    /// Writes the derived value; `false`, and nothing written, when there is none.
    pub(super) fn write(
        &self,
        given: &DerivationInput<'_, '_>,
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, ScanError> {
        let text = given.text;
        match self {
            Self::Position => {
                context.position = Some(out.len());
                Ok(true)
            }
            Self::Ms { .. } => Ok(write_some(milliseconds(text), out)),
            Self::MsFromRfc3339 { .. } => Ok(write_some(ms_from_rfc3339(text), out)),
            Self::Rfc3339 { .. } => Ok(write_some(rfc3339(text), out)),
            Self::Map { values, .. } => {
                let value = spelt(text).and_then(|word| values.get(&*word).map(json_text));
                Ok(write_some(value, out))
            }
            Self::Drop { members, .. } => {
                let members = if given.touched { members.as_slice() } else { &[] };
                match given.more.first().copied().flatten() {
                    Some(put) => {
                        let mut left = Vec::with_capacity(text.len());
                        without(text, members, &mut left)?;
                        put_in(&left, put, out)
                    }
                    None if members.is_empty() => {
                        out.extend_from_slice(text);
                        Ok(true)
                    }
                    None => without(text, members, out).map(|()| true),
                }
            }
            Self::NoObjects { members, .. } => no_objects(text, members, out),
            Self::UnwrapItems {
                exactly, when, take, ..
            } => unwrap_items(text, exactly, when, take, out).map(|()| true),
            Self::OutputNodes { .. } => {
                let only = given.more.first().copied().flatten();
                output_nodes(given.group, only, context.classes, out)
            }
            Self::TypedInputs {
                class, inputs, wrapped, ..
            } => {
                let only = given.more.first().copied().flatten();
                let names = typed_inputs::Names { class, inputs, wrapped };
                typed_inputs::typed_inputs(text, &names, only, context.classes, out).map(|()| true)
            }
            Self::Extend { with, add, .. } => {
                let names = with.keys().map(|name| (name, true));
                let names = names.chain(add.keys().map(|name| (name, false)));
                let members = names.zip(&given.more).filter_map(|((name, replaces), value)| {
                    Some(NewMember {
                        name,
                        value: (*value)?,
                        replaces,
                    })
                });
                extend(text, members.collect(), out)
            }
            Self::Kind { is, .. } => {
                let is_it = is.is_of(text);
                out.extend_from_slice(if is_it { text } else { b"" });
                Ok(is_it)
            }
            Self::Keys { .. } => keys(text, out).map(|()| true),
            Self::Lines { .. } => Ok(lines(text, out)),
            Self::Only { members, .. } => only(text, members, out),
            Self::Unless { is, .. } => {
                let word = given.more.first().copied().flatten().and_then(spelt);
                let holds = word.as_deref() != Some(is.as_str());
                out.extend_from_slice(if holds { text } else { b"" });
                Ok(holds)
            }
            Self::FilesByNode { names, .. } => {
                let prompt = given.more.first().copied().flatten();
                files_by_node(text, prompt, names, out)
            }
            Self::NodeMeta {
                node,
                display,
                parent,
                real,
                ..
            } => {
                let prompt = given.more.first().copied().flatten();
                node_meta(text, prompt, [node, display, parent, real], out).map(|()| true)
            }
        }
    }
}

fn write_some(value: Option<String>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
    value.is_some()
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.extend_from_slice(b", ");
    }
}

fn write_key(raw: &[u8], out: &mut Vec<u8>) {
    write_string(raw, out);
    out.extend_from_slice(b": ");
}

fn write_string(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(raw);
    out.push(b'"');
}
