//! The command line: options before and behind the command, and what a command does not take.

use crate::support::{TableFolder as Folder, program::run};

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(arguments, &[]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), text)
}

#[test]
fn options_count_before_the_command_as_behind_it() {
    let folder = Folder::with("order", &[("bad.toml", "[upstream]\nurl = \"nowhere\"\n")]);
    let bad = folder.path.join("bad.toml").display().to_string();
    for arguments in [["--config", &bad, "check"], ["check", "--config", &bad]] {
        let (code, text) = said(&arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("bad.toml:2"), "{text}");
    }
    for command in ["check", "serve", "doctor", "health", "explain"] {
        let (code, text) =
            said(&["--upstream", "nowhere", command, "/queue"][..if command == "explain" { 4 } else { 3 }]);
        assert_eq!(code, Some(2), "{command}: {text}");
        assert!(text.contains("upstream.url = \"nowhere\""), "{command}: {text}");
    }
    let (code, text) = said(&[
        "--route",
        "queue=shadow",
        "-v",
        "--cache-ttl",
        "1m",
        "check",
        "--route",
        "history=gone",
        "-v",
        "--cache-ttl",
        "2m",
    ]);
    assert_eq!(code, Some(0), "{text}");
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    assert!(row("cache.ttl").contains("2m"), "the later one wins: {text}");
    assert!(row("log.verbosity").contains(" 2 "), "{text}");
    assert!(row("legacy.routes").contains("queue=shadow; history=gone"), "{text}");
}

#[test]
fn what_a_command_does_not_take_is_refused_before_it_too() {
    for (arguments, flag) in [
        (&["--upstream", "http://a", "demo"][..], "demo takes no --upstream"),
        (&["--config", "a.toml", "demo"], "demo takes no --config"),
        (&["--mode", "auto", "report"], "report takes no --mode"),
        (&["--listen", "127.0.0.1:1", "mapping"], "mapping takes no --listen"),
    ] {
        let (code, text) = said(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(flag), "{text}");
    }
}
