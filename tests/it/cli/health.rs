//! `health`: whether the jobshim of a configuration is well.

#![cfg(unix)]

use super::{stderr, stdout};
use crate::support::{
    Client, TableFolder as Folder,
    program::{Program, run},
    upstream::Scripted,
};

#[tokio::test(flavor = "multi_thread")]
async fn health_says_whether_the_jobshim_of_this_configuration_is_there() {
    let mut program = Program::before("http://127.0.0.1:9", &[]);
    let port = program.address().port();
    // A container's listener has every address, and is asked from inside.
    for listen in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let well = run(&["health"], &[("JOBSHIM_LISTEN", &listen)]);
        assert_eq!(well.status.code(), Some(0), "{listen}: {}", stderr(&well));
        assert!(stdout(&well).contains("admin listener is off"), "{}", stdout(&well));
    }
    let unknown = run(&["health", "--ready", "--listen", &format!("127.0.0.1:{port}")], &[]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stdout(&unknown));
    assert!(stderr(&unknown).contains("--admin"), "{}", stderr(&unknown));
    program.signal("TERM");
    program.end();
    let gone = run(&["health", "--listen", &format!("127.0.0.1:{port}")], &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("refused"), "{}", stderr(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_admin_listener_wherever_its_address_is_configured() {
    let mut upstream = Some(Scripted::always(200, &[], "{}").await);
    let url = upstream.as_ref().map(Scripted::url).unwrap_or_default();
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &url];
    let mut program = Program::start(&arguments, &[]);
    let port = program.admin().port();
    let (address, everywhere) = (format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"));
    let folder = Folder::with(
        "health",
        &[("jobshim.toml", &format!("[admin]\naddress = \"{address}\"\n"))],
    );
    let file = folder.path.join("jobshim.toml");
    let file = file.to_str().expect("a path");
    // An address at which nobody listens: it is not asked.
    let listen = ("JOBSHIM_LISTEN", "127.0.0.1:9");
    let ask = |word: &str, arguments: &[&str], admin: &str| {
        let asked = run(&[&["health"], arguments].concat(), &[listen, ("JOBSHIM_ADMIN", admin)]);
        let said = stdout(&asked) + &stderr(&asked);
        assert!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        asked.status.code()
    };
    for (arguments, admin) in [
        (&["--admin", &address][..], "off"),
        (&[], &address),
        (&[], &everywhere),
        (&["--config", file], ""),
    ] {
        assert_eq!(ask("alive", arguments, admin), Some(0));
        assert_eq!(
            ask(
                &format!("ready: {url} answers"),
                &[&["--ready"], arguments].concat(),
                admin
            ),
            Some(0)
        );
    }
    drop(upstream.take());
    Client::new().get(program.address(), "/x").await;
    assert_eq!(
        ask("alive", &[], &address),
        Some(0),
        "its server is away, and it is well"
    );
    let not_ready = format!("not ready: {url} does not answer: ");
    for word in [&not_ready, "refused"] {
        assert_eq!(ask(word, &["--ready"], &address), Some(1));
    }
    program.signal("TERM");
    program.end();
    for arguments in [&[][..], &["--ready"]] {
        assert_eq!(ask("refused", arguments, &address), Some(1));
    }
}
