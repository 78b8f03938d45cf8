//! The folders of `src/` are layers. `lib.rs` lists them from top to bottom, and a file imports only from layers below its
//! own. No files of several folders import each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The text of each module, by its path, such as `proxy::forward`. The root has the empty path.
type Sources = BTreeMap<String, String>;

fn sources() -> Sources {
    fn read(folder: &Path, module: &str, into: &mut Sources) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            let below = if module.is_empty() {
                name.to_owned()
            } else {
                format!("{module}::{name}")
            };
            if path.is_dir() {
                read(&path, &below, into);
            } else if path.extension().is_some_and(|end| end == "rs") && name != "main" {
                let module = if matches!(name, "mod" | "lib") { module } else { &below };
                into.insert(module.to_owned(), fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let mut into = Sources::new();
    read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut into);
    into
}

/// The code of a file without its comments and tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Each path that a use tree names: `a::{b, c::{d}}` names `a::b` and `a::c::d`.
fn leaves(tree: &str, prefix: &str, into: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        into.push(format!("{prefix}{}", path.trim().trim_end_matches("::self")));
        return;
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut from) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&inner[from..at], &prefix, into);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        leaves(&inner[from..], &prefix, into);
    }
}

/// The paths that a file uses, in `use` and in the code, with whether they are re-exported.
fn paths(code: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words = line.trim_start();
        let after_visibility = match words.strip_prefix("pub") {
            Some(after) if after.starts_with('(') => {
                after.split_once(')').map_or(after, |(_, after)| after).trim_start()
            }
            Some(after) => after.trim_start(),
            None => words,
        };
        let Some(tree) = after_visibility.strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push(' ');
            tree.push_str(lines.next().expect("the end of a use").trim());
        }
        let mut named = Vec::new();
        leaves(tree.split(';').next().unwrap_or_default(), "", &mut named);
        found.extend(named.into_iter().map(|path| (path, words.starts_with("pub"))));
    }
    // `pub(in crate::mapping)` is a visibility, and imports nothing.
    let named = rest
        .match_indices("crate::")
        .filter(|(at, _)| !rest[..*at].ends_with("(in "));
    for (at, _) in named {
        let path: String = rest[at..]
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || matches!(letter, ':' | '_'))
            .collect();
        found.push((path, false));
    }
    found
}

/// What imports what: module to modules, where an item that a module passes on counts for the module that has it.
fn arrows(sources: &Sources) -> BTreeMap<String, BTreeSet<String>> {
    let resolve = |path: &str| {
        let mut module = path;
        loop {
            if !module.is_empty() && sources.contains_key(module) {
                let item = path[module.len()..].trim_start_matches("::");
                return Some((
                    module.to_owned(),
                    item.split("::").next().unwrap_or_default().to_owned(),
                ));
            }
            module = module.rsplit_once("::")?.0;
        }
    };
    let absolute = |me: &str, path: &str| {
        let mut base: Vec<&str> = me.split("::").filter(|part| !part.is_empty()).collect();
        let mut parts = path.split("::").peekable();
        match *parts.peek()? {
            "crate" => {
                parts.next();
                base.clear();
            }
            "super" => {
                while parts.next_if_eq(&"super").is_some() {
                    base.pop();
                }
            }
            "self" => drop(parts.next()),
            child => {
                let child = base.iter().copied().chain([child]).collect::<Vec<_>>().join("::");
                sources.contains_key(&child).then_some(())?;
            }
        }
        Some(base.into_iter().chain(parts).collect::<Vec<_>>().join("::"))
    };
    let used = sources.iter().map(|(me, text)| {
        let paths = paths(&code(text)).into_iter();
        let paths = paths.filter_map(|(path, public)| Some((resolve(&absolute(me, &path)?)?, public)));
        (me.clone(), paths.collect::<Vec<_>>())
    });
    let used: BTreeMap<_, _> = used.collect();
    let passed_on = |module: &str, item: &str| {
        let uses = used.get(module)?.iter();
        let mut there = uses.filter(|((from, name), public)| *public && name == item && from != module);
        there.next().map(|((from, _), _)| from.clone())
    };
    let mut arrows = BTreeMap::new();
    for (me, uses) in &used {
        let mut to = BTreeSet::new();
        for ((module, item), _) in uses {
            let mut module = module.clone();
            while let Some(from) = passed_on(&module, item) {
                module = from;
            }
            to.insert(module);
        }
        to.remove(me);
        arrows.insert(me.clone(), to);
    }
    arrows
}

