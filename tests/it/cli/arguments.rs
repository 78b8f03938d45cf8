//! The command line: options before and behind the command, and what a command does not take.

use crate::support::{
    TableFolder as Folder,
    program::{Program, run},
    upstream::Scripted,
};
use std::process::Command;

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

#[tokio::test(flavor = "multi_thread")]
async fn report_asks_where_the_configuration_says_or_any_address_that_is_meant() {
    let upstream = Scripted::always(200, &[], "{}").await;
    let url = upstream.url();
    let mut program = Program::start(
        &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &url],
        &[],
    );
    let port = program.admin().port();
    let (address, everywhere) = (format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"));
    let folder = Folder::with("report", &[("a.toml", &format!("[admin]\naddress = \"{address}\"\n"))]);
    let file = folder.path.join("a.toml").display().to_string();
    for (arguments, admin) in [
        (&["report", "--admin", &address][..], "off"),
        (&["--admin", &address, "report"], "off"),
        (&["report", "--admin", &format!("http://{address}/")], "off"),
        (&["report", "--admin", &port.to_string()], "off"),
        (&["report", "--admin", &format!("localhost:{port}")], "off"),
        (&["report"], &address),
        (&["report"], &everywhere),
        (&["report", "--config", &file], ""),
        (&["--config", &file, "report"], ""),
    ] {
        let output = run(arguments, &[("JOBSHIM_ADMIN", admin)]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {admin}: {text}");
        assert!(text.contains("Legacy calls that"), "{text}");
    }
    let (code, text) = said(&["report"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the admin listener is off"), "{text}");
}

#[test]
fn a_mistyped_flag_or_command_is_understood() {
    for (arguments, meant) in [
        (&["--upstrem", "http://a"][..], "--upstream"),
        (&["chekc"], "check"),
        (&["--mode", "shaddow"], "did you mean shadow?"),
        (&["--route", "histroy=gone"], "did you mean history?"),
    ] {
        let (code, text) = said(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(meant), "{meant} is not in {text}");
    }
}

#[test]
fn completions_are_printed_for_a_shell_and_know_the_modes() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, text) = said(&["completions", shell]);
        assert_eq!(code, Some(0), "{text}");
        for word in ["translate", "shadow", "canary:", "completions", "--mode"] {
            let word = if shell == "fish" {
                word.trim_start_matches("--")
            } else {
                word
            };
            let word = if shell == "zsh" {
                word.trim_end_matches(':')
            } else {
                word
            };
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    // As bash asks for them when somebody types `jobshim --mode <TAB>`.
    let (_, text) = said(&["completions", "bash"]);
    let script = format!(
        "{text}\nCOMP_WORDS=(jobshim --mode s)\nCOMP_CWORD=2\n_jobshim jobshim s --mode\necho \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "shadow");
}

#[test]
fn mapping_reads_the_folder_that_variable_or_file_names() {
    let folder = Folder::with("mapping-folder", &[("queue.toml", "about = 5\n")]);
    let dir = folder.path.display().to_string();
    let output = run(&["mapping"], &[("JOBSHIM_MAPPINGS_DIR", &dir)]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(said(&["--mappings-dir", &dir, "mapping"]).0, Some(2));
    assert_eq!(said(&["mapping", "--mappings-dir", &dir]).0, Some(2));
}
