//! A server with both surfaces, the Jobs API and the legacy endpoints, each of which a test may take away.

use super::{
    Client,
    corpus::Legacy,
    server::board,
    start_with,
    upstream::{Arrived, Scripted, TestBody, reply},
};
use http::{Method, Response};
use jobshim::{
    config::{Options, settings::UPSTREAM},
    demo::{Board, Job, Rules},
};

/// What the server has.
pub struct Surfaces {
    pub board: Board,
    /// What the legacy endpoints answer, by target.
    pub legacy: Vec<Legacy>,
    pub has_jobs_api: bool,
    /// Added to every answer.
    pub headers: Vec<(&'static str, String)>,
    /// In legacy answers this is another text each time.
    pub counting: Option<&'static str>,
    /// What it is in the answer of this number.
    pub counted: fn(usize) -> String,
    /// What the legacy endpoint of a target answers after the next time.
    pub next: Option<(&'static str, String)>,
    answers: usize,
}

impl Surfaces {
    pub async fn start(board: Board, legacy: Vec<Legacy>) -> Scripted<Self> {
        let surfaces = Self {
            board,
            legacy,
            has_jobs_api: true,
            headers: Vec::new(),
            counting: None,
            counted: |nth| format!("[{}, ", 100 + nth),
            next: None,
            answers: 0,
        };
        Scripted::with_state(surfaces, |surfaces, arrived| {
            let mut response = surfaces.answer(arrived);
            surfaces.answers += 1;
            if let Some((target, body)) = surfaces.next.take_if(|(target, _)| *target == arrived.target) {
                let answer = surfaces.legacy.iter_mut().find(|legacy| legacy.target == target);
                answer.expect("a legacy answer").body = body;
            }
            for (name, value) in &surfaces.headers {
                response.headers_mut().append(*name, value.parse().expect("a value"));
            }
            response
        })
        .await
    }

    fn answer(&self, arrived: &Arrived) -> Response<TestBody> {
        let json = |status, body: String| {
            let content_type = match self.board.rules {
                Rules::Cloud => "application/json",
                _ => "application/json; charset=utf-8",
            };
            reply(status, &[("content-type", content_type)], body)
        };
        let (path, query) = (arrived.path(), arrived.query());
        let own = path.strip_prefix("/api").unwrap_or(path);
        if arrived.method == Method::POST {
            return match own {
                "/queue" | "/interrupt" | "/history" | "/prompt" => reply(200, &[], ""),
                "/jobs/cancel" if self.has_jobs_api => json(200, r#"{"cancelled": true}"#.to_owned()),
                _ if own.ends_with("/cancel") && (own.starts_with("/job/") || self.has_jobs_api) => {
                    json(200, r#"{"cancelled": true}"#.to_owned())
                }
                _ => reply(404, &[], "404: Not Found"),
            };
        }
        if self.has_jobs_api {
            let found = match (arrived.of_job(), own.strip_prefix("/object_info/")) {
                (Some(id), _) => Some(self.board.detail(id)),
                (_, Some(class)) => Some(self.board.class(class)),
                _ => (path == "/api/jobs").then(|| self.board.list(query)),
            };
            if let Some((status, body)) = found {
                return json(status, body);
            }
        }
        match self.legacy.iter().find(|legacy| legacy.target == arrived.target) {
            Some(legacy) => {
                let body = match self.counting {
                    Some(text) => legacy.body.replace(text, &(self.counted)(self.answers)),
                    None => legacy.body.clone(),
                };
                reply(legacy.status, &[("content-type", &legacy.content_type)], body)
            }
            None => reply(404, &[], "404: Not Found"),
        }
    }
}

impl Scripted<Surfaces> {
    /// How many requests arrived at the Jobs API, and how many at the legacy endpoints; they are forgotten.
    pub fn counts(&self) -> (usize, usize) {
        let arrived = self.take();
        let jobs = |one: &&Arrived| {
            let asked = ["/api/jobs", "/api/v2/jobs"];
            asked.iter().any(|path| one.target.starts_with(path)) || one.target.contains("/object_info")
        };
        let to_jobs = arrived.iter().filter(jobs).count();
        (to_jobs, arrived.len() - to_jobs)
    }
}

/// A legacy answer of a self-hosted server.
pub fn legacy(target: &str, body: &str) -> Legacy {
    Legacy {
        target: target.to_owned(),
        status: 200,
        content_type: "application/json; charset=utf-8".to_owned(),
        body: body.to_owned(),
    }
}

/// A server with one finished job, whose own history has another number and another secret for it.
pub async fn differing_server() -> Scripted<Surfaces> {
    let mut board = board(Rules::Comfyui);
    let text = r#"{"id": "one", "status": "completed", "create_time": 1700000000000, "priority": 7, "workflow": {"prompt": {}, "extra_data": {"secret": "s3cret"}}}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    let plain = Surfaces::start(board.clone(), Vec::new()).await;
    let translating = start_with(Options::default().with(&UPSTREAM.url.key, plain.url())).await;
    let translated = Client::new().get(translating.address, "/history").await.text();
    let own = translated.replace("[7, ", "[8, ").replace("s3cret", "another secret");
    Surfaces::start(board, vec![legacy("/history", &own)]).await
}
