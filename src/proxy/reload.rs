//! A change of configuration or tables without a restart: on SIGHUP, and when a file has changed.
//!
//! What is in force is one [`Pipeline`](crate::proxy::Pipeline), exchanged as a whole: a request keeps the one that it began with, and
//! connections know of none.

use crate::{
    config::{InForce, Loaded, Options, is_read_once},
    mapping::files_in,
    migration::compare::comparison_basis,
    os::ReloadSignal,
    proxy::Proxy,
    telemetry::EventKind,
};
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Takes changes over into a running program.
pub struct Reloader {
    options: Options,
    running: Loaded,
    proxy: Arc<Proxy>,
    /// Sets how many log lines there are, by `log.verbosity`.
    set_verbosity: Box<dyn Fn(u8) + Send + Sync>,
}

impl Reloader {
    /// Of a program that runs by `running`, which `options` led to.
    pub fn new(
        options: Options,
        running: Loaded,
        proxy: Arc<Proxy>,
        set_verbosity: impl Fn(u8) + Send + Sync + 'static,
    ) -> Self {
        Self {
            options,
            running,
            proxy,
            set_verbosity: Box::new(set_verbosity),
        }
    }

    /// Waits for changes from now on, beside everything else.
    pub fn start(self) {
        match ReloadSignal::listen() {
            Ok(asked) => drop(tokio::spawn(self.run(asked))),
            Err(error) => tracing::warn!(%error, "SIGHUP cannot be waited for; changes wait for a restart"),
        }
    }

    async fn run(mut self, mut asked: ReloadSignal) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first look counts as a change too: the files may have changed since they were read.
        let (mut taken, mut before) = (None, None);
        loop {
            tokio::select! {
                () = asked.next() => {
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
            let taken = self.take_over(asked);
            self.proxy.observer().metrics().configured(taken.is_ok());
            if let Err(reason) = taken {
                let reason = reason.to_string();
                tracing::warn!(reason, "the new configuration is refused; the old one stays in force");
                self.proxy.observer().events().tell(EventKind::ReloadRefused, &reason);
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
            None => self.running.again(&self.options, environment)?,
            Some(file) => {
                if asked {
                    tracing::warn!(file = %file.display(), "the configuration came through a pipe and stays in force: it can be read only once");
                }
                self.running.clone()
            }
        };
        if asked && self.running.has_pipes() {
            tracing::warn!("a secret came through a pipe and stays in force: it can be read only once");
        }
        let (taken, waiting) = self.running.taking_over(&new, environment)?;
        let mut changed = self.running.changed(&taken);
        if self.proxy.reload(&taken.config)? {
            changed.push("tables");
        }
        let pipeline = self.proxy.pipeline();
        let basis = comparison_basis(pipeline.legacy.tables(), &taken.config.shadow);
        self.proxy.observer().compare_by(basis);
        self.proxy.put_in_force(InForce {
            waiting: waiting.clone(),
            ..InForce::of(&taken)
        });
        (self.set_verbosity)(taken.config.log.verbosity);
        self.running = taken;
        if asked || !changed.is_empty() {
            let changed = match changed.is_empty() {
                true => "nothing".to_owned(),
                false => changed.join(", "),
            };
            tracing::info!(changed, "the configuration was read again");
            self.proxy.observer().events().tell(EventKind::Reloaded, &changed);
        }
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(", "), "these changes wait for a restart");
        }
        Ok(())
    }
}
