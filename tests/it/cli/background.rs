//! `start`, `stop` and `status`: the program itself in the background.

#![cfg(unix)]

use super::{one_job, stderr, stdout};
use crate::support::{
    Client, StateFolder, TableFolder,
    program::{Program, run},
    upstream::Scripted,
    wait::{as_soon_as, until},
};
use clap::Parser;
use jobshim::{
    cli::arguments::{Cli, Command},
    demo::{Options, Rules, Simulator},
};
use std::{fs, net::SocketAddr, path::PathBuf, process};

/// A folder for one jobshim in the background, which is gone when this is dropped.
struct Background(StateFolder);

/// Exit code, and all that was said.
type Said = (Option<i32>, String);

impl Background {
    fn new(name: &str) -> Self {
        Self(StateFolder::new(name))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Said {
        let folder = self.0.path.display().to_string();
        let output = run(&[&[command, "--state-dir", &folder], arguments].concat(), &[]);
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    fn start(&self, arguments: &[&str]) -> Said {
        self.run("start", &[&["--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts it before `upstream`, and gives where it listens.
    fn before(&self, upstream: &str, arguments: &[&str]) -> SocketAddr {
        let (code, said) = self.start(&[&["--upstream", upstream], arguments].concat());
        assert_eq!(code, Some(0), "{said}");
        address_in(&said)
    }

    fn stop(&self) -> Said {
        self.run("stop", &[])
    }

    fn status(&self) -> Said {
        self.run("status", &[])
    }

    fn signal(&self, name: &str) {
        let pid = self.read("jobshim.pid");
        let sent = process::Command::new("kill")
            .args([&format!("-{name}"), pid.trim()])
            .status();
        assert!(sent.expect("kill").success(), "{pid}");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A test that failed may have left it.
        let _ = self.run("stop", &[]);
    }
}

fn address_in(said: &str) -> SocketAddr {
    let url = said.split_whitespace().find_map(|word| word.strip_prefix("http://"));
    url.and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobshim_in_the_background_is_started_shown_and_stopped() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let background = Background::new("background");
    assert_eq!(background.status().0, Some(3));
    let (code, said) = background.start(&["--upstream", &upstream.url(), "--admin", "127.0.0.1:0"]);
    assert_eq!(code, Some(0), "{said}");
    let address = address_in(&said);
    let pid = background.read("jobshim.pid").trim().to_owned();
    let log = background.file("jobshim.log").display().to_string();
    for word in [
        &format!("process {pid}"),
        &log,
        "page: http://127.0.0.1:",
        "`jobshim stop`",
    ] {
        assert!(said.contains(word), "no {word:?}: {said}");
    }
    let reply = Client::new().get(address, "/history/only-one").await;
    assert!(reply.text().contains("only-one"), "{}", reply.text());
    assert!(
        background.read("jobshim.log").contains("route=\"history_entry\""),
        "{}",
        background.read("jobshim.log")
    );

    let (code, again) = background.start(&["--upstream", &upstream.url()]);
    assert_eq!(code, Some(1), "{again}");
    for word in ["one is running already", &address.to_string(), &pid] {
        assert!(again.contains(word), "no {word:?}: {again}");
    }
    let (code, status) = background.status();
    assert_eq!(code, Some(0), "{status}");
    for word in [&format!("runs at http://{address} (process {pid}, since 20"), &log] {
        assert!(status.contains(word), "no {word:?}: {status}");
    }

    let (code, stopped) = background.stop();
    assert_eq!(
        (code, stopped.as_str()),
        (Some(0), format!("jobshim has stopped (process {pid})\n").as_str())
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(background.read("jobshim.log").contains("stopping"));
    let nobody = "jobshim does not run in the background\n".to_owned();
    assert_eq!(background.status(), (Some(3), nobody.clone()));
    assert_eq!(background.stop(), (Some(0), nobody));
    assert!(!background.file("jobshim.pid").exists());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_valkey_each_has_a_folder_of_its_own_and_they_share_the_state() {
    let Some(valkey) = crate::support::valkey::Valkey::start("background", &[]) else {
        return;
    };
    let upstream = crate::support::server::Server::start(one_job(Rules::Comfyui), Default::default()).await;
    let both = [Background::new("background-one"), Background::new("background-other")];
    let addresses = both
        .each_ref()
        .map(|background| background.before(&upstream.url(), &["--admin", "off", "--state", &valkey.url()]));
    let (client, body) = (Client::new(), r#"{"delete": ["only-one"]}"#);
    let deleted = client
        .send(http::Method::POST, addresses[0], "/history", &[], body)
        .await;
    assert_eq!(deleted.expect("an answer").status, 200);
    assert_eq!(client.get(addresses[1], "/history").await.text(), "{}");
    for background in &both {
        assert_eq!(background.status().0, Some(0));
        assert_eq!(background.stop().0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why_and_leaves_nothing_behind() {
    let background = Background::new("background-fails");
    let (code, said) = background.start(&["--upstream", "nowhere"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("upstream.url = \"nowhere\"") && said.contains("a URL is expected"),
        "{said}"
    );
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let (code, said) = background.run("start", &["--listen", &taken, "--upstream", "http://127.0.0.1:9"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the address is in use by another program"), "{said}");
    assert_eq!(background.status().0, Some(3));
    let file = TableFolder::with("background-file", &[("plain", "")]);
    let plain = file.path.join("plain").display().to_string();
    let output = run(&["start", "--state-dir", &plain], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = run(&["status", "--state-dir", &format!("{plain}/below")], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--state-dir takes another folder"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_one_is_told_from_one_that_runs_and_another_one_takes_its_place() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let background = Background::new("background-killed");
    background.before(&upstream.url(), &[]);
    let pid = background.read("jobshim.pid").trim().to_owned();
    background.signal("KILL");
    as_soon_as("it is gone", || background.status().0 == Some(3)).await;
    let (_, said) = background.status();
    assert!(said.contains(&format!("process {pid}, which began at 20")), "{said}");
    assert!(said.contains("was killed or has crashed"), "{said}");
    // Its number is another process's by now: this one's.
    let record = background
        .read("jobshim.json")
        .replace(&pid, &process::id().to_string());
    fs::write(background.file("jobshim.json"), record).expect("a file");
    fs::write(background.file("jobshim.pid"), process::id().to_string()).expect("a file");
    assert_eq!(background.status().0, Some(3));
    let (code, said) = background.stop();
    assert!(code == Some(0) && said.contains("does not run"), "{said}");
    // An order to stop that nobody followed is not for the next one.
    fs::write(background.file("jobshim.stop"), "").expect("a file");
    let address = background.before(&upstream.url(), &[]);
    assert_eq!(Client::new().get(address, "/queue").await.status, 200);
    assert_ne!(background.read("jobshim.pid").trim(), pid);
    assert_eq!(background.status().0, Some(0));
    assert!(
        background.file("jobshim.log.1").exists(),
        "the log of the one before is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_answers_and_a_second_one_does_not() {
    for at_once in [false, true] {
        let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
        let gate = upstream.hold_details();
        let background = Background::new(if at_once {
            "background-at-once"
        } else {
            "background-finishes"
        });
        let address = background.before(&upstream.url(), &["--drain-timeout", "100s"]);
        let asked = tokio::spawn(async move {
            let client = Client::new();
            let answer = client.send(http::Method::GET, address, "/history/only-one", &[], "");
            answer.await.is_ok_and(|reply| reply.text().contains("only-one"))
        });
        gate.until_came(1).await;
        let folder = background.0.path.display().to_string();
        let mut stop = Program::start(&["stop", "--state-dir", &folder], &[]);
        until("it stops", async || background.read("jobshim.log").contains("stopping")).await;
        assert!(stop.is_running(), "an answer is under way");
        assert_eq!(background.status().0, Some(0));
        match at_once {
            // Twice within a moment would be the same stop.
            true => {
                let again = || fs::write(background.file("jobshim.stop"), "").expect("a file");
                until("it has ended", async || {
                    again();
                    !stop.is_running()
                })
                .await;
            }
            false => gate.open(),
        }
        assert_eq!(stop.end().code(), Some(0), "{:?}", stop.log);
        assert_eq!(asked.await.expect("a task"), !at_once);
        assert_eq!(background.read("jobshim.log").contains("ended at once"), at_once);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_as_cleanly_and_what_it_stored_is_there_for_the_next() {
    let upstream = Simulator::start(one_job(Rules::Comfyui), Options::default());
    let upstream = upstream.await.expect("a simulator");
    let background = Background::new("background-signal");
    let address = background.before(&upstream.url(), &[]);
    let client = Client::new();
    let order = client.send(http::Method::POST, address, "/history", &[], r#"{"clear": true}"#);
    assert_eq!(order.await.expect("an answer").status, 200);
    assert_eq!(client.get(address, "/history").await.text(), "{}");
    background.signal("TERM");
    as_soon_as("it has ended", || background.status().0 == Some(3)).await;
    assert!(
        background.status().1.contains("does not run in the background"),
        "{:?}",
        background.status()
    );
    // At once after a stop as well: its store is closed by then.
    for _ in 0..2 {
        let address = background.before(&upstream.url(), &[]);
        assert_eq!(Client::new().get(address, "/history").await.text(), "{}");
        assert_eq!(background.stop().0, Some(0));
    }
}

#[test]
fn without_a_folder_it_is_kept_where_programs_of_this_user_keep_such_things() {
    let home = StateFolder::new("background-home");
    let home = home.path.display().to_string();
    for (command, code) in [("start", 2), ("stop", 2), ("status", 2)] {
        let output = run(&[command], &[]);
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert!(
            stderr(&output).contains("--state-dir takes a folder"),
            "{}",
            stderr(&output)
        );
    }
    let environment = [("HOME", home.as_str()), ("JOBSHIM_LISTEN", "127.0.0.1:0")];
    let started = run(&["start"], &environment);
    let shown = run(&["status"], &environment);
    let stopped = run(&["stop"], &environment);
    assert_eq!(started.status.code(), Some(0), "{}", stderr(&started));
    assert_eq!((shown.status.code(), stopped.status.code()), (Some(0), Some(0)));
    let below = match cfg!(target_os = "macos") {
        true => "Library/Application Support/jobshim/jobshim.log",
        false => ".local/state/jobshim/jobshim.log",
    };
    assert!(
        stdout(&shown).contains(&format!("{home}/{below}")),
        "{}",
        stdout(&shown)
    );
}

#[test]
fn every_option_reaches_the_program_that_start_runs() {
    let given = [
        "--config",
        "some.toml",
        "--route",
        "history=forward",
        "--route",
        "queue=gone,share=5%",
        "--upstream-header",
        "X-A=env:A",
        "--upstream-header",
        "X-B=file:/a b",
        "--access-token=-begins-like-a-flag",
        "--proxy-protocol",
        "-vv",
        "--mode",
        "auto",
    ];
    let options = |arguments: &[&str]| match Cli::try_parse_from(arguments).map(|cli| cli.command) {
        Ok(Some(Command::Start(options) | Command::Serve { options, .. })) => options,
        other => panic!("{arguments:?}: {other:?}"),
    };
    let start = options(&[&["jobshim", "start"], &given[..]].concat());
    let passed_on: Vec<String> = start
        .arguments()
        .into_iter()
        .map(|word| word.into_string().expect("text"))
        .collect();
    let words: Vec<&str> = passed_on.iter().map(String::as_str).collect();
    let serve = options(&[&["jobshim", "serve", "--in-background"], &words[..]].concat());
    assert_eq!(format!("{serve:?}"), format!("{start:?}"), "{words:?}");
    assert!(format!("{serve:?}").contains("X-B=file:/a b"), "{serve:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_can_be_read_only_once_is_refused() {
    let folder = StateFolder::new("background-pipe");
    fs::create_dir_all(&folder.path).expect("a folder");
    let pipe = folder.path.join("pipe");
    let made = process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let state = folder.path.join("state").display().to_string();
    let pipe = pipe.display().to_string();
    let output = run(&["start", "--state-dir", &state, "--config", &pipe], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("is a pipe, and a file is expected"),
        "{}",
        stderr(&output)
    );
}
