//! Which node made another one while the job ran, told by its id.
//!
//! A node that expands to a graph names what is in it after itself: its own id, which of its calls it was, which graph of
//! that call, and the name in the graph, so `5.0.0.2`. What is made so can expand again: `5.0.0.2.0.0.1`. The server knows
//! the maker of each; what it shows as its parent is that maker, and as its real node the one of the prompt behind it.

use crate::mapping::json::{ScanError, decode, members};
use memchr::{memchr, memrchr_iter};
use std::collections::HashSet;

/// The ids of a prompt's nodes.
pub(super) struct PromptNodes(HashSet<String>);

/// Where a node comes from that another one made; both are beginnings of its id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    /// The node that made it.
    pub parent: &'a [u8],
    /// The node of the prompt behind that one.
    pub real: &'a [u8],
}

impl PromptNodes {
    /// Those of `prompt`; `None` where it is no object.
    pub(super) fn read(prompt: &[u8]) -> Result<Option<Self>, ScanError> {
        let mut ids = HashSet::new();
        members(prompt, |id, _| ids.extend(decode(id)))?;
        Ok(prompt.starts_with(b"{").then_some(Self(ids)))
    }

    fn has(&self, id: &[u8]) -> bool {
        decode(id).is_some_and(|id| self.0.contains(&id))
    }

    /// The node of the prompt that is behind `id`, if it is not `id` itself.
    fn real<'a>(&self, id: &'a [u8]) -> Option<&'a [u8]> {
        if self.has(id) {
            return None;
        }
        let beginnings = || memrchr_iter(b'.', id).filter_map(|dot| id.split_at_checked(dot));
        let known = || beginnings().filter(|(real, _)| self.has(real));
        let made = known().find(|(_, rest)| name_in_graph(rest).is_some());
        made.or_else(|| known().next()).map(|(real, _)| real)
    }
}

impl<'a> Origin<'a> {
    /// Where `id` comes from; `None` when it was not expanded. Without a prompt, the part before the first dot made it.
    pub(super) fn find(id: &'a [u8], nodes: Option<&PromptNodes>) -> Option<Self> {
        let real = match nodes {
            Some(nodes) => nodes.real(id)?,
            None => memchr(b'.', id).and_then(|dot| id.get(..dot))?,
        };
        let mut parent = real;
        while let Some(name) = id.get(parent.len()..).and_then(name_in_graph) {
            // A loop keeps the id of the node that it repeats, which begins with the real node's, as a name.
            let repeated = name.strip_prefix(real).and_then(name_in_graph);
            if parent.len() > real.len() && repeated.is_some() {
                break;
            }
            let first = memchr(b'.', name).unwrap_or(name.len());
            let made = id.len() - name.len() + first;
            match id.split_at_checked(made) {
                Some((next, rest)) if name_in_graph(rest).is_some() => parent = next,
                _ => break,
            }
        }
        Some(Self { parent, real })
    }
}

/// The name that follows a node's id where that node made it: behind `.CALL.GRAPH.`.
fn name_in_graph(rest: &[u8]) -> Option<&[u8]> {
    let number = |rest: &[u8]| -> Option<usize> {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(digits)
    };
    let rest = rest.strip_prefix(b".")?;
    let rest = rest.get(number(rest)?..)?.strip_prefix(b".")?;
    let name = rest.get(number(rest)?..)?.strip_prefix(b".")?;
    (!name.is_empty()).then_some(name)
}
