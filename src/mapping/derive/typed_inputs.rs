//! A prompt as the server queues it: while it validates a prompt, it turns the inputs' values into the types that their
//! nodes' classes declare, and that is what its queue and its history show from then on.
//!
//! It begins with the output nodes and follows the links from there: what is not reached stays as it was sent, and so does
//! a value that cannot be converted. A node whose class is not known stays as it was sent too.

use super::python::convert;
use crate::mapping::{
    classes::Classes,
    inputs::ClassInputs,
    json::{ScanError, Scanner, Span, decode, elements, key_is, members, spelt, string_value},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

/// The members that count here.
pub(super) struct Names<'a> {
    /// Of a node: its class.
    pub class: &'a str,
    /// Of a node: its inputs.
    pub inputs: &'a str,
    /// Of an input's value: the value itself, as a list would be a link.
    pub wrapped: &'a str,
}

struct Node<'a> {
    class: Option<Cow<'a, str>>,
    inputs: Option<Span>,
}

/// A value that the server has otherwise.
type Edit<'a> = (Span, Cow<'a, [u8]>);

/// Writes `prompt` as it is queued; every byte that is not of a converted value stays. `only` lists the nodes of a partial
/// execution.
pub(super) fn typed_inputs(
    prompt: &[u8],
    names: &Names<'_>,
    only: Option<&[u8]>,
    classes: &dyn Classes,
    out: &mut Vec<u8>,
) -> Result<(), ScanError> {
    let nodes = read_nodes(prompt, names)?;
    let mut wanted = only.map(|_| HashSet::new());
    if let (Some(list), Some(wanted)) = (only, &mut wanted) {
        elements(list, |id| wanted.extend(string_value(id)))?;
    }
    let is_output = |node: &Node<'_>| {
        let class = node.class.as_deref();
        // One of which nothing is known may be an output node.
        class.and_then(|class| classes.is_output(class)).unwrap_or(true)
    };
    let is_wanted = |id: &String| wanted.as_ref().is_none_or(|wanted| wanted.contains(id));
    let outputs = nodes.iter().filter(|(id, node)| is_wanted(id) && is_output(node));
    let mut to_visit: Vec<String> = outputs.map(|(id, _)| id.clone()).collect();
    let mut visited = HashSet::new();
    let mut edits = Vec::new();
    while let Some(id) = to_visit.pop() {
        let Some(node) = nodes.get(&id).filter(|_| visited.insert(id)) else {
            continue;
        };
        let declared = node.class.as_deref().and_then(|class| classes.inputs(class));
        visit(prompt, node, declared, names, &mut edits, &mut to_visit)?;
    }
    edits.sort_unstable_by_key(|(span, _)| span.start);
    let mut written = 0;
    for (span, value) in edits {
        out.extend_from_slice(prompt.get(written..span.start).unwrap_or_default());
        out.extend_from_slice(&value);
        written = span.end;
    }
    out.extend_from_slice(prompt.get(written..).unwrap_or_default());
    Ok(())
}

/// The nodes by their ids; of a repeated id the last one counts.
fn read_nodes<'a>(prompt: &'a [u8], names: &Names<'_>) -> Result<HashMap<String, Node<'a>>, ScanError> {
    let mut nodes = HashMap::new();
    Scanner::new(prompt).members(|scanner, id| {
        let mut node = Node {
            class: None,
            inputs: None,
        };
        scanner.members(|scanner, key| {
            let (key, value) = (key.of(prompt), scanner.value()?);
            if key_is(key, names.class) {
                node.class = spelt(value.of(prompt));
            } else if key_is(key, names.inputs) {
                node.inputs = Some(value);
            }
            Ok(())
        })?;
        nodes.extend(decode(id.of(prompt)).map(|id| (id, node)));
        Ok(())
    })?;
    Ok(nodes)
}

/// Finds what becomes of one node's inputs, and the nodes that it is linked to.
fn visit<'a>(
    prompt: &'a [u8],
    node: &Node<'a>,
    declared: Option<&ClassInputs>,
    names: &Names<'_>,
    edits: &mut Vec<Edit<'a>>,
    to_visit: &mut Vec<String>,
) -> Result<(), ScanError> {
    let Some(inputs) = node.inputs.filter(|inputs| inputs.of(prompt).starts_with(b"{")) else {
        return Ok(());
    };
    let mut sent: Vec<(String, Span)> = Vec::new();
    let mut scanner = Scanner::starting(prompt, inputs.start);
    scanner.members(|scanner, key| {
        let value = scanner.value()?;
        sent.extend(decode(key.of(prompt)).map(|name| (name, value)));
        Ok(())
    })?;
    let value_of = |name: &str| {
        let found = sent.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.of(prompt))
    };
    for (name, span) in &sent {
        let value = span.of(prompt);
        let known = declared.map(|declared| declared.find(name, &value_of));
        match (value.first(), known) {
            // The server does not look at what its class does not declare.
            (_, Some(None)) => {}
            (Some(b'['), _) => to_visit.extend(linked(value)?),
            (_, Some(Some(to))) => {
                let inner = unwrapped(value, names.wrapped)?;
                let converted = to.and_then(|to| convert(inner, to));
                let becomes = converted.unwrap_or(Cow::Borrowed(inner));
                if *becomes != *value {
                    edits.push((*span, becomes));
                }
            }
            (_, None) => {}
        }
    }
    Ok(())
}

/// The node that a link leads to: a list of two, of which it is the first.
fn linked(value: &[u8]) -> Result<Option<String>, ScanError> {
    let (mut first, mut count) = (None, 0);
    elements(value, |item| {
        first = first.or(Some(item));
        count += 1;
    })?;
    Ok(first.filter(|_| count == 2).and_then(string_value))
}

/// What is in the wrapper of a value, if it has one.
fn unwrapped<'a>(value: &'a [u8], wrapper: &str) -> Result<&'a [u8], ScanError> {
    let mut inner = value;
    members(value, |key, wrapped| {
        if key_is(key, wrapper) {
            inner = wrapped;
        }
    })?;
    Ok(inner)
}
