//! What somebody is told who asked for what cannot be: in words of our own, with what to do.

#![cfg(unix)]

use super::stderr;
use crate::support::{TableFolder as Folder, program::run};
use std::net::TcpListener;

#[test]
fn a_message_says_what_was_given_and_what_is_expected() {
    let folder = Folder::with("messages", &[("a.toml", "[upstream]\nurl = http://a\n")]);
    let (dir, broken) = (
        folder.path.display().to_string(),
        folder.path.join("a.toml").display().to_string(),
    );
    let token = format!("file:{dir}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    for (arguments, code, parts) in [
        // What stands alone, and belongs behind a flag.
        (&["check", "jobshim.toml"][..], 2, &["--config jobshim.toml"][..]),
        (&["jobshim.toml"], 2, &["--config jobshim.toml"]),
        (&["serve", "/etc/jobshim.conf"], 2, &["--config /etc/jobshim.conf"]),
        (&["doctor", "127.0.0.1:8188"], 2, &["--upstream http://127.0.0.1:8188"]),
        (&["doctor", "https://comfy.lan"], 2, &["--upstream https://comfy.lan"]),
        (&["http://comfy.lan:8188"], 2, &["--upstream http://comfy.lan:8188"]),
        (&["report", "127.0.0.1:8186"], 2, &["--admin http://127.0.0.1:8186"]),
        (&["health", "http://127.0.0.1:8186"], 2, &["--admin 127.0.0.1:8186"]),
        // Numbers.
        (&["report", "--days", "many"], 2, &["a whole number of days above zero"]),
        (
            &["report", "--days", "99999999999999999999"],
            2,
            &["a whole number of days above zero"],
        ),
        (&["report", "--days", "0"], 2, &["a whole number of days above zero"]),
        (
            &["check", "--listen", "70000"],
            2,
            &["\"70000\"", "a port is a number up to 65535"],
        ),
        (
            &["check", "--listen", "127.0.0.1:70000"],
            2,
            &["a port is a number up to 65535"],
        ),
        (
            &["check", "--admin", "127.0.0.1:70000"],
            2,
            &["a port is a number up to 65535"],
        ),
        (
            &["check", "--concurrency", "many"],
            2,
            &["a whole number from 1 to 256"],
        ),
        // Files.
        (
            &["check", "--config", &dir],
            2,
            &["it is a folder, and a file is expected"],
        ),
        (
            &["check", "--access-token", &token],
            2,
            &["it is a folder, and a file is expected"],
        ),
        (&["check", "--config", &broken], 2, &["a.toml:2: this is no TOML: "]),
        (
            &["check", "--ca-file", &dir],
            2,
            &["it is a folder, and a file is expected"],
        ),
        // Addresses.
        (
            &["health", "--listen", "127.0.0.1:9"],
            1,
            &["no connection to 127.0.0.1:9: ", "refused"],
        ),
        (&["report", "--admin", "127.0.0.1:9"], 1, &["refused"]),
        (
            &["explain", "/queue", "--upstream", "http://127.0.0.1:9"],
            1,
            &["refused"],
        ),
        (&["--listen", &taken], 1, &[&taken, "in use", "--listen"]),
        (
            &["--listen", "127.0.0.1:0", "--admin", &taken],
            1,
            &[&taken, "in use", "--admin"],
        ),
        (&["demo", "--listen", &taken], 1, &[&taken, "in use", "--listen"]),
        (&["--listen", "192.0.2.1:9701"], 1, &["no such address", "0.0.0.0"]),
        (
            &["--listen", "unix:/does/not/exist/socket"],
            1,
            &["there is no such folder", "--listen"],
        ),
        // Requests.
        (
            &["explain", "/history?max_items=five"],
            1,
            &["max_items", "whole number"],
        ),
        (&["explain", "POST /queue now"], 2, &["[METHOD] TARGET"]),
    ] {
        let output = run(arguments, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: no {part:?} in {said}");
        }
        for foreign in ["invalid digit", "os error", "too large", "target type"] {
            assert!(!said.contains(foreign), "{arguments:?}: {said}");
        }
    }
}