/// From top to bottom, as the root declares them.
fn layers(sources: &Sources) -> Vec<String> {
    let root = code(sources.get("").expect("the root"));
    let declared = root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    declared.map(str::to_owned).collect()
}

fn layer_of(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// Arrows that run up, or between two layers of which neither is below the other.
fn upward(sources: &Sources) -> Vec<String> {
    let layers = layers(sources);
    let depth = |module: &str| layers.iter().position(|layer| layer == layer_of(module));
    let mut wrong = Vec::new();
    for (from, targets) in arrows(sources) {
        for to in targets {
            if layer_of(&from) != layer_of(&to) && depth(&from) >= depth(&to) {
                wrong.push(format!("{from} -> {to}"));
            }
        }
    }
    wrong
}

fn folder(module: &str, sources: &Sources) -> String {
    let has_children = sources.keys().any(|other| other.starts_with(&format!("{module}::")));
    match (has_children, module.rsplit_once("::")) {
        (true, _) => module.to_owned(),
        (false, Some((folder, _))) => folder.to_owned(),
        (false, None) => String::new(),
    }
}

/// Pairs of files in different folders that reach each other.
fn circles(sources: &Sources) -> Vec<String> {
    let arrows = arrows(sources);
    let reachable = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = open.pop() {
            for to in arrows.get(&module).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<_, _> = arrows
        .keys()
        .map(|module| (module.clone(), reachable(module)))
        .collect();
    let mut wrong = Vec::new();
    for (from, to) in arrows
        .iter()
        .flat_map(|(from, targets)| targets.iter().map(move |to| (from, to)))
    {
        let back = reach.get(to).is_some_and(|seen| seen.contains(from));
        if back && folder(from, sources) != folder(to, sources) {
            wrong.push(format!("{from} -> {to} and back"));
        }
    }
    wrong
}

#[test]
fn every_file_imports_only_from_layers_below_its_own() {
    let sources = sources();
    assert!(layers(&sources).len() > 10, "{:?}", layers(&sources));
    let wrong = upward(&sources);
    assert!(wrong.is_empty(), "arrows that run up or sideways: {wrong:#?}");
}

#[test]
fn no_files_of_several_folders_import_each_other_in_a_circle() {
    let wrong = circles(&sources());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_is_a_layer_and_every_layer_is_there() {
    let sources = sources();
    let layers: BTreeSet<String> = layers(&sources).into_iter().collect();
    let there: BTreeSet<String> = sources.keys().map(|module| layer_of(module).to_owned()).collect();
    assert_eq!(
        there
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect::<BTreeSet<_>>(),
        layers
    );
}

/// Tests behind the code may be for one system alone: what says so stands before them.
fn without_attribute(code: &str) -> &str {
    match code.trim_end().rsplit_once('\n') {
        Some((code, last)) if last.starts_with("#[cfg(") => code,
        _ => code,
    }
}

#[test]
fn only_the_lowest_layer_asks_which_system_it_is_on() {
    let asking = [
        "cfg(unix",
        "cfg(windows",
        "cfg!(unix",
        "cfg!(windows",
        "target_os",
        "target_family",
        "os::unix",
        "os::windows",
        "signal::unix",
        "signal::windows",
    ];
    let sources = sources();
    let asks = |text: &str| asking.into_iter().find(|word| text.contains(word));
    let found: BTreeMap<_, _> = sources
        .iter()
        .filter(|(module, _)| layer_of(module) != "os" && !module.ends_with("::tests"))
        .filter_map(|(module, text)| Some((module, asks(without_attribute(&code(text)))?)))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(sources.get("os").is_some_and(|text| asks(text).is_some()));
}

#[test]
fn an_import_that_is_turned_round_is_seen() {
    let turned = |module: &str, import: &str| {
        let mut sources = sources();
        let text = sources.get_mut(module).unwrap_or_else(|| panic!("{module}"));
        text.insert_str(0, import);
        sources
    };
    let one = turned(
        "http::via",
        "use crate::{\n    config::Config,\n    proxy::{self, failure::forbidden},\n};\n",
    );
    let wrong = [
        "http::via -> config::validated",
        "http::via -> proxy",
        "http::via -> proxy::failure",
    ];
    assert_eq!(upward(&one), wrong);
    let other = turned("upstream::http1::head", "use crate::upstream::pool::Pool;\n");
    let wrong = circles(&other);
    assert!(
        wrong.contains(&"upstream::http1::head -> upstream::pool and back".to_owned()),
        "{wrong:?}"
    );
}
