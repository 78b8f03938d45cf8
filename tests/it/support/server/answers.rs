//! What a simulated server answers: the Jobs API, files, the WebSocket and the legacy writes.

use super::{EPOCH, Setup, State};
use crate::support::upstream::{Arrived, TestBody, reply};
use bytes::Bytes;
use http::Response;
use jobshim::demo::{Job, Rules};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

fn json_reply(status: u16, body: impl Into<Bytes>) -> Response<TestBody> {
    reply(status, &[("content-type", "application/json")], body)
}

fn text_reply(status: u16, reason: &str) -> Response<TestBody> {
    reply(
        status,
        &[("content-type", "text/plain; charset=utf-8")],
        format!("{status}: {reason}"),
    )
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl State {
    pub(super) fn is_cloud(&self) -> bool {
        self.board.rules == Rules::Cloud
    }

    pub(super) fn answer(&mut self, setup: &Setup, arrived: &Arrived) -> Response<TestBody> {
        let (sent, query, body) = (arrived.path(), arrived.query(), &arrived.body);
        let header = |name: &str| arrived.headers.get(name).and_then(|value| value.to_str().ok());
        let parameter = |name: &str| {
            let found = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(decode)
        };
        let path = match (sent.strip_prefix("/api"), self.is_cloud()) {
            (Some(below), _) => below,
            (None, false) => sent,
            (None, true) if sent == "/ws" => sent,
            (None, true) => return text_reply(404, "Not Found"),
        };
        let key = match path {
            "/ws" => parameter("token"),
            _ => header("x-api-key").map(str::to_owned),
        };
        let known = key.as_deref().is_some_and(|key| setup.keys.contains(&key));
        if !setup.keys.is_empty() && !known {
            return json_reply(401, r#"{"code": "UNAUTHORIZED", "message": "invalid API key"}"#);
        }
        let key = key.filter(|_| known);
        let id = path
            .strip_prefix("/jobs/")
            .map(|rest| decode(rest.trim_end_matches("/cancel")));
        if id.is_some_and(|id| self.is_foreign(&id, key.as_ref())) {
            return json_reply(403, r#"{"code": "FORBIDDEN", "message": "the job is another user's"}"#);
        }
        let method = match arrived.method.as_str() {
            "HEAD" => "GET",
            method => method,
        };
        let (status, answer) = match (method, path) {
            ("GET", "/jobs") if sent == "/api/jobs" => self.list(setup, query, key.as_ref()),
            ("POST", path) if path.starts_with("/jobs/") && path.ends_with("cancel") => match setup.no_cancel {
                Some(404) => return text_reply(404, "Not Found"),
                Some(405) => return text_reply(405, "Method Not Allowed"),
                Some(status) => return json_reply(status, r#"{"error": "not here"}"#),
                None => self.cancel(path, body),
            },
            ("GET", path) if path.starts_with("/jobs/") => {
                self.board.detail(&decode(path.trim_start_matches("/jobs/")))
            }
            ("GET", "/object_info") => (200, self.all_classes()),
            ("GET", path) if path.starts_with("/object_info/") => {
                self.board.class(path.trim_start_matches("/object_info/"))
            }
            ("GET", "/prompt") => (
                200,
                json!({"exec_info": {"queue_remaining": self.queued(key.as_ref())}}).to_string(),
            ),
            ("POST", "/prompt") => self.submit(setup, body, key),
            ("POST", "/upload/image") => self.upload(body),
            ("GET", "/view") => {
                let part = |name| parameter(name).unwrap_or_default();
                let name = format!(
                    "{}/{}",
                    parameter("type").unwrap_or("output".to_owned()),
                    part("filename")
                );
                return match (self.files.get(&name), &setup.storage) {
                    (None, _) => text_reply(404, "Not Found"),
                    (_, Some(storage)) => {
                        let location = format!("{storage}/bucket/{name}?X-Signature=a%2Fb%3D&X-Expires=60");
                        reply(302, &[("location", &location), ("cache-control", "private")], "")
                    }
                    (Some(file), None) => reply(200, &[("content-type", "image/png")], file.clone()),
                };
            }
            ("GET", "/ws") => {
                let nonce = header("sec-websocket-key").unwrap_or_default();
                let client = parameter("clientId").unwrap_or_default();
                let queued = self.queued(key.as_ref());
                return self.sockets.open(nonce, client, key, queued, arrived.upgrade.clone());
            }
            ("POST", "/queue" | "/interrupt" | "/history") if setup.legacy_writes => {
                let order: Option<Value> = serde_json::from_slice(body).ok();
                return self.legacy(path, order);
            }
            _ => return text_reply(404, "Not Found"),
        };
        match answer.is_empty() {
            true if status == 500 => text_reply(500, "Internal Server Error"),
            true => text_reply(status, "Method Not Allowed"),
            false => json_reply(status, answer),
        }
    }

    fn is_foreign(&self, id: &str, key: Option<&String>) -> bool {
        let owner = self.owners.get(id);
        owner.is_some() && owner != key
    }

    /// The jobs of one key, in pages as large as the server has them.
    fn list(&self, setup: &Setup, query: &str, key: Option<&String>) -> (u16, String) {
        let mut own = self.board.clone();
        own.jobs.retain(|job| !self.is_foreign(&job.id, key));
        let Some(page) = setup.page else {
            return own.list(query);
        };
        let mut limit = page;
        let mut parameters: Vec<String> = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.strip_prefix("limit=").map(str::parse::<usize>) {
                Some(Ok(wanted)) => limit = wanted.min(page),
                _ => parameters.push(parameter.to_owned()),
            }
        }
        parameters.push(format!("limit={limit}"));
        own.list(&parameters.join("&"))
    }

    fn all_classes(&self) -> String {
        let classes = self.board.classes.iter();
        let classes: Vec<String> = classes.map(|(name, class)| format!("\"{name}\": {class}")).collect();
        format!("{{{}}}", classes.join(", "))
    }

    fn upload(&mut self, body: &Bytes) -> (u16, String) {
        let text = String::from_utf8_lossy(body);
        let name = text.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next());
        let (start, end) = (
            find(body, b"\r\n\r\n"),
            body.windows(4).rposition(|part| part == b"\r\n--"),
        );
        let (Some(name), Some(start), Some(end)) = (name, start, end) else {
            return (400, r#"{"error": "no file"}"#.to_owned());
        };
        self.files.insert(format!("input/{name}"), body.slice(start + 4..end));
        (200, json!({"name": name, "subfolder": "", "type": "input"}).to_string())
    }

    fn cancel(&mut self, path: &str, body: &Bytes) -> (u16, String) {
        let now = self.now();
        let running = self.board.in_state("in_progress");
        let answer = match path
            .strip_prefix("/jobs/")
            .and_then(|rest| rest.strip_suffix("/cancel"))
        {
            Some(id) => self.board.cancel(&decode(id), now),
            None => self.board.cancel_many(body, now),
        };
        for id in running {
            if !self.board.in_state("in_progress").contains(&id) {
                self.tell(&id, "execution_interrupted", &json!({"prompt_id": id}));
            }
        }
        self.put_stopped();
        answer
    }

    /// What a stopped job is from now on.
    fn put_stopped(&mut self) {
        for id in self.board.in_state("cancelled") {
            if let Some(job) = self.stopped.remove(&id) {
                self.board.replace(job);
            }
        }
    }

    /// The legacy writes as ComfyUI does them.
    fn legacy(&mut self, path: &str, order: Option<Value>) -> Response<TestBody> {
        let Some(order) = order.or((path == "/interrupt").then(|| json!({}))) else {
            return text_reply(500, "Internal Server Error");
        };
        let all = order["clear"] == json!(true);
        let named: Vec<String> = serde_json::from_value(order["delete"].clone()).unwrap_or_default();
        let meant = |id: &String| all || named.contains(id);
        match path {
            "/queue" => {
                let gone: Vec<String> = self.board.in_state("pending").into_iter().filter(meant).collect();
                gone.iter().for_each(|id| self.board.dequeue(id));
            }
            "/history" => {
                let mut gone = Vec::new();
                for status in ["completed", "failed", "cancelled"] {
                    gone.extend(self.board.in_state(status).into_iter().filter(meant));
                }
                let queued = ["pending", "in_progress"];
                let ended = |job: &Job| !queued.iter().any(|word| job.entry.contains(&format!("\"{word}\"")));
                self.board.jobs.retain(|job| !gone.contains(&job.id) || !ended(job));
            }
            _ => {
                let only = order["prompt_id"].as_str();
                for id in self.board.in_state("in_progress") {
                    if only.is_none_or(|only| only == id) {
                        let stopped = self.stopped.remove(&id);
                        let stopped = stopped.or_else(|| {
                            let job = self.board.jobs.iter().find(|job| job.id == id)?;
                            let failed = |text: &str| text.replace("in_progress", "failed");
                            Job::new(&failed(&job.entry), &failed(&job.detail))
                        });
                        self.board.replace(stopped.expect("a stopped job"));
                    }
                }
            }
        }
        reply(200, &[], "")
    }

    /// How many jobs of one key have not ended.
    fn queued(&self, key: Option<&String>) -> usize {
        let queued = ["pending", "in_progress"]
            .map(|word| self.board.in_state(word))
            .concat();
        queued.iter().filter(|id| !self.is_foreign(id, key)).count()
    }

    pub(super) fn now(&mut self) -> i64 {
        self.count += 1;
        EPOCH + self.count
    }
}

/// Where `part` begins in `body`.
fn find(body: &[u8], part: &[u8]) -> Option<usize> {
    body.windows(part.len()).position(|window| window == part)
}
