//! Finds out, by asking a few things more, why an upstream does not answer as the Jobs API does: an `/api` too many or too
//! few in its URL, http for https, a release from before the Jobs API, or somebody else's server.

use crate::{
    config::{ServerAddress, UpstreamConfig},
    http::{buffered::BufferBudget, outside::Outside},
    jobs_api::JobsError,
    mapping::{
        Tables,
        dialect::Dialect,
        json::{find, string_value},
    },
    proxy::hints::{OriginHeaders, refusal},
    upstream::{Answer, SetupError, Upstream, UpstreamError, cause::Cause},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header::CONTENT_TYPE};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// The most that one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what was found out is believed: clients poll.
const BELIEVED: Duration = Duration::from_secs(60);
/// What cloud and self-hosted servers both have in front of their paths.
const PREFIX: &str = "/api";
/// The first release with the Jobs API.
const JOBS_API_SINCE: [u32; 3] = [0, 6, 0];

/// What is wrong with an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there, under another URL.
    Elsewhere {
        /// What is wrong with the one configured.
        mistake: &'static str,
        /// The right one.
        url: String,
    },
    /// A ComfyUI, and its version.
    TooOld(String),
    /// A ComfyUI that should have the Jobs API by its version.
    Withheld(String),
    /// Not a ComfyUI.
    Stranger {
        /// What it answered.
        status: u16,
        /// The type of that answer.
        content_type: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere { mistake, url } => write!(out, "{mistake}: upstream.url must be {url}"),
            Self::TooOld(version) => write!(
                out,
                "the server is ComfyUI {version}, older than the Jobs API, and still has the legacy endpoints: start jobshim with \
                 --mode auto, which uses those until the server is upgraded to 0.6.0 or later"
            ),
            Self::Withheld(version) => write!(
                out,
                "the server is ComfyUI {version}, which has the Jobs API, but it does not come through: does a proxy before \
                 it let /api/jobs pass?"
            ),
            Self::Stranger { status, content_type } => write!(
                out,
                "what answers there ({status}, {}) is not ComfyUI: is the port, and the path, of upstream.url right?",
                Outside::new(content_type)
            ),
        }
    }
}

/// Asks an upstream what is wrong with it.
pub struct Diagnosis {
    config: UpstreamConfig,
    budget: BufferBudget,
    comfyui: Dialect,
    cloud: Dialect,
    last: Mutex<Option<(Instant, Option<Finding>)>>,
}

impl Diagnosis {
    /// Asks nothing yet.
    pub fn new(config: &UpstreamConfig, tables: &Tables) -> Self {
        Self {
            config: UpstreamConfig {
                answer_timeout: config.answer_timeout.min(PATIENCE),
                connect_timeout: config.connect_timeout.min(PATIENCE),
                ..config.clone()
            },
            // A few short answers.
            budget: BufferBudget::new(config.max_answer_bytes),
            comfyui: tables.comfyui.clone(),
            cloud: tables.cloud.clone(),
            last: Mutex::default(),
        }
    }

    /// What is behind `error`, if it is one of those that need asking; remembered for a while.
    pub async fn of(&self, error: &JobsError) -> Option<Finding> {
        let is_undecided = match error {
            JobsError::Missing { .. } | JobsError::Shape { .. } => true,
            JobsError::Upstream(error) => speaks_no_http(error),
            JobsError::Refused { .. } | JobsError::TooLong { .. } | JobsError::Unlistable { .. } => false,
        };
        if !is_undecided {
            return None;
        }
        let mut last = self.last.lock().await;
        if let Some((since, found)) = &*last
            && since.elapsed() < BELIEVED
        {
            return found.clone();
        }
        let found = self.look().await;
        *last = Some((Instant::now(), found.clone()));
        found
    }

    /// What is behind any `error`, and what to do about it, in a sentence.
    pub async fn cause(&self, error: &JobsError) -> String {
        if let Some(finding) = self.of(error).await {
            return finding.to_string();
        }
        let text = match error {
            JobsError::Upstream(UpstreamError::Connect { cause, .. } | UpstreamError::Interrupted { cause, .. }) => {
                cause.remedy()
            }
            JobsError::Upstream(UpstreamError::TimedOut { .. }) => {
                "it is too busy, or a firewall drops what is sent there: is the address right?"
            }
            JobsError::Refused { answer, .. } => refusal(answer.status, &OriginHeaders::default(), false)
                .unwrap_or("the server is in trouble: its own log may say why"),
            _ => "its answer is not the Jobs API's: is upstream.url right?",
        };
        text.to_owned()
    }

    /// Asks now.
    pub async fn look(&self) -> Option<Finding> {
        let url = &self.config.url.uri;
        let probed = self.probe(url).await;
        let plain = url.scheme_str() == Some("http");
        match &probed {
            Ok(answer) if is_jobs_api(answer) => return None,
            Err(Asking::Upstream(error)) if plain && speaks_no_http(error) => {}
            Err(_) => return None,
            Ok(_) => {}
        }
        // A socket has no other port and no other scheme, and its path is no URL's.
        let by_address = self.config.url.socket.is_none();
        if by_address
            && plain
            && let Some(finding) = self.behind_tls(url).await
        {
            return Some(finding);
        }
        let answer = probed.ok()?;
        if by_address && let Some(finding) = self.at_another_base(url).await {
            return Some(finding);
        }
        self.by_its_version(url).await.or_else(|| Some(stranger(&answer)))
    }

