//! A change of configuration or tables without a restart: on SIGHUP, and when a file has changed.
//!
//! What is in force is one [`Proxy`], exchanged as a whole: a request keeps the one that it began with, and
//! connections know of none.

use crate::{
    config::{self, Loaded, Options},
    mapping::files_in,
    proxy::Proxy,
};
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The service in force, and whether that will be so for long.
pub struct CurrentProxy {
    service: RwLock<Arc<Proxy>>,
    stopping: AtomicBool,
}

impl CurrentProxy {
    /// Begins with this one.
    pub fn new(service: Proxy) -> Self {
        Self {
            service: RwLock::new(Arc::new(service)),
            stopping: AtomicBool::new(false),
        }
    }

    /// The one in force now.
    pub fn service(&self) -> Arc<Proxy> {
        Arc::clone(&self.service.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that the program has been told to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Whether it has.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    fn record(&self, service: Proxy) {
        *self.service.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(service);
    }
}

/// Whether what was read of a file is gone from it: a pipe is empty the second time, and a reader may wait for ever.
fn is_read_once(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file())
}

/// Takes changes over into a running program.
pub struct Reloader {
    options: Options,
    running: Loaded,
    live: Arc<CurrentProxy>,
    /// Sets how many log lines there are, by `log.verbosity`.
    set_verbosity: Box<dyn Fn(u8) + Send + Sync>,
}

impl Reloader {
    /// Of a program that runs by `running`, which `options` led to.
    pub fn new(
        options: Options,
        running: Loaded,
        live: Arc<CurrentProxy>,
        set_verbosity: impl Fn(u8) + Send + Sync + 'static,
    ) -> Self {
        Self {
            options,
            running,
            live,
            set_verbosity: Box::new(set_verbosity),
        }
    }

    /// Waits for changes from now on, beside everything else.
    pub fn start(self) {
        match signal(SignalKind::hangup()) {
            Ok(hangup) => drop(tokio::spawn(self.run(hangup))),
            Err(error) => tracing::warn!(%error, "SIGHUP cannot be waited for; changes wait for a restart"),
        }
    }

    async fn run(mut self, mut hangup: Signal) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first look counts as a change too: the files may have changed since they were read.
        let (mut taken, mut before) = (None, None);
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    taken = Some(self.look().await);
                    self = self.reload(true).await;
                }
                _ = look.tick() => {
                    let now = Some(self.look().await);
                    // A file that is still being written looks another way the next time.
                    if now != taken && now == before {
                        taken = now;
                        self = self.reload(false).await;
                    }
                    before = now;
                }
            }
        }
    }

    /// The configuration file.
    fn file(&self) -> Option<PathBuf> {
        let variable = || env::var("JOBSHIM_CONFIG").ok().filter(|path| !path.is_empty());
        self.options.config.clone().or_else(|| variable().map(PathBuf::from))
    }

    /// What all files say, in one number.
    async fn look(&self) -> u64 {
        let mut files: Vec<PathBuf> = self.file().into_iter().collect();
        let folder = self.running.config.mappings_dir.clone();
        let reading = spawn_blocking(move || {
            let tables = folder.and_then(|folder| files_in(&folder).ok());
            files.extend(tables.into_iter().flatten());
            let mut hasher = DefaultHasher::new();
            for file in files.into_iter().filter(|file| !is_read_once(file)) {
                let text = fs::read(&file).ok();
                (file, text).hash(&mut hasher);
            }
            hasher.finish()
        });
        reading.await.unwrap_or_default()
    }

    /// Reads everything again. What is wrong in any way is refused as a whole, and what was in force stays.
    async fn reload(mut self, asked: bool) -> Self {
        let work = spawn_blocking(move || {
            match self.take_over(asked) {
                Ok(()) => {}
                Err(reason) => tracing::warn!(%reason, "the new configuration is refused; the old one stays in force"),
            }
            self
        });
        match work.await {
            Ok(reloader) => reloader,
            // It does not panic, and is not cancelled.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn take_over(&mut self, asked: bool) -> Result<(), Box<dyn std::error::Error>> {
        let environment = |name: &str| env::var(name).ok();
        let new = match self.file().filter(|file| is_read_once(file)) {
            None => config::load(&self.options, environment)?,
            Some(file) => {
                if asked {
                    tracing::warn!(file = %file.display(), "the configuration came through a pipe and stays in force: it can be read only once");
                }
                self.running.clone()
            }
        };
        let (taken, waiting) = self.running.taking_over(&new, environment)?;
        let service = self.live.service();
        let reloaded = service.reloaded(&taken.config)?;
        let mut changed = self.running.changed(&taken);
        if !reloaded.has_tables_of(&service) {
            changed.push("tables");
        }
        // What comparisons found says nothing of other tables, and nothing of what is ignored from now on.
        if changed.iter().any(|key| matches!(*key, "tables" | "shadow.ignore")) {
            reloaded.observer().findings().forget();
        }
        self.live.record(reloaded);
        (self.set_verbosity)(taken.config.log.verbosity);
        self.running = taken;
        if asked || !changed.is_empty() {
            let changed = match changed.is_empty() {
                true => "nothing".to_owned(),
                false => changed.join(", "),
            };
            tracing::info!(changed, "the configuration was read again");
        }
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these changes wait for a restart");
        }
        Ok(())
    }
}
