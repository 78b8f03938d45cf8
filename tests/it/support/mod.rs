//! What the tests share: jobshim in front of an upstream, a client, and JSON compared as the corpus asks for.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use jobshim::{
    admin::Admin,
    config::{self, AdminConfig, Config, DialectChoice, Options, settings::UPSTREAM},
    mapping::TableFile,
    proxy::{Pipeline, Proxy, STORE_EVERY, StartError, housekeeping},
    server::Server,
    store::StoreError,
    telemetry::Observer,
};
use std::{
    fmt, fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::task::JoinHandle;
use wait::{as_soon_as, within};

pub mod accepting;
pub mod browser;
pub mod corpus;
pub mod documents;
#[cfg(unix)]
pub mod fleet;
pub mod gate;
pub mod http2;
pub mod json;
pub mod metrics;
pub mod needs;
pub mod overview;
pub mod pin;
pub mod program;
pub mod prompts;
pub mod raw;
pub mod raw_server;
pub mod scripted;
pub mod seeded;
pub mod server;
pub mod shelf;
pub mod surfaces;
pub mod tape;
pub mod timeouts;
pub mod unsteady;
pub mod upstream;
#[cfg(unix)]
pub mod valkey;
pub mod wait;

/// jobshim on a port of its own; it stops when dropped.
pub struct Running {
    pub address: SocketAddr,
    proxy: Weak<Proxy>,
    pipeline: Weak<Pipeline>,
    serving: Vec<JoinHandle<()>>,
    /// Those that take turns with it.
    #[cfg(unix)]
    replicas: Option<fleet::Replicas>,
}

impl Running {
    /// How many bytes of bodies it holds.
    pub fn buffered(&self) -> usize {
        self.proxy.upgrade().map_or(0, |proxy| proxy.buffered())
    }

    /// Stops it, and waits until it has let go of all that it held.
    pub async fn stop(mut self) {
        #[cfg(unix)]
        if let Some(mut replicas) = self.replicas.take() {
            for other in replicas.others.drain(..) {
                Box::pin(other.stop()).await;
            }
        }
        for serving in &mut self.serving {
            serving.abort();
            let _ = serving.await;
        }
        // Connections that were answered still hold it until they notice that the client has gone.
        as_soon_as("nobody holds the pipeline any more", || {
            self.pipeline.strong_count() == 0
        })
        .await;
    }

    /// Opens the admin listener, and gives its address.
    pub async fn admin(&mut self, hosts: &[&str]) -> SocketAddr {
        self.admin_storing(hosts, STORE_EVERY).await
    }

    /// The same, and stores every `store` who calls the legacy surface.
    pub async fn admin_storing(&mut self, hosts: &[&str], store: Duration) -> SocketAddr {
        let config = AdminConfig {
            address: "127.0.0.1:0".parse().expect("an address"),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        };
        let admin = Admin::bind(&config).await.expect("a free port");
        let address = admin.local_addr();
        let proxy = self.proxy.upgrade().expect("it runs");
        self.serving.push(tokio::spawn(housekeeping(Arc::clone(&proxy), store)));
        self.serving.push(tokio::spawn(admin.run(proxy)));
        address
    }

    /// The pipeline in force.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.proxy.upgrade().expect("it runs").pipeline()
    }

    /// What it has seen.
    pub fn observer(&self) -> Arc<Observer> {
        let proxy = self.proxy.upgrade().expect("it runs");
        Arc::clone(proxy.observer())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for serving in &self.serving {
            serving.abort();
        }
    }
}

/// Starts jobshim in front of `upstream`, configured by `change`.
pub async fn start(upstream: &str, change: impl FnOnce(&mut Config)) -> Running {
    start_options(Options::default().with(&UPSTREAM.url.key, upstream), change).await
}

/// As [`start`], in front of a self-hosted server that it need not ask what it is.
pub async fn facing(upstream: &str, change: impl FnOnce(&mut Config)) -> Running {
    start(upstream, |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        change(config);
    })
    .await
}

/// Starts jobshim with `options`, as flags would give them.
pub async fn start_with(options: Options) -> Running {
    start_options(options, |_| {}).await
}

async fn start_options(options: Options, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config::load(&options, |_| None).expect("a good configuration").config;
    config.listen.address = "127.0.0.1:0".parse().expect("an address");
    change(&mut config);
    #[cfg(unix)]
    let valkey = fleet::shared_state(&mut config);
    let mut running = serve(&config).await;
    #[cfg(unix)]
    {
        running.replicas = fleet::start_others(running.address, &config, valkey).await;
    }
    running
}

/// Starts one jobshim.
async fn serve(config: &Config) -> Running {
    let proxy = within("a free state folder", async {
        loop {
            match Proxy::new(config) {
                // The one before is still letting go of it.
                Err(StartError::State(StoreError::InUse(_))) => tokio::task::yield_now().await,
                outcome => return outcome.expect("good tables"),
            }
        }
    });
    let proxy = Arc::new(proxy.await);
    #[cfg(unix)]
    fleet::reaches_its_store(&proxy).await;
    let server = Server::bind(config).await.expect("a free port");
    let address = server.local_addr().expect("an address");
    let pipeline = Arc::downgrade(&proxy.pipeline());
    let weak = Arc::downgrade(&proxy);
    let serving = tokio::spawn(server.run(proxy, std::future::pending()));
    Running {
        address,
        proxy: weak,
        pipeline,
        serving: vec![serving],
        #[cfg(unix)]
        replicas: None,
    }
}

/// How many descriptors a test or the program may have for connections.
pub fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    most.unwrap_or(1024).saturating_sub(600)
}

/// A folder of table files, removed when dropped.
pub struct TableFolder {
    pub path: PathBuf,
}

impl TableFolder {
    pub fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
        Self { path }
    }
}

/// The text of a built-in table.
pub fn built_in(name: &str) -> String {
    let files = TableFile::read_all(None).expect("good files");
    let file = files.into_iter().find(|file| file.name == name);
    file.expect("a table of that name").text
}

impl Drop for TableFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// An empty folder for what survives a restart, removed when dropped.
pub struct StateFolder {
    pub path: PathBuf,
}

impl StateFolder {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        Self { path }
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        #[cfg(unix)]
        fleet::forget(&self.path);
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

fn debug(error: impl fmt::Debug) -> String {
    format!("{error:?}")
}

/// A client that keeps its connections.
pub struct Client(HyperClient<HttpConnector, Full<Bytes>>);

impl Client {
    pub fn new() -> Self {
        Self(HyperClient::builder(TokioExecutor::new()).build_http())
    }

    pub async fn send(
        &self,
        method: Method,
        at: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        #[cfg(unix)]
        let at = fleet::turn(at);
        let mut request = Request::builder().method(method).uri(format!("http://{at}{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answering = async {
            let (head, body) = self.0.request(request).await.map_err(debug)?.into_parts();
            let body = body.collect().await.map_err(debug)?.to_bytes();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        within(&format!("the whole answer to {target:.200}"), answering).await
    }

    pub async fn get(&self, at: SocketAddr, target: &str) -> Reply {
        self.get_with(at, target, &[]).await
    }

    pub async fn get_with(&self, at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, at, target, headers, "")
            .await
            .expect("an answer")
    }
}
