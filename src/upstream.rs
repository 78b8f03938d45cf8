//! The client side: one pooled HTTP/1.1 client for one fixed upstream, with TLS and timeouts.

use crate::{
    config::UpstreamConfig,
    connect::Dialer,
    mistakes::{Cause, sources},
    pace::{Gap, Moves},
    pool::{Pool, PoolError},
    vet::vet_answer,
    via,
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST},
    uri::{PathAndQuery, Scheme},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{error::Error, io, path::Path, pin::pin, sync::Arc, time::Duration};

/// What any body error is on its way to hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The one body type that answers and upstream requests share.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Why the upstream could not be asked. Section 4 of the contract maps these to 502 and 504.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Refused, no such host, TLS failure.
    #[error("cannot connect to the upstream {upstream}: {reason}")]
    Connect {
        /// Its `host[:port]`.
        upstream: String,
        /// What the system says.
        reason: String,
        /// What that means.
        cause: Cause,
    },
    /// No answer within the time allowed, in ms.
    #[error("the upstream {upstream} did not answer within {after_ms} ms")]
    TimedOut {
        /// Its `host[:port]`.
        upstream: String,
        /// The time allowed.
        after_ms: u128,
    },
    /// Reset, cut short, or not HTTP.
    #[error("the upstream {upstream} broke off its answer: {reason}")]
    Interrupted {
        /// Its `host[:port]`.
        upstream: String,
        /// What the connection says.
        reason: String,
        /// What that means.
        cause: Cause,
    },
    /// The answer is larger than `upstream.max_answer_bytes`.
    #[error("the upstream {upstream} sent more than {limit} bytes")]
    TooLarge {
        /// Its `host[:port]`.
        upstream: String,
        /// The most bytes that are read.
        limit: usize,
    },
    /// The client's own body did not come whole; the upstream was not asked.
    #[error("the request's body broke off: {0}")]
    Client(Arc<dyn Error + Send + Sync>),
    /// The path or query cannot be sent. It is not shown: it may carry a key.
    #[error("the request's target cannot be sent: {0}")]
    BadTarget(String),
}

impl UpstreamError {
    /// Whether nothing can be known of what the upstream would have said.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::TimedOut { .. } | Self::Interrupted { .. }
        )
    }
}

/// The upstream could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra CA file cannot be read or holds no certificate.
    #[error("upstream.ca_file {path}: {reason}")]
    CaFile {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A whole answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As the upstream gave it.
    pub status: StatusCode,
    /// As the upstream gave them.
    pub headers: HeaderMap,
    /// At most `upstream.max_answer_bytes` long.
    pub body: Bytes,
}

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
}

