//! How clients get in: TLS, Unix sockets, sockets that the service manager passes, the PROXY protocol.

use crate::support::{
    TableFolder as Folder, facing,
    program::{Program, run},
    start,
    upstream::Recorder,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jobshim::{
    config::{DialectChoice, TlsFiles},
    demo::{Board, Options, Rules, Simulator},
};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{fs, net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const REQUEST: &str = "GET /view HTTP/1.1\r\nHost: comfy.lan\r\nConnection: close\r\n\r\n";

/// Everything that comes back for `sent`, to the end of the connection.
async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, sent: &[u8]) -> String {
    // A connection that is not let in may be closed while this is written.
    let _ = stream.write_all(sent).await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

async fn recorder() -> Recorder {
    Recorder::start(200, &[("content-type", "text/plain")], "seen").await
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate")
}

fn write(folder: &Path, certified: &CertifiedKey<KeyPair>) -> TlsFiles {
    let files = TlsFiles {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
    };
    fs::write(&files.certificate, certified.cert.pem()).expect("a file");
    fs::write(&files.key, certified.signing_key.serialize_pem()).expect("a file");
    files
}

/// A TLS connection that trusts `pem` alone and offers `protocols`.
async fn connect(address: SocketAddr, pem: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await?, pem, protocols).await
}

async fn handshake(stream: TcpStream, pem: &str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn tls_speaks_both_protocols_and_says_https_to_the_server() {
    let (recorder, own, folder) = (recorder().await, certificate(), Folder::with("tls-both", &[]));
    let files = write(&folder.path, &own);
    let jobshim = start(&recorder.url(), |config| config.door.tls = Some(files)).await;
    let pem = own.cert.pem();

    let old = connect(jobshim.address, &pem, &[b"http/1.1"])
        .await
        .expect("a handshake");
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let said = talk(old, REQUEST.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("seen"), "{said}");

    let new = connect(jobshim.address, &pem, &[b"h2", b"http/1.1"])
        .await
        .expect("a handshake");
    assert_eq!(new.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(new))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::get("https://localhost/view").body(Empty::<Bytes>::new());
    let answer = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "seen");

    let arrived = recorder.arrived();
    let schemes: Vec<_> = arrived.iter().map(|one| &one.headers["x-forwarded-proto"]).collect();
    assert_eq!(schemes, ["https", "https"]);

    // What is not TLS gets no answer, and the next client is served.
    assert!(
        !talk(
            TcpStream::connect(jobshim.address).await.expect("a connection"),
            REQUEST.as_bytes()
        )
        .await
        .contains("HTTP")
    );
    let again = connect(jobshim.address, &pem, &[]).await.expect("a handshake");
    assert!(talk(again, REQUEST.as_bytes()).await.contains("seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_changes_is_taken_up_and_a_broken_one_is_not() {
    let (first, second) = (certificate(), certificate());
    let folder = Folder::with("tls-reload", &[]);
    let files = write(&folder.path, &first);
    let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
    let mut program = Program::before(
        "http://127.0.0.1:9",
        &["--tls-certificate", &certificate, "--tls-key", &key],
    );
    let address = program.address();
    connect(address, &first.cert.pem(), &[])
        .await
        .expect("the first certificate");

    fs::write(&files.certificate, "not a certificate").expect("a file");
    program.line_with("the one before stays");
    connect(address, &first.cert.pem(), &[])
        .await
        .expect("the first certificate still");

    write(&folder.path, &second);
    program.line_with("the certificate was read again");
    connect(address, &second.cert.pem(), &[])
        .await
        .expect("the second certificate");
    assert!(
        connect(address, &first.cert.pem(), &[]).await.is_err(),
        "the first one is gone"
    );
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let folder = Folder::with("tls-bad", &[("empty.pem", "")]);
    let files = write(&folder.path, &certificate());
    let other = folder.path.join("other");
    fs::create_dir_all(&other).expect("a folder");
    let others = write(&other, &certificate());
    let text = |path: &Path| path.display().to_string();
    let (pem, key, empty) = (
        text(&files.certificate),
        text(&files.key),
        text(&folder.path.join("empty.pem")),
    );
    for (certificate, key, complaint) in [
        (&pem, Some(&text(&others.key)), "do not go together"),
        (&empty, Some(&key), "it holds no certificate"),
        (&pem, Some(&empty), "listen.tls_key"),
        (&pem, None, "listen.tls_key"),
        (&"nowhere.pem".to_owned(), Some(&key), "no such file"),
    ] {
        for command in ["check", "serve"] {
            let mut arguments = vec![command, "--listen", "127.0.0.1:0", "--tls-certificate", certificate];
            arguments.extend(key.iter().flat_map(|key| ["--tls-key", key.as_str()]));
            let output = run(&arguments, &[]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command} {complaint}: {said}");
            assert!(said.contains(complaint), "{command}: {said}");
        }
    }
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
    assert_eq!(
        recorder.arrived()[0].headers["x-forwarded-for"],
        "203.0.113.7, 127.0.0.1"
    );

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
        config.door.proxy_protocol = true;
        config.door.trusted_proxies = "127.0.0.1".parse().expect("a list");
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
        config.door.proxy_protocol = true;
        config.door.trusted_proxies = "192.0.2.0/24".parse().expect("a list");
    })
    .await;
    let stream = TcpStream::connect(strict.address).await.expect("a connection");
    let sent = format!("PROXY TCP4 203.0.113.7 10.0.0.1 4000 8187\r\n{REQUEST}");
    assert_eq!(talk(stream, sent.as_bytes()).await, "");
    assert_eq!(recorder.arrived().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_comes_before_tls_and_by_a_unix_socket_too() {
    const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4000 8187\r\n";
    let (recorder, own, folder) = (recorder().await, certificate(), Folder::with("proxy-tls", &[]));
    let files = write(&folder.path, &own);
    let jobshim = facing(&recorder.url(), |config| {
        config.door.tls = Some(files);
        config.door.proxy_protocol = true;
        config.door.trusted_proxies = "127.0.0.1".parse().expect("a list");
    })
    .await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream.write_all(HEADER).await.expect("sent");
    let stream = handshake(stream, &own.cert.pem(), &[]).await.expect("a handshake");
    assert!(talk(stream, REQUEST.as_bytes()).await.ends_with("seen"));

    let path = folder.path.join("socket");
    let listen = format!("unix:{}", path.display());
    let doors = ["--proxy-protocol", "--trusted-proxies", "unix", "--dialect", "comfyui"];
    let url = recorder.url();
    let arguments = [&["--listen", &listen, "--upstream", &url], &doors[..]].concat();
    let mut program = Program::start(&arguments, &[]);
    program.line_with("listening");
    let stream = UnixStream::connect(&path).await.expect("a connection");
    assert!(
        talk(stream, &[HEADER, REQUEST.as_bytes()].concat())
            .await
            .ends_with("seen")
    );

    let arrived = recorder.arrived();
    let of = |name: &str| {
        arrived
            .iter()
            .map(|one| one.headers.get(name).cloned())
            .collect::<Vec<_>>()
    };
    let client = http::HeaderValue::from_static("203.0.113.7");
    assert_eq!(of("x-forwarded-for"), [Some(client.clone()), Some(client)]);
    assert_eq!(
        of("x-forwarded-proto"),
        [
            Some(http::HeaderValue::from_static("https")),
            Some(http::HeaderValue::from_static("http"))
        ]
    );
}

#[tokio::test]
async fn a_client_that_says_nothing_at_the_door_holds_nobody_up() {
    let (recorder, own, folder) = (recorder().await, certificate(), Folder::with("tls-silent", &[]));
    let files = write(&folder.path, &own);
    let jobshim = start(&recorder.url(), |config| config.door.tls = Some(files)).await;
    let silent = TcpStream::connect(jobshim.address).await.expect("a connection");
    let served = async {
        let stream = connect(jobshim.address, &own.cert.pem(), &[])
            .await
            .expect("a handshake");
        talk(stream, REQUEST.as_bytes()).await
    };
    let said = tokio::time::timeout(Duration::from_secs(30), served)
        .await
        .expect("an answer");
    assert!(said.ends_with("seen"), "{said}");
    // In the end it is sent away.
    assert_eq!(talk(silent, b"").await, "");
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
