//! Links, paths, endpoints and messages that the documents name exist.

use crate::support::{
    documents::{Document, all, document, root},
    program::run,
};
use jobshim::routes::Endpoint;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What stands between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut broken = Vec::new();
    for from in all() {
        let prose = without_blocks(&from);
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&from.path).parent().unwrap_or(Path::new(""));
            let path = match path {
                "" => PathBuf::from(&from.path),
                path => folder.join(path),
            };
            let there = root().join(&path).exists();
            if !there
                || !anchor.is_empty()
                    && !document(&path.display().to_string())
                        .anchors()
                        .contains(&anchor.to_owned())
            {
                broken.push(format!("{}: {target}", from.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

fn without_blocks(document: &Document) -> String {
    let mut inside = false;
    let lines = document.text.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of the repository that a document names in backticks, from the root.
fn paths_in(document: &Document) -> BTreeSet<String> {
    const TOP: [&str; 12] = [
        "src/",
        "tests/",
        "mappings/",
        "benches/",
        "fuzz/",
        "deploy/",
        "docs/",
        "integrations/",
        "packaging/",
        "examples/",
        ".ci/",
        ".github/",
    ];
    let prose = without_blocks(document);
    let spans = code_spans(&prose).filter(|span| TOP.iter().any(|top| span.starts_with(top)));
    spans
        .filter(|span| !span.contains(['*', ' ', '{']))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    for document in all().iter().filter(|document| document.path != "CHANGELOG.md") {
        for path in paths_in(document) {
            if !root().join(&path).exists() {
                missing.push(format!("{}: {path}", document.path));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_table_of_questions_answers_each_with_a_path() {
    let architecture = document("ARCHITECTURE.md");
    let (_, section) = architecture
        .text
        .split_once("## Where would I change ...?")
        .expect("the table of questions");
    let section = Document {
        path: architecture.path.clone(),
        text: section.split("\n## ").next().unwrap_or_default().to_owned(),
    };
    let rows = section.rows();
    assert!(rows.len() > 40, "{} questions", rows.len());
    for row in rows {
        assert!(row.len() == 2 && row[0].ends_with('?'), "{row:?}");
        let answer = Document {
            path: String::new(),
            text: row[1].to_owned(),
        };
        let found = paths_in(&answer);
        assert!(!found.is_empty(), "no path answers {row:?}");
        let gone: Vec<_> = found.iter().filter(|path| !root().join(path).exists()).collect();
        assert!(gone.is_empty(), "{}: {gone:?} is not there", row[0]);
    }
}

#[test]
fn every_layer_is_in_the_table_of_layers() {
    let text = document("ARCHITECTURE.md").text;
    for entry in fs::read_dir(root().join("src")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let shown = match path.is_dir() {
            true => format!("`src/{name}/`"),
            false => format!("`src/{name}`"),
        };
        assert!(
            name == "lib.rs" || text.contains(&shown),
            "{shown} is not in ARCHITECTURE.md"
        );
    }
}

#[test]
fn every_endpoint_in_the_table_is_a_legacy_one_and_none_is_missing() {
    let page = document("docs/endpoints.md");
    let mut listed = BTreeSet::new();
    for row in page.rows() {
        let Some(endpoint) = code_spans(row[0])
            .next()
            .filter(|span| ["GET /", "POST /"].iter().any(|method| span.starts_with(method)))
        else {
            continue;
        };
        let (method, path) = endpoint.split_once(' ').expect("a method and a path");
        let path = path.replace("{id}", "ID");
        let mut paths = vec![path.clone()];
        if row[0].ends_with('*') {
            paths.push(format!("/api{path}"));
        }
        for path in paths {
            let output = run(&["explain", method, &path], &[]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let wanted = match endpoint {
                "POST /prompt" => "says what is noted of it",
                _ => "is in mode translate",
            };
            assert!(said.contains(wanted), "{method} {path}: {said}");
        }
        listed.insert(endpoint);
    }
    let legacy = Endpoint::ALL.into_iter().filter(|endpoint| endpoint.is_legacy());
    for endpoint in legacy {
        assert!(
            listed.contains(endpoint.shown()),
            "{} is not in {listed:?}",
            endpoint.shown()
        );
    }
}

#[test]
fn every_message_in_troubleshooting_is_one_that_the_code_has() {
    let code = source_texts(&root().join("src"));
    let page = document("docs/troubleshooting.md");
    let messages: Vec<&str> = page
        .rows()
        .iter()
        .filter_map(|row| row[0].strip_prefix('`')?.strip_suffix('`'))
        .collect();
    assert!(messages.len() > 50, "{messages:#?}");
    let lost: Vec<&&str> = messages
        .iter()
        .filter(|message| message.split("...").any(|part| !code.contains(part.trim())))
        .collect();
    assert!(lost.is_empty(), "no such messages any more: {lost:#?}");
}

/// All of the code, where a text that goes on in the next line is one.
fn source_texts(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &source_texts(&path);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let mut pieces = text.split("\\\n");
            all += pieces.next().unwrap_or_default();
            all.extend(pieces.map(str::trim_start));
        }
    }
    all
}

#[test]
fn the_readme_is_for_ten_minutes() {
    let lines = document("README.md").text.lines().count();
    assert!(lines <= 150, "{lines} lines: move some to docs/");
}
