//! How clients get in: Unix sockets, sockets that the service manager passes, the PROXY protocol; and how the server may be
//! found.

#![cfg(unix)]

use crate::support::{
    TableFolder as Folder,
    program::{Program, run},
    start,
    upstream::Scripted,
    wait::within,
};
use jobshim::{
    config::DialectChoice,
    demo::{Board, Options, Rules, Simulator},
};
use std::{fs, process::Command};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
};

pub const REQUEST: &str = "GET /view HTTP/1.1\r\nHost: comfy.lan\r\nConnection: close\r\n\r\n";

/// Everything that comes back for `sent`, to the end of the connection.
pub async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, sent: &[u8]) -> String {
    // A connection that is not let in may be closed while this is written.
    let _ = within("room for a request", stream.write_all(sent)).await;
    let mut said = Vec::new();
    let _ = within("the end of what is said", stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

pub async fn recorder() -> Scripted {
    Scripted::always(200, &[("content-type", "text/plain")], "seen").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_listener_too() {
    let recorder = recorder().await;
    let folder = Folder::with("unix", &[]);
    let path = folder.path.join("socket");
    let listen = format!("unix:{}", path.display());
    // A jobshim that was killed left its file.
    drop(UnixListener::bind(&path).expect("a socket"));
    let arguments = [
        "--listen",
        &listen,
        "--upstream",
        &recorder.url(),
        "--trusted-proxies",
        "unix",
    ];
    let mut program = Program::start(&arguments, &[]);
    assert!(program.line_with("listening").contains(&listen));
    let health = run(&["health", "--listen", &listen], &[]);
    assert_eq!(
        health.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&health.stderr)
    );

    let request = REQUEST.replace("Host:", "X-Forwarded-For: 203.0.113.7\r\nHost:");
    let said = talk(
        UnixStream::connect(&path).await.expect("a connection"),
        request.as_bytes(),
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("seen"), "{said}");
    // jobshim asks what the server is, too.
    let arrived = recorder.arrived();
    let mut forwarded = arrived.iter().filter_map(|one| one.headers.get("x-forwarded-for"));
    assert_eq!(forwarded.next().expect("the request"), "203.0.113.7, 127.0.0.1");

    let second = run(&arguments, &[]);
    assert_eq!(second.status.code(), Some(1), "a socket that is in use is left alone");
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    assert!(!path.exists(), "the file goes with its jobshim");
    fs::write(&path, "somebody's").expect("a file");
    assert_eq!(run(&arguments, &[]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "somebody's");
}

/// Passes a listener to jobshim as a service manager does: descriptor 3, and its number in the environment.
fn activated(listener: std::process::Stdio) -> std::process::Child {
    Command::new("sh")
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_jobshim"),
        ])
        .args([
            "--listen",
            "127.0.0.1:10",
            "--upstream",
            "http://127.0.0.1:9",
            "--log-format",
            "json",
            "--admin",
            "off",
        ])
        .stdin(listener)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("jobshim starts")
}

#[tokio::test]
async fn a_socket_that_the_service_manager_passes_is_used_instead() {
    let folder = Folder::with("activated", &[]);
    let path = folder.path.join("socket");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = tcp.local_addr().expect("an address");
    let unix = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let mut children = [
        activated(std::os::fd::OwnedFd::from(tcp).into()),
        activated(std::os::fd::OwnedFd::from(unix).into()),
    ];
    // The connections wait in the socket until jobshim takes them.
    let over_tcp = talk(
        TcpStream::connect(address).await.expect("a connection"),
        REQUEST.as_bytes(),
    )
    .await;
    let over_unix = talk(
        UnixStream::connect(&path).await.expect("a connection"),
        REQUEST.as_bytes(),
    )
    .await;
    for child in &mut children {
        child.kill().expect("an end");
        child.wait().expect("an end");
    }
    for said in [over_tcp, over_unix] {
        assert!(said.starts_with("HTTP/1.1 502"), "{said}");
    }
    assert!(path.exists(), "the service manager's file stays");
}

#[tokio::test]
async fn the_proxy_protocol_says_who_the_client_is() {
    let recorder = recorder().await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.listen.proxy_protocol = true;
        config.listen.trusted_proxies = "127.0.0.1".parse().expect("a list");
    })
    .await;
    let block = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x27"[..],
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        &[0; 16],
        &[0x10, 0, 0x1f, 0xfb],
        &[4, 0, 0],
    ]
    .concat();
    let client_says = REQUEST.replace("Host:", "X-Forwarded-For: 10.0.0.1\r\nHost:");
    for (header, seen) in [
        (&b"PROXY TCP4 203.0.113.7 10.0.0.1 4000 8187\r\n"[..], "203.0.113.7"),
        (&block, "2001:db8::7"),
        // For itself the proxy may say what it likes.
        (b"PROXY UNKNOWN\r\n", "10.0.0.1, 127.0.0.1"),
    ] {
        let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        let said = talk(stream, &[header, client_says.as_bytes()].concat()).await;
        assert!(said.ends_with("seen"), "{said}");
        let arrived = recorder.arrived();
        assert_eq!(arrived.last().expect("a request").headers["x-forwarded-for"], seen);
    }
    let before = recorder.arrived().len();
    for header in [
        "",
        "PROXY TCP4 nobody\r\n",
        "PROXY TCP9 203.0.113.7 10.0.0.1 4000 8187\r\n",
    ] {
        let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        let said = talk(stream, format!("{header}{REQUEST}").as_bytes()).await;
        assert_eq!(said, "", "{header}");
    }
    // A stranger is not even read.
    let strict = start(&recorder.url(), |config| {
        config.listen.proxy_protocol = true;
        config.listen.trusted_proxies = "192.0.2.0/24".parse().expect("a list");
    })
    .await;
    let stream = TcpStream::connect(strict.address).await.expect("a connection");
    let sent = format!("PROXY TCP4 203.0.113.7 10.0.0.1 4000 8187\r\n{REQUEST}");
    assert_eq!(talk(stream, sent.as_bytes()).await, "");
    assert_eq!(recorder.arrived().len(), before);
}

