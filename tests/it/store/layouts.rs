//! A Valkey with TLS, one that sentinels name, and a cluster: whatever the layout, it is one store.

use super::every_place::state_at;
use crate::support::{StateFolder, valkey::Valkey, wait::until};
use jobshim::{
    config::StateConfig,
    store::{Change, Event, Store, Table},
};
use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};
use tokio::task::spawn_blocking;

const WORDS: Table<String, u64> = Table::new("test_words", "a word");

/// Two that share the store: what one has put the other has heard of.
async fn behaves_as_one(config: &StateConfig) {
    let config = config.clone();
    let work = spawn_blocking(move || {
        let (one, other) = (
            Store::open(&config).expect("a store"),
            Store::open(&config).expect("a store"),
        );
        let heard: Arc<Mutex<Option<u64>>> = Arc::default();
        let hears = Arc::clone(&heard);
        let followed = other.follow(&WORDS, move |event| {
            if let Event::Put(_, value) = event {
                *hears.lock().expect("a value") = Some(value);
            }
        });
        followed.expect("it is followed");
        assert!(one.is_current() && other.is_current(), "both were reached");
        for nth in 0..50 {
            one.commit(Change::default().put(&WORDS, &"word".to_owned(), &nth))
                .expect("done");
            assert_eq!(*heard.lock().expect("a value"), Some(nth));
        }
    });
    work.await.expect("it is one store");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_by_a_certificate_that_is_trusted_and_no_other() {
    let folder = StateFolder::new("valkey-certificates");
    fs::create_dir_all(&folder.path).expect("a folder");
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.path.join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let pem = file("own.pem", certificate.cert.pem());
    let key = file("own.key", certificate.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let other = file("other.pem", other.cert.pem());
    let port = Valkey::free_port();
    let (shown, shown_key) = (pem.display().to_string(), key.display().to_string());
    let tls = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &shown,
        "--tls-key-file",
        &shown_key,
        "--tls-auth-clients",
        "no",
    ];
    let Some(_valkey) = Valkey::start("tls", &tls) else {
        return;
    };
    let config = |trusted| StateConfig {
        ca_file: Some(trusted),
        ..state_at(&format!("valkeys://localhost:{port}"))
    };
    behaves_as_one(&config(pem)).await;
    let refused = spawn_blocking({
        let config = config(other);
        move || {
            let store = Store::open(&config).expect("it may be right a moment later");
            store
                .commit(Change::default().put(&WORDS, &"word".to_owned(), &1))
                .expect_err("it is not trusted")
                .to_string()
        }
    });
    assert!(refused.await.expect("it ends").contains("does not answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster() {
    let Some(valkey) = Valkey::start("cluster", &["--cluster-enabled", "yes"]) else {
        return;
    };
    let assigned = valkey.says("CLUSTER ADDSLOTSRANGE 0 16383");
    assert!(assigned.is_some_and(|said| said.starts_with("+OK")));
    until("the cluster is whole", async || {
        valkey
            .says("CLUSTER INFO")
            .is_some_and(|said| said.contains("cluster_state:ok"))
    })
    .await;
    behaves_as_one(&state_at(&format!("valkey-cluster://127.0.0.1:{}", valkey.port()))).await;
}

/// A sentinel; killed when dropped.
struct Sentinel(
    Child,
    #[expect(dead_code, reason = "its settings are in it")] StateFolder,
);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_sentinel_says() {
    let Some(valkey) = Valkey::start("primary", &[]) else {
        return;
    };
    let folder = StateFolder::new("valkey-sentinel");
    fs::create_dir_all(&folder.path).expect("a folder");
    let port = Valkey::free_port();
    let settings = folder.path.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor the-primary 127.0.0.1 {} 1\n",
        folder.path.display(),
        valkey.port()
    );
    fs::write(&settings, text).expect("a file");
    let child = Command::new(Valkey::program())
        .arg(&settings)
        .arg("--sentinel")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _sentinel = Sentinel(child.expect("it starts"), folder);
    until("the sentinel answers", async || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    behaves_as_one(&state_at(&format!("valkey-sentinel://127.0.0.1:{port}/the-primary"))).await;
}
