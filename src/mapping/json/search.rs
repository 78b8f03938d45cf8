//! Many paths into one object, found in a single pass.

use super::{
    member_path::MemberPath,
    scanner::{ScanError, Scanner, Span},
    text::{decode, key_is},
};
use std::marker::PhantomData;

/// How many members of one object are told apart: far more than the largest workflow has nodes.
const MAX_MEMBERS: usize = 10_000;

/// A set of paths into one kind of document. Slots are given out in the order in which paths are added.
///
/// `D` is the kind of document: a slot of one kind means nothing in what was found in another, and does not compile there.
#[derive(Clone, Debug)]
pub(crate) struct PathSet<D> {
    nodes: Vec<Node>,
    slots: usize,
    groups: usize,
    document: PhantomData<D>,
}

/// Where what was found at a path is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<D> {
    index: usize,
    document: PhantomData<D>,
}

/// Where what was found of all members of an object is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupSlot<D> {
    index: usize,
    document: PhantomData<D>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, usize)>,
    /// Of every member of the object here, some of its own members are wanted: their names, and the groups' slots.
    each: Vec<(String, usize)>,
}

/// As many as most workflows have nodes.
const USUAL_MEMBERS: usize = 64;
/// How far back an inner value is looked for among those before it: further than most workflows have kinds of nodes.
const MAX_KINDS: usize = 32;

/// An object of whose members each one's own member of one name is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// The key of each, and which of the kinds is there.
    pub members: Vec<(Span, Option<usize>)>,
    /// Values that are there, with little written twice.
    pub kinds: Vec<Span>,
}

/// All that one pass over a document found.
#[derive(Clone, Debug)]
pub(crate) struct Found<D> {
    document: PhantomData<D>,
    /// By slot: where the path's value is.
    spans: Vec<Option<Span>>,
    /// Whether a path had a value anywhere, also where a repeated key took it back.
    touched: Vec<bool>,
    /// By group; `None` for more members than can be told apart.
    groups: Vec<Option<Group>>,
}

impl<D> Found<D> {
    /// The value at a path in `text`, which was searched.
    pub(crate) fn value<'a>(&self, slot: Slot<D>, text: &'a [u8]) -> Option<&'a [u8]> {
        let span = self.spans.get(slot.index)?.as_ref()?;
        Some(span.of(text))
    }

    /// Whether a path had a value anywhere.
    pub(crate) fn is_touched(&self, slot: Slot<D>) -> bool {
        self.touched.get(slot.index).copied().unwrap_or_default()
    }

    /// What was found of all members of an object; `None` for more than can be told apart.
    pub(crate) fn group(&self, slot: GroupSlot<D>) -> Option<&Group> {
        self.groups.get(slot.index)?.as_ref()
    }
}

impl Group {
    /// None yet, with room for what most workflows have.
    fn roomy() -> Self {
        Self {
            members: Vec::with_capacity(USUAL_MEMBERS),
            kinds: Vec::with_capacity(MAX_KINDS),
        }
    }

    fn clear(&mut self) {
        self.members.clear();
        self.kinds.clear();
    }

    fn push(&mut self, key: Span, inner: Option<Span>, text: &[u8]) {
        let kind = inner.map(|inner| {
            let mut lately = self.kinds.iter().enumerate().rev().take(MAX_KINDS);
            let alike = lately.find(|(_, kind)| kind.of(text) == inner.of(text));
            let known = alike.map(|(kind, _)| kind);
            known.unwrap_or_else(|| {
                self.kinds.push(inner);
                self.kinds.len() - 1
            })
        });
        self.members.push((key, kind));
    }
}

impl Node {
    /// Which child a key's text (without quotes) spells.
    fn child(&self, raw: &[u8]) -> Option<usize> {
        let by = |key: &[u8]| {
            let found = self.children.iter().find(|(name, _)| name.as_bytes() == key);
            found.map(|&(_, child)| child)
        };
        by(raw).or_else(|| match !self.children.is_empty() && raw.contains(&b'\\') {
            true => by(decode(raw)?.as_bytes()),
            false => None,
        })
    }
}

impl<D> Default for PathSet<D> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            slots: 0,
            groups: 0,
            document: PhantomData,
        }
    }
}

impl<D> PathSet<D> {
    /// Adds a path and returns its slot; the same path twice has one slot.
    pub(crate) fn add(&mut self, path: &MemberPath) -> Slot<D> {
        let at = self.node(path);
        let next = self.slots;
        let index = match self.nodes.get_mut(at) {
            Some(node) => *node.slot.get_or_insert(next),
            None => next,
        };
        self.slots = self.slots.max(index + 1);
        let document = PhantomData;
        Slot { index, document }
    }

    /// Asks for `member` of every member of the object at `path`, and returns the group's slot.
    pub(crate) fn add_each(&mut self, path: &MemberPath, member: &str) -> GroupSlot<D> {
        let at = self.node(path);
        let (next, document) = (self.groups, PhantomData);
        let known = self.nodes.get_mut(at).map(|node| &mut node.each);
        let index = match known {
            Some(each) => match each.iter().find(|(known, _)| known == member) {
                Some(&(_, slot)) => slot,
                None => {
                    each.push((member.to_owned(), next));
                    next
                }
            },
            None => next,
        };
        self.groups = self.groups.max(index + 1);
        GroupSlot { index, document }
    }

