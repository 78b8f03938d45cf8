//! The client side: one pooled HTTP/1.1 client for one fixed upstream, with TLS and timeouts.

mod call;
pub mod cause;
mod error;
mod error_chain;
pub mod http1;
pub mod pool;
mod tls;

pub use call::Answer;
pub use error::{SetupError, UpstreamError};

use crate::{
    auth::scope,
    config::UpstreamConfig,
    http::{
        body::Body,
        buffered::BufferBudget,
        idle_timeout::{BodyProgress, ResponseTimeout},
        via,
    },
    upstream::pool::{AnswerBody, Connector, Pool},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri,
    header::HOST,
    uri::{PathAndQuery, Scheme},
};
use std::time::Duration;

/// The server behind.
pub struct Upstream {
    pool: Pool,
    /// The path that all targets are below, without a slash at the end.
    base: String,
    /// All of it, for people.
    url: String,
    https: bool,
    authority: String,
    /// What people call it.
    name: String,
    via: via::Name,
    /// Added where the client did not send them.
    headers: Vec<(HeaderName, HeaderValue)>,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    gap_timeout: Duration,
    answer_timeout: Duration,
    max_answer_bytes: usize,
    budget: BufferBudget,
}

impl Upstream {
    /// What whole answers are held within.
    pub fn budget(&self) -> &BufferBudget {
        &self.budget
    }

    /// Builds the client; opens no connection. Whole answers are held within `budget`.
    pub fn new(config: &UpstreamConfig, budget: &BufferBudget) -> Result<Self, SetupError> {
        let address = &config.url;
        let https = address.uri.scheme() == Some(&Scheme::HTTPS);
        let connector = Connector::new(
            address.uri.clone(),
            address.socket.as_deref(),
            tls::client_config(https, config.ca_file.as_deref())?,
            config.connect_timeout,
        );
        Ok(Self {
            pool: Pool::new(connector),
            url: address.uri.to_string().trim_end_matches('/').to_owned(),
            base: address.uri.path().trim_end_matches('/').to_owned(),
            https,
            authority: address.uri.authority().map(ToString::to_string).unwrap_or_default(),
            name: match &address.socket {
                Some(path) => format!("unix:{}", path.display()),
                None => address.uri.authority().map(ToString::to_string).unwrap_or_default(),
            },
            via: via::Name::new(),
            headers: config.headers.clone(),
            connect_timeout: config.connect_timeout,
            first_byte_timeout: config.first_byte_timeout,
            gap_timeout: config.gap_timeout,
            answer_timeout: config.answer_timeout,
            max_answer_bytes: config.max_answer_bytes,
            budget: budget.clone(),
        })
    }

    /// Another server, asked in the same way but without the configured headers: those are for this one alone.
    pub fn elsewhere(config: &UpstreamConfig, url: &Uri, budget: &BufferBudget) -> Result<Self, SetupError> {
        let config = UpstreamConfig {
            url: url.clone().into(),
            headers: Vec::new(),
            ..config.clone()
        };
        Self::new(&config, budget)
    }

    /// Where it is: scheme, authority and base path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The upstream's `host[:port]`, for `Host` where it must be the upstream's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What people call it: the same, or the path of its socket.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds the configured headers that `headers` does not have, without credentials where the request has some of its
    /// own: the server would take one or the other.
    fn inject(&self, request: &mut Request<Body>) {
        if self.headers.is_empty() {
            return;
        }
        let is_shown = scope::is_shown(request.headers(), request.uri());
        for (name, value) in &self.headers {
            if !is_shown || !scope::is_key(name) {
                request.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
        }
    }

    /// Whether a request with these headers was sent from here, and came round again.
    pub fn has_sent(&self, headers: &HeaderMap) -> bool {
        self.via.has_signed(headers)
    }

    /// The value of a configured header.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        let header = self.headers.iter().find(|(known, _)| known.as_str() == name);
        header.map(|(_, value)| value)
    }

    /// Whether requests get headers that clients do not send.
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Whether it is asked through TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// `target` (origin-form, begins with `/`) below the upstream's base path.
    pub fn uri(&self, target: &str) -> Result<Uri, UpstreamError> {
        if !target.starts_with('/') {
            return Err(UpstreamError::BadTarget("it does not begin with /".to_owned()));
        }
        let whole: Result<PathAndQuery, _> = match self.base.as_str() {
            "" => target.parse(),
            base => format!("{base}{target}").parse(),
        };
        whole
            .map(Uri::from)
            .map_err(|error| UpstreamError::BadTarget(error.to_string()))
    }

    /// The target of `uri` as it was sent, below the upstream's base path.
    pub fn uri_as_sent(&self, uri: &Uri) -> Result<Uri, UpstreamError> {
        match uri.path_and_query() {
            Some(target) if self.base.is_empty() && target.as_str().starts_with('/') => Ok(target.clone().into()),
            target => self.uri(target.map_or("/", PathAndQuery::as_str)),
        }
    }

    /// Sends one request, whose URI came from [`Upstream::uri`], with the configured headers that it does not have, and
    /// waits no longer for the head of the answer than `timeout` allows.
    /// Redirects are not followed: our headers are for this server alone. What may be sent twice, and when, is
    /// [`Pool::send`]'s.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        timeout: ResponseTimeout,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        self.inject(&mut request);
        let headers = request.headers_mut();
        self.via.sign(headers);
        headers.entry(HOST).or_insert_with(|| self.host());
        let sending = self.pool.send(request, timeout).await;
        sending.map_err(|error| self.send_error(error))
    }

    /// Passes a request on: as [`Upstream::send`], within `upstream.first_byte_timeout`, which begins anew whenever the
    /// body has made `progress`.
    pub async fn pass(
        &self,
        request: Request<Body>,
        progress: Option<BodyProgress>,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let timeout = ResponseTimeout {
            limit: self.first_byte_timeout,
            progress,
        };
        self.send(request, timeout).await
    }

    /// Whether the server took the last connection that was asked for. Those that are open already may serve on where
    /// it did not.
    pub fn takes_connections(&self) -> bool {
        self.pool.is_open()
    }

    /// Asks for another connection, where the last one was not taken.
    pub async fn reconnect(&self) -> Result<(), UpstreamError> {
        match self.takes_connections() {
            true => Ok(()),
            false => self.pool.reopen().await.map_err(|error| self.send_error(error)),
        }
    }

    /// How long a whole answer may take that is read before anything is done with it.
    pub fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// The most bytes of such an answer.
    pub fn max_answer_bytes(&self) -> usize {
        self.max_answer_bytes
    }

    /// How long an answer that passes through may lie still.
    pub fn gap_timeout(&self) -> Duration {
        self.gap_timeout
    }

    fn host(&self) -> HeaderValue {
        HeaderValue::from_str(&self.authority).unwrap_or(HeaderValue::from_static(""))
    }
}
