//! `jobshim health`: whether the jobshim that runs by the same configuration is well; for containers without a shell.

use super::admin_url::from_here;
use crate::{
    admin::ask,
    config::{Config, ListenAddress},
    http::{outside::Outside, system_error::without_number},
    os::UnixStream,
};
use http::{StatusCode, Uri};
use serde::Deserialize;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Containers ask every few seconds; an answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why it is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The admin listener has no good answer.
    #[error("{0}: {1}")]
    Admin(Uri, String),
    /// Nothing takes connections there.
    #[error("no connection to {0}: {words}", words = without_number(&.1.to_string()))]
    Connect(ListenAddress, io::Error),
    /// It takes no connection.
    #[error("{0} takes no connection within {after} s", after = PATIENCE.as_secs())]
    TimedOut(ListenAddress),
    /// Nobody can be asked whether jobshim is ready.
    #[error("--ready asks the admin listener, and that is off; --admin takes an address")]
    NoAdmin,
}

/// What `/readyz` says, as far as people are told.
#[derive(Deserialize)]
struct Readiness {
    stopping: bool,
    upstream: Behind,
}

/// The server behind.
#[derive(Deserialize)]
struct Behind {
    url: String,
    about: Option<String>,
    answers: Option<bool>,
    last_failure: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    reason: String,
}

impl Readiness {
    /// In words; `ready` is what the status says.
    fn in_words(&self, ready: bool) -> String {
        let Behind {
            url,
            about,
            answers,
            last_failure,
        } = &self.upstream;
        let about = about.as_ref().map_or(String::new(), |about| format!(" ({about})"));
        if ready {
            return format!("ready: {url} answers{about}");
        }
        if self.stopping {
            return "not ready: it is stopping".to_owned();
        }
        match (answers, last_failure) {
            (Some(false), Some(Failure { reason })) => format!("not ready: {url} does not answer: {reason}"),
            (Some(true), _) => format!("not ready: {url} takes no new connections now"),
            _ => format!("not ready: {url} does not answer"),
        }
    }
}

/// Asks it, or whether it is `ready`, and gives a word for people. With the admin listener off, it is well when it takes
/// connections.
pub async fn run(config: &Config, ready: bool) -> Result<String, HealthError> {
    match &config.admin {
        Some(admin) => ask_admin(from_here(admin.address), ready).await,
        None if ready => Err(HealthError::NoAdmin),
        None => {
            connect(&config.listen.address).await?;
            let listen = &config.listen.address;
            Ok(format!(
                "{listen} takes connections; the admin listener is off, so no more is known"
            ))
        }
    }
}

async fn ask_admin(admin: SocketAddr, ready: bool) -> Result<String, HealthError> {
    let path = if ready { "/readyz" } else { "/healthz" };
    let uri = Uri::builder().scheme("http").authority(admin.to_string());
    let uri = uri.path_and_query(path).build().unwrap_or_default();
    let (status, body) = match ask(uri.clone(), PATIENCE).await {
        Ok(answer) => answer,
        Err(reason) => return Err(HealthError::Admin(uri, reason)),
    };
    let said = match serde_json::from_slice::<Readiness>(&body) {
        Ok(readiness) if ready => readiness.in_words(status == StatusCode::OK),
        _ => String::from_utf8_lossy(&body).trim_end().to_owned(),
    };
    let said = Outside::many(&said).to_string();
    match status {
        StatusCode::OK => Ok(format!("{uri}: {said}")),
        StatusCode::SERVICE_UNAVAILABLE if ready => Err(HealthError::Admin(uri, said)),
        status => Err(HealthError::Admin(uri, format!("{status}: {said}"))),
    }
}

async fn connect(listen: &ListenAddress) -> Result<(), HealthError> {
    let connecting = async {
        match listen {
            ListenAddress::Tcp(address) => TcpStream::connect(from_here(*address)).await.map(drop),
            ListenAddress::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    match timeout(PATIENCE, connecting).await {
        Ok(connected) => connected.map_err(|error| HealthError::Connect(listen.clone(), error)),
        Err(_) => Err(HealthError::TimedOut(listen.clone())),
    }
}
