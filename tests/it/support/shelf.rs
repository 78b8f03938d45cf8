//! An upstream with as many jobs as a test wants, each as large as it wants, that counts what it is asked. Whoever asks
//! sees itself in the answer.

use super::upstream::{Scripted, TestBody, reply};
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Semaphore;

/// One job of the shelf.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    /// Such as `completed`.
    pub status: &'static str,
    /// In ms.
    pub created: i64,
    /// In ms.
    pub ended: i64,
    /// How long its prompt is, in bytes.
    pub size: usize,
}

/// When the first job was created, in ms.
pub const BEGINNING: i64 = 1_790_000_000_000;

impl Item {
    /// The `nth` job, created a second after the one before, and ended a second later.
    pub fn new(nth: usize, status: &'static str, size: usize) -> Self {
        let created = BEGINNING + 1000 * nth as i64;
        Self {
            id: format!("job-{nth:05}"),
            status,
            created,
            ended: created + 1000,
            size,
        }
    }

    fn listed(&self) -> String {
        let ended = match self.status {
            "pending" | "in_progress" => String::new(),
            _ => format!(r#", "execution_end_time": {}"#, self.ended),
        };
        format!(
            r#"{{"id": "{}", "status": "{}", "priority": 1, "create_time": {}{ended}"#,
            self.id, self.status, self.created
        )
    }
}

type Hold = Arc<dyn Fn(&str) -> Option<Response<TestBody>> + Send + Sync>;

/// What the tests look at and change.
#[derive(Default)]
pub struct Shared {
    pub items: Mutex<Vec<Item>>,
    pub lists: AtomicUsize,
    pub details: AtomicUsize,
    /// Calls that are being answered.
    pub open: AtomicUsize,
    /// Details and writes wait for a permit when there is a gate.
    pub gate: Mutex<Option<Arc<Semaphore>>>,
    /// Answers instead, by path.
    pub instead: Mutex<Option<Hold>>,
    /// Added to every answer.
    pub headers: Mutex<Vec<(String, String)>>,
}

/// The upstream; it stops when dropped.
pub struct Shelf {
    pub upstream: Scripted,
    pub shared: Arc<Shared>,
}

/// Counts a call until its answer is there or given up.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn who(headers: &HeaderMap, query: &str) -> String {
    let mut who = String::new();
    for name in ["authorization", "x-api-key", "cookie", "comfy-user"] {
        for value in headers.get_all(name) {
            who.push_str(&format!("{name}={};", value.to_str().expect("text")));
        }
    }
    for parameter in query.split('&').filter(|parameter| parameter.starts_with("token=")) {
        who.push_str(parameter);
    }
    who
}

impl Shelf {
    pub async fn start(items: impl IntoIterator<Item = Item>) -> Self {
        let shared = Arc::new(Shared {
            items: Mutex::new(items.into_iter().collect()),
            ..Shared::default()
        });
        let answering = Arc::clone(&shared);
        let upstream = Scripted::start(move |request| {
            answering.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(Arc::clone(&answering));
            let answer: Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> = Box::pin(answer(open, request));
            answer
        })
        .await;
        Self { upstream, shared }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// How many lists and details were asked for since the last time.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.shared.lists.swap(0, Ordering::SeqCst),
            self.shared.details.swap(0, Ordering::SeqCst),
        )
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Vec<Item>) -> T) -> T {
        change(&mut self.shared.items.lock().expect("items"))
    }

    /// From now on `answer` has the first word on every path.
    pub fn instead(&self, answer: impl Fn(&str) -> Option<Response<TestBody>> + Send + Sync + 'static) {
        *self.shared.instead.lock().expect("instead") = Some(Arc::new(answer));
    }

    /// Details and writes wait until permits are added to what this gives.
    pub fn hold_details(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.shared.gate.lock().expect("gate") = Some(Arc::clone(&gate));
        gate
    }
}

async fn answer(open: Open, request: Request<Incoming>) -> Response<TestBody> {
    let shared = &open.0;
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = shared.headers.lock().expect("headers").clone();
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    if path == "/api/jobs" && query.contains("sort_by=create_time") {
        return reply(400, &headers, r#"{"error": "bad sort_by"}"#);
    }
    if path == "/api/jobs" {
        shared.lists.fetch_add(1, Ordering::SeqCst);
    } else if path.starts_with("/api/jobs/") {
        shared.details.fetch_add(1, Ordering::SeqCst);
    }
    if path.starts_with("/api/jobs/") || request.method() == Method::POST {
        let gate = shared.gate.lock().expect("gate").clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("a permit").forget();
        }
    }
    let instead = shared.instead.lock().expect("instead").clone();
    if let Some(response) = instead.and_then(|instead| instead(&path)) {
        return response;
    }
    let items = shared.items.lock().expect("items").clone();
    match path.strip_prefix("/api/jobs/") {
        Some(id) => match items.iter().find(|item| item.id == id) {
            Some(item) => {
                let padding = "x".repeat(item.size);
                let who = who(request.headers(), &query);
                let body = format!(
                    r#"{}, "workflow": {{"prompt": {{"who": "{who}", "padding": "{padding}"}}, "extra_data": {{}}}}, "outputs": {{"9": {{"images": []}}}}, "outputs_count": 1}}"#,
                    item.listed()
                );
                reply(200, &headers, body)
            }
            None => reply(404, &headers, r#"{"error": "Job not found"}"#),
        },
        None if path == "/api/jobs" => reply(200, &headers, list(&items, &query)),
        None => reply(404, &headers, "404: Not Found"),
    }
}

/// The list as a self-hosted server gives it: newest created first.
fn list(items: &[Item], query: &str) -> String {
    let value = |name: &str| {
        let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        parameters.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let wanted = value("status").map(|words| words.replace("%2C", ","));
    let mut meant: Vec<&Item> = items
        .iter()
        .filter(|item| {
            wanted
                .as_ref()
                .is_none_or(|words| words.split(',').any(|word| word == item.status))
        })
        .collect();
    meant.sort_by_key(|item| std::cmp::Reverse(item.created));
    let number = |name| value(name).map(|number| number.parse::<usize>().expect("a number"));
    let offset = number("offset").unwrap_or(0).min(meant.len());
    let limit = number("limit").unwrap_or(usize::MAX).min(meant.len() - offset);
    let page: Vec<String> = meant[offset..offset + limit]
        .iter()
        .map(|item| item.listed() + "}")
        .collect();
    format!(
        r#"{{"jobs": [{}], "pagination": {{"offset": {offset}, "limit": null, "total": {}, "has_more": {}}}}}"#,
        page.join(", "),
        meant.len(),
        offset + limit < meant.len()
    )
}