impl Upstream {
    /// Builds the client; opens no connection.
    pub fn new(config: &UpstreamConfig) -> Result<Self, SetupError> {
        let https = config.url.scheme() == Some(&Scheme::HTTPS);
        let link = match &config.socket {
            Some(path) => Dialer::Unix {
                path: Arc::new(path.clone()),
                patience: config.connect_timeout,
            },
            None => {
                let mut tcp = HttpConnector::new();
                tcp.enforce_http(false);
                tcp.set_nodelay(true);
                tcp.set_connect_timeout(Some(config.connect_timeout));
                Dialer::Tcp(tcp)
            }
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(https, config.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(link);
        Ok(Self {
            pool: Pool::new(connector, config.url.clone()),
            url: config.url.to_string().trim_end_matches('/').to_owned(),
            base: config.url.path().trim_end_matches('/').to_owned(),
            https,
            authority: config.url.authority().map(ToString::to_string).unwrap_or_default(),
            name: match &config.socket {
                Some(path) => format!("unix:{}", path.display()),
                None => config.url.authority().map(ToString::to_string).unwrap_or_default(),
            },
            via: via::Name::new(),
            headers: config.headers.clone(),
            connect_timeout: config.connect_timeout,
            first_byte_timeout: config.first_byte_timeout,
            gap_timeout: config.gap_timeout,
            answer_timeout: config.answer_timeout,
            max_answer_bytes: config.max_answer_bytes,
        })
    }

    /// Another server, asked in the same way but without the configured headers: those are for this one alone.
    pub fn elsewhere(config: &UpstreamConfig, url: &Uri) -> Result<Self, SetupError> {
        Self::new(&UpstreamConfig {
            url: url.clone(),
            socket: None,
            headers: Vec::new(),
            ..config.clone()
        })
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

    /// Adds the configured headers that `headers` does not have.
    pub fn inject(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
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

    /// The error of an answer whose body ended before its time.
    pub fn broken_off(&self, error: &(dyn Error + 'static)) -> UpstreamError {
        match gap_in(error) {
            Some(gap) => self.timed_out(gap.0),
            None => self.interrupted(innermost(error), Cause::of(error)),
        }
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

    /// Sends one request, whose URI came from [`Upstream::uri`], with the configured headers that it does not have;
    /// waits for the head of the answer without a time limit. Redirects are not followed: our headers are for this
    /// server alone. What may be sent twice, and when, is [`Pool::send`]'s.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        let headers = request.headers_mut();
        self.inject(headers);
        self.via.sign(headers);
        headers.entry(HOST).or_insert_with(|| self.host());
        let sending = self.pool.send(request).await;
        let response = sending.map_err(|error| self.send_error(error))?;
        match vet_answer(response.headers()) {
            Ok(()) => Ok(response),
            Err(reason) => Err(self.interrupted(reason.to_owned(), Cause::NotHttp)),
        }
    }

    /// As [`Upstream::send`], and waits no longer for the head of the answer than `upstream.first_byte_timeout`, while
    /// the body of the request does not move either.
    pub async fn send_patiently(&self, mut request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        let moves: Option<Moves> = request.extensions_mut().remove();
        let mut sending = pin!(self.send(request));
        loop {
            match tokio::time::timeout(self.first_byte_timeout, sending.as_mut()).await {
                Ok(sent) => return sent,
                Err(_) if moves.as_ref().is_some_and(Moves::moved) => {}
                Err(_) => return Err(self.timed_out(self.first_byte_timeout)),
            }
        }
    }

    /// How long an answer that passes through may lie still.
    pub fn gap_timeout(&self) -> Duration {
        self.gap_timeout
    }

    /// Makes a call with a small body and reads the whole answer, within the time and size that the configuration
    /// allows.
    pub async fn call(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, UpstreamError> {
        let reading = self.read_answer(method, target, headers, body);
        tokio::time::timeout(self.answer_timeout, reading)
            .await
            .unwrap_or_else(|_| Err(self.timed_out(self.answer_timeout)))
    }

    async fn read_answer(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, UpstreamError> {
        let mut request = Request::new(full(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(target)?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (head, body) = self.send(request).await?.into_parts();
        if let Some(encoding) = head.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(self.interrupted(
                format!("it is encoded as {encoding:?}, though no encoding was asked for"),
                Cause::Other,
            ));
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: self.collect(body).await?,
        })
    }

    async fn collect(&self, mut body: Incoming) -> Result<Bytes, UpstreamError> {
        let limit = self.max_answer_bytes;
        let too_large = || UpstreamError::TooLarge {
            upstream: self.name.clone(),
            limit,
        };
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        // What was not announced grows without being copied each time: it is put together once, when it is all there.
        let mut whole = BytesMut::with_capacity(announced);
        let (mut more, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken_off(&error))?;
            let data = frame.into_data().unwrap_or_default();
            length += data.len();
            if length > limit {
                return Err(too_large());
            }
            match length <= announced {
                true => whole.extend_from_slice(&data),
                false => more.push(data),
            }
        }
        whole.reserve(length - whole.len());
        more.iter().for_each(|data| whole.extend_from_slice(data));
        Ok(whole.freeze())
    }

    fn host(&self) -> HeaderValue {
        HeaderValue::from_str(&self.authority).unwrap_or(HeaderValue::from_static(""))
    }

    fn timed_out(&self, after: Duration) -> UpstreamError {
        UpstreamError::TimedOut {
            upstream: self.name.clone(),
            after_ms: after.as_millis(),
        }
    }

    fn interrupted(&self, reason: String, cause: Cause) -> UpstreamError {
        UpstreamError::Interrupted {
            upstream: self.name.clone(),
            reason,
            cause,
        }
    }

    fn send_error(&self, error: PoolError) -> UpstreamError {
        if let PoolError::Send(error) = &error
            && let Some(gap) = gap_in(error)
        {
            return UpstreamError::Client(Arc::new(gap));
        }
        let error = match error {
            PoolError::Send(error)
                if sources(&error)
                    .filter_map(<dyn Error>::downcast_ref)
                    .any(hyper::Error::is_user) =>
            {
                return UpstreamError::Client(BoxError::from(innermost(&error)).into());
            }
            PoolError::Send(error) => return self.broken_off(&error),
            PoolError::Connect(error) => error,
        };
        let timed_out = sources(&*error)
            .filter_map(|source| source.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::TimedOut);
        match timed_out {
            true => self.timed_out(self.connect_timeout),
            false => UpstreamError::Connect {
                upstream: self.name.clone(),
                reason: innermost(&*error),
                cause: Cause::of(&*error),
            },
        }
    }
}

/// The gap that ended a body, if that is what the error comes from.
fn gap_in(error: &(dyn Error + 'static)) -> Option<Gap> {
    sources(error).find_map(|source| source.downcast_ref::<Gap>()).copied()
}

/// What people can act on is said by the innermost error: `Connection refused`, not `client error (Connect)`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}

/// System and bundled roots, and the extra file's.
fn tls(used: bool, ca_file: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    // A few megabytes that most upstreams, being asked by plain HTTP, have no use for.
    if used {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // A system certificate that cannot be read is the system's affair, as for every other program on it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = ca_file {
        let refuse = |reason: String| SetupError::CaFile {
            path: path.display().to_string(),
            reason,
        };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| refuse(error.to_string()))?;
        if certificates.is_empty() {
            return Err(refuse("it holds no certificate".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
