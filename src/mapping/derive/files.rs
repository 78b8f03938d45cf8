//! Files that a server lists one by one, under the nodes that made them, as ComfyUI has them.

use super::{separate, write_key, write_string};
use crate::mapping::json::{ScanError, decode, elements, key_is, members, quoted, spelt};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a file says of itself, and what an entry says of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::mapping) struct FileNames {
    /// The member with the id of the node.
    node: String,
    /// The member with the file's name.
    name: String,
    /// Members with words for its kind; the first word that `keys` has decides, else the last one is the key.
    kinds: Vec<String>,
    /// Under which key of the node a file of a kind is.
    keys: BTreeMap<String, String>,
    /// The members of an entry's file: its name, its folder, and where that is.
    item: [String; 3],
    /// Where files are, and where those are whose names begin with `temporary`.
    places: [String; 2],
    temporary: String,
    /// The inputs of a node in the prompt, and the one that says how the names of its files begin, with their folder.
    inputs: String,
    prefix: String,
}

/// A node's files: `(key, the files under it)`, each as JSON text.
type Keys = Vec<(String, Vec<Vec<u8>>)>;

/// Writes `files`, a list, as an object by node; `false`, and nothing written, where it is none.
pub(super) fn files_by_node(
    files: &[u8],
    prompt: Option<&[u8]>,
    names: &FileNames,
    out: &mut Vec<u8>,
) -> Result<bool, ScanError> {
    if !files.starts_with(b"[") {
        return Ok(false);
    }
    let mut nodes: Vec<(&[u8], Keys)> = Vec::new();
    let mut wrong = Ok(());
    elements(files, |file| {
        if let Err(error) = add(file, prompt, names, &mut nodes) {
            wrong = Err(error);
        }
    })?;
    wrong?;
    let mut first = true;
    out.push(b'{');
    for (node, keys) in &nodes {
        separate(&mut first, out);
        write_key(node, out);
        let mut first = true;
        out.push(b'{');
        for (key, items) in keys {
            separate(&mut first, out);
            out.extend_from_slice(quoted(key).as_bytes());
            out.extend_from_slice(b": [");
            out.extend_from_slice(&items.join(&b", "[..]));
            out.push(b']');
        }
        out.push(b'}');
    }
    out.push(b'}');
    Ok(true)
}

/// Adds one file; one without a node or a name is none that a client could ask for.
fn add<'a>(
    file: &'a [u8],
    prompt: Option<&[u8]>,
    names: &FileNames,
    nodes: &mut Vec<(&'a [u8], Keys)>,
) -> Result<(), ScanError> {
    let (mut node, mut name, mut kinds) = (None, None, vec![None; names.kinds.len()]);
    members(file, |key, value| {
        if key_is(key, &names.node) {
            node = inner(value);
        } else if key_is(key, &names.name) {
            name = inner(value);
        }
        for (kind, member) in kinds.iter_mut().zip(&names.kinds) {
            if key_is(key, member) {
                *kind = spelt(value);
            }
        }
    })?;
    let (Some(node), Some(name)) = (node, name) else {
        return Ok(());
    };
    let mut words = kinds.iter().flatten();
    let known = words.clone().find_map(|word| names.keys.get(&**word).cloned());
    let Some(key) = known.or_else(|| Some(words.next_back()?.to_string())) else {
        return Ok(());
    };
    let item = item(name, folder(name, node, prompt, names)?, names);
    let place = nodes.iter().position(|(known, _)| *known == node);
    let keys = match place.and_then(|place| nodes.get_mut(place)) {
        Some((_, keys)) => keys,
        None => {
            nodes.push((node, Vec::new()));
            match nodes.last_mut() {
                Some((_, keys)) => keys,
                None => return Ok(()),
            }
        }
    };
    match keys.iter_mut().find(|(known, _)| *known == key) {
        Some((_, items)) => items.push(item),
        None => keys.push((key, vec![item])),
    }
    Ok(())
}

fn item(name: &[u8], folder: String, names: &FileNames) -> Vec<u8> {
    let [name_member, folder_member, place_member] = &names.item;
    let [lasting, temporary] = &names.places;
    let place = match name.starts_with(names.temporary.as_bytes()) {
        true => temporary,
        false => lasting,
    };
    let mut item = vec![b'{'];
    item.extend_from_slice(quoted(name_member).as_bytes());
    item.extend_from_slice(b": ");
    write_string(name, &mut item);
    for (member, value) in [(folder_member, &folder), (place_member, place)] {
        item.extend_from_slice(format!(", {}: {}", quoted(member), quoted(value)).as_bytes());
    }
    item.push(b'}');
    item
}

/// The folder of a file, as far as its node was told how the names of its files begin: nobody else says it.
fn folder<'p>(name: &[u8], node: &[u8], prompt: Option<&'p [u8]>, names: &FileNames) -> Result<String, ScanError> {
    let Some(prompt) = prompt else {
        return Ok(String::new());
    };
    let member = |object: Option<&'p [u8]>, name: &[u8]| -> Result<Option<&'p [u8]>, ScanError> {
        let mut found = None;
        members(object.unwrap_or(b"{}"), |key, value| {
            if key == name {
                found = Some(value);
            }
        })?;
        Ok(found)
    };
    let inputs = member(member(Some(prompt), node)?, names.inputs.as_bytes())?;
    let prefix = member(inputs, names.prefix.as_bytes())?.and_then(spelt);
    let folder = prefix.and_then(|prefix| {
        let (folder, begins) = prefix.rsplit_once('/')?;
        // What stands for a date or a size is not known here.
        let is_plain = !folder.contains('%') && decode(name)?.starts_with(begins);
        is_plain.then(|| folder.to_owned())
    });
    Ok(folder.unwrap_or_default())
}

/// A string without its quotes.
fn inner(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Writes a text as the list of its lines, each with its end; `false`, and nothing written, where it is no text.
pub(super) fn lines(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(text) = spelt(text) else {
        return false;
    };
    let lines: Vec<String> = text.split_inclusive('\n').map(quoted).collect();
    out.extend_from_slice(format!("[{}]", lines.join(", ")).as_bytes());
    true
}

/// Writes an object of those members of `object` that are named; `false`, and nothing written, when there are none.
pub(super) fn only(object: &[u8], named: &[String], out: &mut Vec<u8>) -> Result<bool, ScanError> {
    let start = out.len();
    let mut first = true;
    members(object, |key, value| {
        if named.iter().any(|name| key_is(key, name)) {
            if first {
                out.push(b'{');
            }
            separate(&mut first, out);
            write_key(key, out);
            out.extend_from_slice(value);
        }
    })?;
    if out.len() > start {
        out.push(b'}');
    }
    Ok(out.len() > start)
}
