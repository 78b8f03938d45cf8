//! The nodes of a workflow.

use super::{separate, write_key, write_string};
use crate::mapping::{
    paths::Inner,
    plan::Classes,
    scanner::{ScanError, decode, elements, members, spelt, string_value},
    table::quoted,
};
use std::collections::HashSet;

/// The ids of those `nodes` whose class is an output node, and that the list `only` names if there is one.
pub(super) fn output_nodes(
    nodes: Option<(&[u8], &[Inner])>,
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
    let start = out.len();
    let mut first = true;
    out.push(b'[');
    for (id, class) in nodes {
        let class = class.and_then(|class| spelt(class.of(text)));
        match class.and_then(|class| classes.is_output(&class)) {
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

/// A node that another one expanded to (`5.0.0.2`) stands for the one before the first dot (CONTRACT.md section 3).
pub(super) fn node_meta(outputs: &[u8], names: [&String; 4], out: &mut Vec<u8>) -> Result<(), ScanError> {
    let [node, display, parent, real] = names.map(|name| quoted(name));
    let mut first = true;
    out.push(b'{');
    members(outputs, |id, _| {
        separate(&mut first, out);
        write_key(id, out);
        let id = String::from_utf8_lossy(id);
        let shown = id.split_once('.').map_or(&*id, |(origin, _)| origin);
        let above = if id.contains('.') {
            format!("\"{shown}\"")
        } else {
            "null".to_owned()
        };
        let meta = format!("{{{node}: \"{id}\", {display}: \"{shown}\", {parent}: {above}, {real}: \"{shown}\"}}");
        out.extend_from_slice(meta.as_bytes());
    })?;
    out.push(b'}');
    Ok(())
}