    fn node(&mut self, path: &MemberPath) -> usize {
        let mut at = 0;
        for name in path.names() {
            let known = self
                .nodes
                .get(at)
                .and_then(|node| node.children.iter().find(|(child, _)| child == name));
            at = match known {
                Some(&(_, child)) => child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.children.push((name.clone(), child));
                    }
                    child
                }
            };
        }
        at
    }

    /// Finds every path and group in `text`, which must be one whole JSON object. Of a repeated key the last one counts,
    /// as Python and browsers have it.
    pub(crate) fn find(&self, text: &[u8]) -> Result<Found<D>, ScanError> {
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            return Err(ScanError {
                at: scanner.position(),
                reason: "expected an object",
            });
        }
        let mut found = self.nothing();
        self.visit(0, &mut scanner, &mut found)?;
        scanner.end()?;
        Ok(found)
    }

    /// Finds every path in the value that `scanner` stands before, and leaves it after that value. `found` is what an
    /// earlier search found, or nothing, and is found no more.
    pub(crate) fn find_next(&self, scanner: &mut Scanner<'_>, found: &mut Found<D>) -> Result<(), ScanError> {
        self.visit(0, scanner, found)
    }

    /// What is found where there is nothing.
    pub(crate) fn nothing(&self) -> Found<D> {
        Found {
            document: PhantomData,
            spans: vec![None; self.slots],
            touched: vec![false; self.slots],
            groups: (0..self.groups).map(|_| Some(Group::roomy())).collect(),
        }
    }

    // Recursion goes as deep as the longest path of the table, never as deep as the text.
    fn visit(&self, at: usize, scanner: &mut Scanner<'_>, found: &mut Found<D>) -> Result<(), ScanError> {
        let Some(node) = self.nodes.get(at) else {
            return scanner.value().map(drop);
        };
        self.forget(node, found);
        scanner.peek();
        let start = scanner.position();
        if node.children.is_empty() && node.each.is_empty() {
            scanner.value()?;
        } else {
            scanner.members(|scanner, key| self.visit_member(node, key, scanner, found))?;
        }
        if let Some(slot) = node.slot {
            let end = scanner.position();
            set(&mut found.spans, slot, Some(Span { start, end }));
            set(&mut found.touched, slot, true);
        }
        Ok(())
    }

    fn visit_member(
        &self,
        node: &Node,
        key: Span,
        scanner: &mut Scanner<'_>,
        found: &mut Found<D>,
    ) -> Result<(), ScanError> {
        let text = scanner.text();
        let name = key.of(text);
        let named = node.child(name);
        let start = scanner.position();
        for (member, group) in &node.each {
            *scanner = Scanner::starting(text, start);
            let inner = inner_member(scanner, member)?;
            if let Some(place) = found.groups.get_mut(*group) {
                match place {
                    Some(group) if group.members.len() < MAX_MEMBERS => group.push(key, inner, text),
                    _ => *place = None,
                }
            }
        }
        match named {
            Some(child) => {
                *scanner = Scanner::starting(text, start);
                self.visit(child, scanner, found)
            }
            None if node.each.is_empty() => scanner.value().map(drop),
            None => Ok(()),
        }
    }

    /// A repeated key takes back what was found under it before.
    fn forget(&self, node: &Node, found: &mut Found<D>) {
        let place = node.slot.and_then(|slot| found.spans.get_mut(slot));
        if let Some(place) = place
            && place.take().is_none()
        {
            // Nothing was found here, so nothing was below.
            return;
        }
        for (_, group) in &node.each {
            if let Some(place) = found.groups.get_mut(*group) {
                place.get_or_insert_default().clear();
            }
        }
        for child in node.children.iter().filter_map(|&(_, child)| self.nodes.get(child)) {
            self.forget(child, found);
        }
    }
}

fn set<T>(places: &mut [T], slot: usize, value: T) {
    if let Some(place) = places.get_mut(slot) {
        *place = value;
    }
}

/// Where `name` is in the value that comes next, which is passed over.
fn inner_member(scanner: &mut Scanner<'_>, name: &str) -> Result<Option<Span>, ScanError> {
    let text = scanner.text();
    let mut found = None;
    scanner.members(|scanner, key| {
        let value = scanner.value()?;
        if key_is(key.of(text), name) {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Of no kind: paths that are searched for once.
#[derive(Clone, Copy)]
struct Once;

/// The values at some paths in `text`, which must be one whole JSON object. Of a repeated key the last one counts.
pub fn find<'t, 'p, P: Into<Option<&'p MemberPath>>, const N: usize>(
    text: &'t [u8],
    paths: [P; N],
) -> Result<[Option<&'t [u8]>; N], ScanError> {
    Ok(find_spans(text, paths)?.map(|span| Some(span?.of(text))))
}

/// As [`find`]: where the values are.
pub fn find_spans<'p, P: Into<Option<&'p MemberPath>>, const N: usize>(
    text: &[u8],
    paths: [P; N],
) -> Result<[Option<Span>; N], ScanError> {
    let mut set = PathSet::<Once>::default();
    let slots = paths.map(|path| path.into().map(|path| set.add(path)));
    let found = set.find(text)?;
    Ok(slots.map(|slot| found.spans.get(slot?.index).copied().flatten()))
}
