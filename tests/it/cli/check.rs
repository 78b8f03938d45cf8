//! `check`, and how the program ends that cannot start.

use super::{stderr, stdout};
use crate::support::{TableFolder as Folder, program::run};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn bad_configuration_ends_with_2_and_a_taken_port_with_1() {
    let output = run(&["--upstream", "nowhere"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("upstream.url = \"nowhere\" (flag --upstream)"),
        "{}",
        stderr(&output)
    );
    let folder = Folder::with("bad-table", &[("queue.toml", "about = 5\n")]);
    let dir = folder.path.display().to_string();
    for command in ["serve", "check"] {
        let output = run(&[command, "--mappings-dir", &dir], &[]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(stderr(&output).contains("queue.toml:1: "), "{}", stderr(&output));
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["--listen", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    assert_eq!(run(&["--no-such-flag"], &[]).status.code(), Some(2));
}

#[test]
fn check_prints_what_is_in_force_and_where_it_came_from() {
    let output = run(
        &["check", "--upstream", "http://comfy.lan:8188"],
        &[("JOBSHIM_DIALECT", "cloud")],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let fields = |key: &str| -> Vec<String> {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_else(|| panic!("{key}: {text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        fields("upstream.url"),
        ["upstream.url", "http://comfy.lan:8188", "flag", "--upstream"]
    );
    assert_eq!(
        fields("upstream.dialect"),
        ["upstream.dialect", "cloud", "environment", "JOBSHIM_DIALECT"]
    );
    assert_eq!(fields("upstream.ca_file"), ["upstream.ca_file", "(none)", "default"]);
}

#[test]
fn check_shows_values_in_columns_and_warnings_last() {
    let folder = Folder::with("a-folder-whose-name-is-longer-than-any-column-of-check", &[]);
    let long = folder.path.display().to_string();
    let output = run(
        &[
            "check",
            "--listen",
            "0.0.0.0:9701",
            "--state-dir",
            &long,
            "--mode",
            "canary:30",
        ],
        &[],
    );
    let text = stdout(&output);
    let columns = |line: &str, word: &str| line.find(word).unwrap_or_else(|| panic!("{word} in {line:?}"));
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).expect("a line");
    let noted = columns(line("cache.ttl "), "default");
    assert_eq!(columns(line("listen.address "), "flag --listen"), noted, "{text}");
    assert_eq!(columns(line("job_status "), "answered"), noted, "{text}");
    let mut lines = text.lines().skip_while(|line| !line.starts_with("state_dir "));
    assert!(lines.next().is_some_and(|line| line.ends_with(&long)), "{text}");
    assert_eq!(
        lines.next().map(|line| columns(line, "flag --state-dir")),
        Some(noted),
        "{text}"
    );
    let end: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(end[0].starts_with("warning: 0.0.0.0:9701 can be reached"), "{text}");
    assert_eq!(end[1], "configuration and tables are good, with 1 warning:");
}
