//! Secrets that come through a pipe, and so can be read once.

#![cfg(unix)]

use crate::support::{Client, TableFolder, program::Program, upstream::Scripted};
use std::{fs, process::Command};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_a_pipe_stays_in_force_when_it_cannot_be_read_again() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let folder = TableFolder::with("secret-pipes", &[]);
    let [token, key] = ["token", "key"].map(|name| folder.path.join(name).display().to_string());
    for pipe in [&token, &key] {
        assert!(Command::new("mkfifo").arg(pipe).status().expect("mkfifo").success());
    }
    let config = folder.path.join("config.toml").display().to_string();
    let text = |mode: &str| {
        format!(
            "[upstream]\nurl = \"{}\"\n[upstream.headers]\nX-Secret = {{ file = \"{key}\" }}\n\
             [listen]\naddress = \"127.0.0.1:0\"\naccess_token = {{ file = \"{token}\" }}\n[legacy]\nmode = \"{mode}\"\n",
            recorder.url()
        )
    };
    fs::write(&config, text("forward")).expect("written");
    let writing = [(&token, "let-me-in\n"), (&key, "the-key\n")].map(|(pipe, text)| {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::write(pipe, text))
    });
    let mut program = Program::start(&["--config", &config], &[]);
    let at = program.address();
    for writing in writing {
        writing.join().expect("a thread").expect("written");
    }
    let client = Client::new();
    let bearer = [("authorization", "Bearer let-me-in")];
    for (mode, status) in [("gone", 410), ("forward", 404), ("gone", 410)] {
        fs::write(&config, text(mode)).expect("written");
        program.log.clear();
        program.signal("HUP");
        program.line_with("the configuration was read again");
        assert_eq!(client.get_with(at, "/history", &bearer).await.status, status);
        assert_eq!(client.get(at, "/history").await.status, 401, "the token is in force");
    }
    client.get_with(at, "/x", &bearer).await;
    let last = recorder.arrived().pop().expect("a request");
    assert_eq!(last.headers["x-secret"], "the-key");
    for secret in ["let-me-in", "the-key"] {
        assert!(
            !program.log.iter().any(|line| line.contains(secret)),
            "{:#?}",
            program.log
        );
    }
}
