//! Many paths into one object, found in a single pass.

use super::scanner::{ScanError, Scanner, Span, key_is};

/// A set of dotted paths. Slots are given out in the order in which paths are added.
#[derive(Clone, Debug)]
pub struct Paths {
    nodes: Vec<Node>,
    slots: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, usize)>,
}

/// Where each path's value is in one text; the index is the slot.
pub type Spans = Vec<Option<Span>>;

impl Default for Paths {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            slots: 0,
        }
    }
}

impl Paths {
    /// Adds a dotted path and returns its slot; the same path twice has one slot.
    pub fn add(&mut self, path: &str) -> usize {
        let mut at = 0;
        for name in path.split('.') {
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
                        node.children.push((name.to_owned(), child));
                    }
                    child
                }
            };
        }
        let next = self.slots;
        let slot = match self.nodes.get_mut(at) {
            Some(node) => *node.slot.get_or_insert(next),
            None => next,
        };
        self.slots = self.slots.max(slot + 1);
        slot
    }

    /// Finds every path in `text`, which must be one whole JSON object. Of a repeated key the last one counts, as
    /// Python and browsers have it.
    pub fn find(&self, text: &[u8]) -> Result<Spans, ScanError> {
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            return Err(ScanError {
                at: scanner.position(),
                reason: "expected an object",
            });
        }
        let spans = self.find_next(text, &mut scanner)?;
        scanner.end()?;
        Ok(spans)
    }

    /// Finds every path in the value that `scanner` stands before, and leaves it after that value.
    pub fn find_next(&self, text: &[u8], scanner: &mut Scanner<'_>) -> Result<Spans, ScanError> {
        let mut spans = vec![None; self.slots];
        self.visit(0, text, scanner, &mut spans)?;
        Ok(spans)
    }

    // Recursion goes as deep as the longest path of the table, never as deep as the text.
    fn visit(&self, at: usize, text: &[u8], scanner: &mut Scanner<'_>, spans: &mut Spans) -> Result<(), ScanError> {
        let Some(node) = self.nodes.get(at) else {
            return scanner.value().map(drop);
        };
        self.forget(node, spans);
        let opens_object = scanner.peek() == Some(b'{');
        let start = scanner.position();
        if node.children.is_empty() || !opens_object {
            scanner.value()?;
        } else {
            scanner.expect(b'{', "expected an object")?;
            if !scanner.take(b'}') {
                loop {
                    let key = scanner.key()?.of(text);
                    match node.children.iter().find(|(name, _)| key_is(key, name)) {
                        Some(&(_, child)) => self.visit(child, text, scanner, spans)?,
                        None => drop(scanner.value()?),
                    }
                    if !scanner.take(b',') {
                        scanner.expect(b'}', "expected ',' or '}'")?;
                        break;
                    }
                }
            }
        }
        if let Some(place) = node.slot.and_then(|slot| spans.get_mut(slot)) {
            *place = Some(Span {
                start,
                end: scanner.position(),
            });
        }
        Ok(())
    }

    fn forget(&self, node: &Node, spans: &mut Spans) {
        if let Some(place) = node.slot.and_then(|slot| spans.get_mut(slot)) {
            *place = None;
        }
        for child in node.children.iter().filter_map(|&(_, child)| self.nodes.get(child)) {
            self.forget(child, spans);
        }
    }
}
