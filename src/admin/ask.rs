//! Asking the admin listener of a jobshim that runs.

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use std::{error::Error, time::Duration};

/// The answer to a GET, or why there is none within `patience`.
pub async fn ask(uri: Uri, timeout: Duration) -> Result<(StatusCode, Bytes), String> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let asking = async {
        let response = client.get(uri).await.map_err(|error| {
            let mut cause: &dyn Error = &error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            cause.to_string()
        })?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok((head.status, body.to_bytes()))
    };
    tokio::time::timeout(timeout, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", timeout.as_secs())))
}
