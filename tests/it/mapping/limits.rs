//! Tables that are too deep or too large, and links to tables that lead nowhere: `check` says so, and nothing runs with them.

use crate::support::{TableFolder, program::run};

/// What `check` says of a folder, and its exit code.
fn check(folder: &TableFolder) -> (Option<i32>, String) {
    let output = run(&["check", "--mappings-dir", &folder.path.display().to_string()], &[]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn assert_refused(name: &str, file: &str, text: &str, reason: &str) {
    let folder = TableFolder::with(&format!("limits-{name}"), &[(file, text)]);
    let (code, said) = check(&folder);
    assert_eq!(code, Some(2), "{name}: {said}");
    assert!(
        said.contains(file) && said.contains(reason),
        "{name}: no {reason:?} in {said}"
    );
}

fn built_in(name: &str) -> String {
    crate::support::built_in(name.trim_end_matches(".toml"))
}

/// `built_in` with `new` instead of `old`.
fn with(name: &str, old: &str, new: &str) -> String {
    let text = built_in(name);
    assert!(text.contains(old), "{old:?} is not in {name}");
    text.replacen(old, new, 1)
}

#[test]
fn a_path_of_three_thousand_segments_is_refused_wherever_it_stands() {
    let deep = vec!["a"; 3_000].join(".");
    let indices = "[0]".repeat(3_000);
    let segments = "segments, and 32 are the most";
    for (name, file, text) in [
        (
            "from",
            "history.toml",
            with("history.toml", "\"priority\"", &format!("\"{deep}\"")),
        ),
        (
            "to",
            "history.toml",
            with("history.toml", "\"prompt[0]\"", &format!("\"{deep}\"")),
        ),
        (
            "index",
            "history.toml",
            with("history.toml", "\"prompt[0]\"", &format!("\"prompt{indices}\"")),
        ),
        (
            "derived",
            "history.toml",
            with("history.toml", "of = \"outputs\"", &format!("of = \"{deep}\"")),
        ),
        (
            "member",
            "history.toml",
            with(
                "history.toml",
                "path = \"api_key_comfy_org\"",
                &format!("path = \"{deep}\""),
            ),
        ),
        (
            "id",
            "prompt.toml",
            with("prompt.toml", "\"prompt_id\"", &format!("\"{deep}\"")),
        ),
        (
            "write",
            "writes.toml",
            with("writes.toml", "\"clear\"", &format!("\"{deep}\"")),
        ),
        (
            "dialect",
            "dialect-comfyui.toml",
            with("dialect-comfyui.toml", "\"create_time\"", &format!("\"{deep}\"")),
        ),
    ] {
        assert_refused(name, file, &text, segments);
    }
    // As deep as may be.
    let most = vec!["a"; 32].join(".");
    let text = with("history.toml", "\"priority\"", &format!("\"{most}\""));
    let (code, said) = check(&TableFolder::with("limits-most", &[("history.toml", &text)]));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn parts_within_parts_and_rows_without_end_are_refused() {
    let row = |nth: usize| format!("\n[[field]]\nto = \"x{nth}\"\ndefault = 1\nfidelity = \"exact\"\n");
    let rows: String = (0..1_001).map(row).collect();
    assert_refused(
        "rows",
        "history.toml",
        &(built_in("history.toml") + &rows),
        "more than 1000 rows",
    );
    // Each part uses the one before it, `times` over.
    let chain = |length: usize, times: usize| -> String {
        let part = |nth: usize| -> String {
            let fields = (0..times).map(|time| {
                let from = match nth {
                    0 => "\"id\"".to_owned(),
                    _ => format!("{{ part = \"p{:04}\" }}", nth - 1),
                };
                format!("\n[[part.p{nth:04}]]\nto = \"x{time}\"\nfrom = [{from}]\nfidelity = \"exact\"\n")
            });
            fields.collect()
        };
        (0..length).map(part).collect()
    };
    let text = built_in("history.toml") + &chain(990, 1);
    assert_refused(
        "chain",
        "history.toml",
        &text,
        "more than 8 parts are within each other",
    );
    let text = built_in("history.toml") + &chain(8, 9);
    assert_refused("tree", "history.toml", &text, "more than 10000 fields");
    let long = format!("{}# {}\n", built_in("history.toml"), "x".repeat(1 << 20));
    assert_refused("bytes", "history.toml", &long, "longer than 1048576 bytes");
    let nested = with(
        "history.toml",
        "default = 0",
        &format!("default = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
    );
    assert_refused("nested", "history.toml", &nested, "recurs");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_said_and_the_built_in_table_not_taken_for_it() {
    for link in ["queue.toml", "answers/queue.toml", "dialects/cloud.toml"] {
        let folder = TableFolder::with("limits-link", &[]);
        let link = folder.path.join(link);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        std::os::unix::fs::symlink(folder.path.join("gone.toml"), &link).expect("a link");
        let (code, said) = check(&folder);
        assert_eq!(code, Some(2), "{link:?}: {said}");
        let name = link.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(said.contains(name), "{said}");
    }
}
