//! Values that would mean something else than they say, and a configuration that can be read only once.

use crate::support::{
    TableFolder,
    program::{Program, run},
    upstream::Scripted,
};
use std::{fs, process::Command};

#[test]
fn a_port_that_is_none_is_refused_and_does_not_mean_the_usual_one() {
    for (flag, url) in [
        ("--upstream", "http://host:99999"),
        ("--upstream", "http://host:"),
        ("--upstream", "http://host:0"),
        ("--upstream", "http://host:/base"),
        ("--upstream", "https://[::1]:65536/base"),
        ("--legacy-upstream", "http://host:99999"),
        ("--guide", "https://example.org:99999/a"),
    ] {
        let output = run(&["check", flag, url], &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.contains("a port from 1 to 65535 is expected"), "{url}: {said}");
    }
    for url in [
        "http://[::1]",
        "http://[::1]:8188",
        "http://host:65535/base",
        "https://host",
    ] {
        let output = run(&["check", "--upstream", url], &[]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{url}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for url in ["http://127.0.0.1:99999", "http://127.0.0.1:"] {
        let output = run(&["report", "--admin", url], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("is no URL"), "{url}: {said}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_from_a_pipe_stays_in_force_when_it_cannot_be_read_again() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let folder = TableFolder::with("faults-pipe", &[]);
    let pipe = folder.path.join("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let text = format!("[upstream]\nurl = \"{}\"\n[legacy]\nmode = \"gone\"\n", recorder.url());
    let writing = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::write(pipe, text))
    };
    let mut program = Program::start(&["--config", &pipe, "--listen", "127.0.0.1:0"], &[]);
    let at = program.address();
    writing.join().expect("a thread").expect("written");
    let client = crate::support::Client::new();
    for _ in 0..2 {
        program.log.clear();
        program.signal("HUP");
        program.line_with("it can be read only once");
        program.line_with("the configuration was read again");
        assert_eq!(client.get(at, "/history").await.status, 410);
    }
}
