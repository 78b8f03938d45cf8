//! An upstream with as many jobs as a test wants, each as large as it wants, that counts what it is asked. Whoever asks
//! sees itself in the answer.

use super::{
    seeded::Seeded,
    upstream::{Arrived, Scripted, TestBody, reply},
};
use http::{HeaderMap, Response};

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
    /// How much of it cannot be compressed by much, in bytes.
    pub noise: usize,
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
            noise: 0,
        }
    }

    /// The same, and so many bytes of its prompt cannot be compressed by more than a quarter.
    pub fn with_noise(self, noise: usize) -> Self {
        Self { noise, ..self }
    }

    fn padding(&self) -> String {
        let mut seeded = Seeded(self.created as u64);
        let letter = || seeded.one_of(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
        let noise: Vec<u8> = std::iter::repeat_with(letter).take(self.noise).collect();
        String::from_utf8(noise).expect("ASCII") + &"x".repeat(self.size - self.noise)
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

/// What the server has.
pub struct Shelf {
    pub items: Vec<Item>,
    /// Added to every answer.
    pub headers: Vec<(String, String)>,
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

/// The question by which jobshim finds the dialect out; it counts as no list.
fn is_probe(arrived: &Arrived) -> bool {
    arrived.path() == "/api/jobs" && arrived.query().contains("sort_by=create_time")
}

/// Whether it asks for a page of the list.
pub fn is_list(arrived: &Arrived) -> bool {
    arrived.path() == "/api/jobs" && !is_probe(arrived)
}

impl Shelf {
    pub async fn start(items: impl IntoIterator<Item = Item>) -> Scripted<Self> {
        let shelf = Self {
            items: items.into_iter().collect(),
            headers: Vec::new(),
        };
        Scripted::with_state(shelf, |shelf, arrived| shelf.answer(arrived)).await
    }

    fn answer(&self, arrived: &Arrived) -> Response<TestBody> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<(&str, &str)> = headers.collect();
        if is_probe(arrived) {
            return reply(400, &headers, r#"{"error": "bad sort_by"}"#);
        }
        let Some(id) = arrived.of_job() else {
            return match is_list(arrived) {
                true => reply(200, &headers, list(&self.items, arrived.query())),
                false => reply(404, &headers, "404: Not Found"),
            };
        };
        let Some(item) = self.items.iter().find(|item| item.id == id) else {
            return reply(404, &headers, r#"{"error": "Job not found"}"#);
        };
        let padding = item.padding();
        let who = who(&arrived.headers, arrived.query());
        let body = format!(
            r#"{}, "workflow": {{"prompt": {{"who": "{who}", "padding": "{padding}"}}, "extra_data": {{}}}}, "outputs": {{"9": {{"images": []}}}}, "outputs_count": 1}}"#,
            item.listed()
        );
        reply(200, &headers, body)
    }
}

impl Scripted<Shelf> {
    /// How many lists and details were asked for since the last time.
    pub fn counts(&self) -> (usize, usize) {
        let arrived = self.take();
        let count = |is_meant: fn(&Arrived) -> bool| arrived.iter().filter(|one| is_meant(one)).count();
        (count(is_list), count(|one| one.of_job().is_some()))
    }

    /// How many details were asked for since [`counts`](Self::counts) was last called.
    pub fn details(&self) -> usize {
        self.count(|one| one.of_job().is_some())
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
