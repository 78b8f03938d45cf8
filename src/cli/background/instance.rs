//! The jobshim in the background itself.

use super::{
    commands::BackgroundError,
    folder::{Folder, Record},
    log_file::LogFile,
};
use crate::{
    cli::admin_url::from_here,
    config::{Config, ListenAddress},
};
use jiff::Timestamp;
use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::PathBuf,
    process,
    time::Duration,
};
use tokio::time::sleep;

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// The one that runs, as long as it is not dropped.
pub struct Instance {
    folder: Folder,
    _lock: File,
}

impl Instance {
    /// Takes the place in `folder`, if nobody has it.
    pub fn begin(folder: Folder) -> Result<Self, BackgroundError> {
        let unusable = |error| BackgroundError::unusable(&folder, error);
        folder.make().map_err(unusable)?;
        let lock = folder.lock().map_err(unusable)?;
        let lock = lock.ok_or_else(|| BackgroundError::runs(&folder))?;
        // Whoever had it before may have been killed.
        folder.clear();
        Ok(Self { folder, _lock: lock })
    }

    /// Where it writes what it does.
    pub fn log(&self) -> Result<LogFile, BackgroundError> {
        LogFile::open(self.folder.log()).map_err(|error| BackgroundError::unusable(&self.folder, error))
    }

    /// Who asks it to stop.
    pub fn stop_requests(&self) -> StopRequests {
        StopRequests(self.folder.stop())
    }

    /// Says that it runs by `config`, and where it is found.
    pub fn tell(&self, config: &Config, address: &ListenAddress, admin: Option<SocketAddr>) -> io::Result<()> {
        let url = match (address, config.listen.tls()) {
            (ListenAddress::Tcp(address), None) => format!("http://{}", from_here(*address)),
            (ListenAddress::Tcp(address), Some(_)) => format!("https://{}", from_here(*address)),
            (socket @ ListenAddress::Unix(_), _) => socket.to_string(),
        };
        self.folder.write(&Record {
            pid: process::id(),
            url,
            page: admin.map(|admin| format!("http://{}/", from_here(admin))),
            since: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            stops_within: config
                .server
                .drain_delay
                .saturating_add(config.server.drain_timeout)
                .as_secs(),
        })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.folder.clear();
    }
}

/// Those who ask it to stop.
pub struct StopRequests(PathBuf);

impl StopRequests {
    /// The next one.
    pub async fn next(&mut self) {
        while fs::remove_file(&self.0).is_err() {
            sleep(LOOK).await;
        }
    }
}