#[test]
fn a_door_that_lets_anyone_pose_is_refused() {
    for (arguments, complaint) in [
        (&["--proxy-protocol"][..], "name the proxies in listen.trusted_proxies"),
        (&["--trusted-proxies", "10.0.0.0/40"], "is no network"),
        (&["--listen", "unix:"], "an address and a port are expected"),
    ] {
        let output = run(&[&["check"], arguments].concat(), &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(complaint), "{said}");
    }
    let good = run(
        &["check", "--proxy-protocol", "--trusted-proxies", "unix,10.0.0.0/8"],
        &[],
    );
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_may_be_found_by_a_unix_socket() {
    let simulator = Simulator::start(Board::new(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let folder = Folder::with("unix-upstream", &[]);
    let path = folder.path.join("comfyui");
    let url = format!("unix:{}", path.display());
    let mut program = Program::before(&url, &[]);
    let address = program.address();
    // While it is not there, the answer says which socket was meant.
    let down = talk(
        TcpStream::connect(address).await.expect("a connection"),
        REQUEST.as_bytes(),
    )
    .await;
    assert!(down.starts_with("HTTP/1.1 502") && down.contains(&url), "{down}");

    let (listener, behind) = (UnixListener::bind(&path).expect("a socket"), simulator.address());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(behind).await.expect("the server");
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let history = REQUEST.replace("/view", "/history");
    let translated = talk(
        TcpStream::connect(address).await.expect("a connection"),
        history.as_bytes(),
    )
    .await;
    assert!(
        translated.starts_with("HTTP/1.1 200") && translated.ends_with("{}"),
        "{translated}"
    );
    let passed = talk(
        TcpStream::connect(address).await.expect("a connection"),
        REQUEST.as_bytes(),
    )
    .await;
    assert!(passed.starts_with("HTTP/1.1 404"), "{passed}");
    let view = simulator
        .seen()
        .into_iter()
        .find(|seen| seen.target == "/view")
        .expect("a request");
    assert_eq!(view.headers["host"], "comfy.lan");
    let doctor = run(&["doctor", "--upstream", &url], &[]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.starts_with(&url) && said.contains("Self-hosted ComfyUI"), "{said}");
    let itself = run(&["check", "--listen", &url, "--upstream", &url], &[]);
    assert_eq!(itself.status.code(), Some(2));
}
