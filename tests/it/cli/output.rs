//! A command whose reader goes away ends in silence, as other programs do.

use super::stderr;
use crate::support::{
    program::{Program, program},
    upstream::Scripted,
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// As a shell reports of a program whose reader has gone.
const READER_GONE: i32 = 141;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().env("JOBSHIM_ADMIN", "off");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_every_command_in_silence() {
    let upstream = Scripted::always(200, &[], "{}").await;
    let url = upstream.url();
    let mut running = Program::before(&url, &["--admin", "127.0.0.1:0"]);
    let admin = running.admin().to_string();
    for arguments in [
        &["check"][..],
        &["report", "--admin", &admin],
        &["report", "--admin", &admin, "--format", "json"],
        &["doctor", "--upstream", &url],
        &["explain", "/history"],
        &["explain", "POST", "/queue"],
        &["mapping"],
        &["mapping", "--format", "markdown"],
        &["health", "--admin", &admin],
        &["health", "--admin", &admin, "--ready"],
        &["completions", "bash"],
        &["demo", "--listen", "127.0.0.1:0", "--admin", "off"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command(arguments).stdout(writer).output().expect("the program runs");
        assert_eq!(stderr(&ended), "", "{arguments:?}");
        assert_eq!(ended.status.code(), Some(READER_GONE), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["check", "--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command(arguments).stdout(writer).output().expect("the program runs");
        assert_eq!(
            (stderr(&ended).as_str(), ended.status.code()),
            ("", Some(0)),
            "{arguments:?}"
        );
    }
}

#[test]
fn one_line_can_be_taken_of_what_is_longer_than_a_pipe_holds() {
    let mut child = command(&["mapping"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, child.stdout.take().expect("stdout"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let ended = child.wait_with_output().expect("an end");
    assert!(!line.is_empty() && stderr(&ended).is_empty(), "{}", stderr(&ended));
}

#[test]
fn complaints_that_nobody_reads_change_no_exit_code() {
    for (arguments, code) in [
        (&["check", "--upstream", "nowhere"][..], 2),
        (&["health", "--listen", "127.0.0.1:9"], 1),
        (&["mapping", "nothing"], 2),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = command(arguments).stderr(writer).output().expect("the program runs");
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("a full device");
    let ended = command(&["check"]).stdout(full).output().expect("the program runs");
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        stderr(&ended).contains("the output cannot be written"),
        "{}",
        stderr(&ended)
    );
}
