//! TLS on the listener: both protocols, certificates that change, and what may come before it.

#![cfg(unix)]

use crate::{
    server::listeners::{REQUEST, recorder, talk},
    support::{
        TableFolder as Folder, facing,
        program::{Program, run},
        start,
    },
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jobshim::config::{Config, TlsFiles};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate")
}

fn speak_tls(config: &mut Config, files: TlsFiles) {
    config.listen.tls_certificate = Some(files.certificate);
    config.listen.tls_key = Some(files.key);
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
    let jobshim = start(&recorder.url(), |config| speak_tls(config, files)).await;
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
async fn the_proxy_protocol_comes_before_tls_and_by_a_unix_socket_too() {
    const HEADER: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4000 8187\r\n";
    let (recorder, own, folder) = (recorder().await, certificate(), Folder::with("proxy-tls", &[]));
    let files = write(&folder.path, &own);
    let jobshim = facing(&recorder.url(), |config| {
        speak_tls(config, files);
        config.listen.proxy_protocol = true;
        config.listen.trusted_proxies = "127.0.0.1".parse().expect("a list");
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
    let jobshim = start(&recorder.url(), |config| speak_tls(config, files)).await;
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
