//! Any test that starts jobshim can be run with several in its place, which share a Valkey: each request goes to another one.
//! `JOBSHIM_TEST_REPLICAS` says how many.

use super::{Running, serve, valkey::Valkey, wait::until};
use jobshim::{
    config::{self, Config, Options, StatePlace, settings::STATE},
    proxy::Proxy,
};
use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The others that have the same place as one.
#[derive(Default)]
struct Fleet {
    addresses: Vec<SocketAddr>,
    turn: AtomicUsize,
}

static FLEETS: LazyLock<Mutex<HashMap<SocketAddr, Fleet>>> = LazyLock::new(Mutex::default);
/// A Valkey in the place of each folder, for as long as there is the folder.
static FOLDERS: LazyLock<Mutex<HashMap<PathBuf, Valkey>>> = LazyLock::new(Mutex::default);

fn size() -> usize {
    env::var("JOBSHIM_TEST_REPLICAS").map_or(1, |count| count.parse().expect("a number of jobshims"))
}

/// What several have in the place of one, for as long as that runs.
pub struct Replicas {
    first: SocketAddr,
    pub others: Vec<Running>,
    _valkey: Option<Valkey>,
}

impl Drop for Replicas {
    fn drop(&mut self) {
        FLEETS.lock().expect("fleets").remove(&self.first);
    }
}

/// Where several have their state, if there are to be several.
pub fn shared_state(config: &mut Config) -> Option<Valkey> {
    if size() < 2 || matches!(config.state.place, StatePlace::Valkey(_)) {
        return None;
    }
    let new = || Valkey::start(&format!("fleet-{}", next()), &[]).expect("a Valkey");
    let (url, own) = match &config.state.place {
        StatePlace::Folder(folder) => {
            let mut folders = FOLDERS.lock().expect("folders");
            (folders.entry(folder.clone()).or_insert_with(new).url(), None)
        }
        _ => {
            let valkey = new();
            (valkey.url(), Some(valkey))
        }
    };
    let options = Options::default().with(&STATE.store.key, url);
    let elsewhere = config::load(&options, |_| None).expect("a configuration").config;
    config.state.place = elsewhere.state.place;
    own
}

fn next() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed))
}

/// Starts the others of `first`.
pub async fn start_others(first: SocketAddr, config: &Config, valkey: Option<Valkey>) -> Option<Replicas> {
    if size() < 2 {
        return None;
    }
    let mut others = Vec::new();
    for _ in 1..size() {
        others.push(serve(config).await);
    }
    let addresses = std::iter::once(first).chain(others.iter().map(|other| other.address));
    let fleet = Fleet {
        addresses: addresses.collect(),
        ..Fleet::default()
    };
    FLEETS.lock().expect("fleets").insert(first, fleet);
    Some(Replicas {
        first,
        others,
        _valkey: valkey,
    })
}

/// A store that several share is connected to beside everything else: each is asked once it has reached it.
pub async fn reaches_its_store(proxy: &Proxy) {
    if size() >= 2 {
        until("it has reached its store", async || {
            proxy.pipeline().store().was_reached()
        })
        .await;
    }
}

/// Whose turn it is to be asked in place of the one `at` an address.
pub fn turn(at: SocketAddr) -> SocketAddr {
    let fleets = FLEETS.lock().expect("fleets");
    fleets.get(&at).map_or(at, |fleet| {
        let turn = fleet.turn.fetch_add(1, Relaxed) % fleet.addresses.len();
        fleet.addresses[turn]
    })
}

/// A folder is gone, and what stood for it.
pub fn forget(folder: &Path) {
    let valkey = FOLDERS.lock().expect("folders").remove(folder);
    // It has a folder of its own, and ends up here again.
    drop(valkey);
}
