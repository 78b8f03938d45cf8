//! The nodes of a workflow.

use super::{
    expansion::{Origin, PromptNodes},
    separate, write_key, write_string,
};
use crate::mapping::{
    classes::Classes,
    json::{Group, ScanError, Span, decode, elements, members, quoted, spelt, string_value},
};
use memchr::memchr;
use std::collections::HashSet;

/// The ids of those `nodes` whose class is an output node, and that the list `only` names if there is one.
pub(super) fn output_nodes(
    nodes: Option<(&[u8], &Group)>,
    only: Option<&[u8]>,
    classes: &dyn Classes,
    out: &mut Vec<u8>,
) -> Result<bool, ScanError> {
    let Some((text, nodes)) = nodes else {
        return Ok(false);
    };
    let mut wanted = only.map(|_| HashSet::new());
    if let (Some(list), Some(wanted)) = (only, &mut wanted) {
        elements(list, |id| wanted.extend(string_value(id)))?;
    }
    let is_wanted = |id: &[u8]| {
        wanted
            .as_ref()
            .is_none_or(|wanted| decode(id).is_some_and(|id| wanted.contains(&id)))
    };
    let is_output = |class: &Span| classes.is_output(&spelt(class.of(text))?);
    let known: Vec<Option<bool>> = nodes.kinds.iter().map(is_output).collect();
    let start = out.len();
    let mut first = true;
    out.push(b'[');
    for (id, class) in &nodes.members {
        match class.and_then(|class| known.get(class).copied().flatten()) {
            Some(true) if is_wanted(id.of(text)) => {
                separate(&mut first, out);
                write_string(id.of(text), out);
            }
            Some(_) => {}
            None => {
                out.truncate(start);
                return Ok(false);
            }
        }
    }
    out.push(b']');
    Ok(true)
}

/// What is known of each node with outputs. One that another node made stands for the one of the `prompt` behind it
/// (docs/contract.md section 3).
pub(super) fn node_meta(
    outputs: &[u8],
    prompt: Option<&[u8]>,
    names: [&String; 4],
    out: &mut Vec<u8>,
) -> Result<(), ScanError> {
    let [node, display, parent, real] = names.map(|name| quoted(name));
    // Most jobs have no such node, and need no look at their prompt.
    let mut made = false;
    members(outputs, |id, _| made |= memchr(b'.', id).is_some())?;
    let nodes = match prompt {
        Some(prompt) if made => PromptNodes::read(prompt)?,
        _ => None,
    };
    let mut first = true;
    out.push(b'{');
    members(outputs, |id, _| {
        separate(&mut first, out);
        write_key(id, out);
        let id = String::from_utf8_lossy(id);
        let id = id.as_bytes();
        let origin = Origin::find(id, nodes.as_ref());
        let shown = origin.as_ref().map_or(id, |origin| origin.real);
        let members = [
            (&node, Some(id)),
            (&display, Some(shown)),
            (&parent, origin.as_ref().map(|origin| origin.parent)),
            (&real, Some(shown)),
        ];
        out.push(b'{');
        let mut first = true;
        for (name, value) in members {
            separate(&mut first, out);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            match value {
                Some(id) => write_string(id, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    })?;
    out.push(b'}');
    Ok(())
}