    async fn behind_tls(&self, url: &Uri) -> Option<Finding> {
        let secure = with_base(url, "https", url.path())?;
        let speaks_tls = match self.probe(&secure).await {
            Ok(_) => true,
            Err(Asking::Upstream(UpstreamError::Connect { cause, .. })) => {
                matches!(cause, Cause::Untrusted | Cause::WrongName | Cause::OutOfDate)
            }
            Err(_) => false,
        };
        speaks_tls.then(|| elsewhere("the server speaks https, not http", &secure))
    }

    async fn at_another_base(&self, url: &Uri) -> Option<Finding> {
        let base = url.path().trim_end_matches('/');
        let mut bases = vec![("an /api is missing in upstream.url", format!("{base}{PREFIX}"))];
        if let Some(shorter) = base.strip_suffix(PREFIX) {
            bases.insert(0, ("upstream.url has an /api too many", shorter.to_owned()));
        }
        for (mistake, base) in bases {
            let other = with_base(url, url.scheme_str()?, &base)?;
            if self.probe(&other).await.is_ok_and(|answer| is_jobs_api(&answer)) {
                return Some(elsewhere(mistake, &other));
            }
        }
        None
    }

    async fn by_its_version(&self, url: &Uri) -> Option<Finding> {
        let version = self
            .version(&Upstream::new(&with_url(&self.config, url), &self.budget).ok()?)
            .await?;
        let mut numbers = version
            .trim_start_matches('v')
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        let release = [(); 3].map(|()| numbers.next().unwrap_or(0));
        Some(match release < JOBS_API_SINCE {
            true => Finding::TooOld(version),
            false => Finding::Withheld(version),
        })
    }

    /// The version that a self-hosted server says it has, if it is there and says one.
    pub async fn version(&self, upstream: &Upstream) -> Option<String> {
        self.asked_version(upstream).await.ok()?
    }

    /// The same, and an error where the server is not there.
    pub async fn asked_version(&self, upstream: &Upstream) -> Result<Option<String>, UpstreamError> {
        let Some(names) = &self.comfyui.names.server else {
            return Ok(None);
        };
        let answer = get(upstream, &names.path).await?;
        let found = find(&answer.body, [&names.version]).ok();
        let version = found.and_then(|[version]| string_value(version?));
        Ok(version.map(|version| Outside::new(version).to_string()))
    }

    async fn probe(&self, url: &Uri) -> Result<Answer, Asking> {
        let upstream = Upstream::new(&with_url(&self.config, url), &self.budget)?;
        let mut last = None;
        for dialect in [&self.comfyui, &self.cloud] {
            let target = format!("{}?{}", dialect.names.list.path, dialect.names.probe.query);
            if last.as_ref().is_some_and(|(asked, _)| *asked == target) {
                break;
            }
            let answer = get(&upstream, &target).await?;
            if is_jobs_api(&answer) {
                return Ok(answer);
            }
            last = Some((target, answer));
        }
        last.map(|(_, answer)| answer).ok_or(Asking::Nothing)
    }
}

/// Why there is no answer to look at.
#[derive(Debug, thiserror::Error)]
enum Asking {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("no dialect has a probe")]
    Nothing,
}

async fn get(upstream: &Upstream, target: &str) -> Result<Answer, UpstreamError> {
    upstream.call(Method::GET, target, HeaderMap::new(), Bytes::new()).await
}

fn speaks_no_http(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Interrupted {
            cause: Cause::NotHttp | Cause::Closed,
            ..
        }
    )
}

/// Whether an answer to a list call is one of the Jobs API: an object, whatever it says. A server without it says 404 in
/// words, and so may a web page.
fn is_jobs_api(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 200 | 400..=403 | 429) && answer.body.trim_ascii_start().starts_with(b"{")
}

fn stranger(answer: &Answer) -> Finding {
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Finding::Stranger {
        status: answer.status.as_u16(),
        content_type: content_type.unwrap_or("of no type").to_owned(),
    }
}

fn elsewhere(mistake: &'static str, url: &Uri) -> Finding {
    Finding::Elsewhere {
        mistake,
        url: url.to_string().trim_end_matches('/').to_owned(),
    }
}

fn with_base(url: &Uri, scheme: &str, base: &str) -> Option<Uri> {
    let authority = url.authority()?;
    format!("{scheme}://{authority}{base}").parse().ok()
}

fn with_url(config: &UpstreamConfig, url: &Uri) -> UpstreamConfig {
    UpstreamConfig {
        url: ServerAddress {
            uri: url.clone(),
            socket: config.url.socket.clone(),
        },
        ..config.clone()
    }
}
