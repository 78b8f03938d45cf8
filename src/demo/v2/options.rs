//! How a simulated server is set up, and what can be made to go wrong with it.

use std::time::Duration;

/// Whose ways the server has, where the published document leaves room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// By the document: times, sizes and tracebacks are told, ids of assets are UUIDs, the final status is the last event.
    Deployment,
    /// As comfy-api-proxy was recorded: `started_at`, `completed_at` and `traceback` are null, sizes of outputs are 0, ids of
    /// outputs are long opaque texts, the last outputs follow the final status.
    ApiProxy,
}

/// How a simulated server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose ways it has.
    pub variant: Variant,
    /// What stands before `/api/v2`, such as `/comfy`; nothing by default.
    pub prefix: String,
    /// The keys that are let in as `Authorization: Bearer <key>`, each a user of its own. With none, everybody is let in.
    pub keys: Vec<String>,
    /// Whether `GET /api/v2/jobs` lists the jobs; it is 404 by default.
    pub list: bool,
    /// Whether there are event streams; without, 501.
    pub events: bool,
    /// How many event streams may be open; one more is 429.
    pub max_streams: usize,
    /// How many jobs may wait; one more is 429.
    pub max_queued: usize,
    /// Whether content is a 302 to a signed URL on another host, which refuses requests with credentials.
    pub redirect: bool,
    /// Whether `details.node_errors` are as the published document shows them, `[{field, reason}]` for each node. By default
    /// they are ComfyUI's own.
    pub short_node_errors: bool,
    /// How long a job runs. With none a job moves on by [`Simulator::step`](super::Simulator::step) and
    /// [`Simulator::finish`](super::Simulator::finish) alone.
    pub runs_for: Option<Duration>,
    /// How long after its creation a job that has ended is there.
    pub retention: Duration,
    /// How long an event stream is silent before it says that it is still there.
    pub keepalive: Duration,
    /// The most bytes of an upload; more is 413.
    pub max_upload: usize,
    /// Node classes besides the built-in ones, and whether they are output nodes. They want no inputs; an output node saves a
    /// picture.
    pub classes: Vec<(String, bool)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            variant: Variant::Deployment,
            prefix: String::new(),
            keys: Vec::new(),
            list: false,
            events: true,
            max_streams: 64,
            max_queued: 1_000,
            redirect: false,
            short_node_errors: false,
            runs_for: None,
            retention: Duration::from_secs(24 * 60 * 60),
            keepalive: Duration::from_secs(15),
            max_upload: 256 << 20,
            classes: Vec::new(),
        }
    }
}

impl Options {
    /// A server as the recordings have it, list included.
    pub fn api_proxy() -> Self {
        Self {
            variant: Variant::ApiProxy,
            list: true,
            ..Self::default()
        }
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `POST /api/v2/jobs`
    Submit,
    /// `GET /api/v2/jobs`
    List,
    /// `GET /api/v2/jobs/{id}`
    Job,
    /// `GET /api/v2/jobs/{id}/workflow`
    Workflow,
    /// `POST /api/v2/jobs/{id}/cancel`
    Cancel,
    /// `GET /api/v2/jobs/{id}/events`
    Events,
    /// `POST /api/v2/assets`
    Upload,
    /// `GET /api/v2/assets/{id}`
    Asset,
    /// `GET /api/v2/assets/{id}/content`
    Content,
    /// `GET /api/v2/health`
    Health,
    /// A signed URL, on its own host.
    Signed,
    /// Anything else, which is 404.
    Other,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and the code that goes with it, and does nothing. 429 and 503 come with `Retry-After`.
    Status(u16),
    /// The same with a code of its own, such as 429 and `deployment_not_ready`.
    Code(u16, &'static str),
    /// It does what it should, then the connection ends without an answer.
    Lost,
    /// It does what it should, and the answer never comes.
    Silent,
    /// A job is called expired, and is not: comfy-api-proxy says so of what ends while it looks for it. An event stream says so at
    /// the job's end.
    Expired,
    /// A job is said to be in this state.
    Word(&'static str),
    /// An event stream ends after what holds when it is opened.
    Short,
}
