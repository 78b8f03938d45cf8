//! A request to the simulated server, and its answer.

use super::{
    assets::{Ranged, range},
    events::{self, NotOpened},
    job::Status,
    options::{Call, Fault, Variant},
    shared::{Shared, now},
    submit::Refusal,
    wire::{Writer, ascii, code_of, error},
};
use crate::demo::{Seen, listening::Body};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName},
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{future, io, sync::Arc};

/// The most jobs of a list, and how many it has where nothing is said.
const MAX_LISTED: usize = 100;
const LISTED: usize = 50;

/// What is sent with a body besides the file of an upload.
const OVERHEAD: usize = 1 << 20;

/// How much of what is too much is read before the connection ends.
const MAX_DISCARDED: usize = 1 << 30;

fn whole(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn with(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

fn json(status: u16, value: &Value) -> Response<Body> {
    with(
        whole(status, ascii(value)),
        "content-type",
        "application/json; charset=utf-8",
    )
}

fn refusal(refusal: &Refusal) -> Response<Body> {
    let response = json(
        refusal.status,
        &error(refusal.code, &refusal.message, refusal.details.clone()),
    );
    match (refusal.status, refusal.code) {
        (429, "too_many_streams") => with(response, "retry-after", "5"),
        (429 | 503, _) => with(response, "retry-after", "1"),
        (401, _) => with(response, "www-authenticate", "Bearer"),
        _ => response,
    }
}

fn refuse(status: u16, code: &'static str, message: impl Into<String>) -> Response<Body> {
    refusal(&Refusal::new(status, code, message))
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn seen(head: &Parts, body: &Bytes) -> Seen {
    Seen {
        method: head.method.clone(),
        target: head.uri.to_string(),
        headers: head.headers.clone(),
        body: body.clone(),
    }
}

/// A whole body; `None` where it has more than `max` bytes. The rest of such a one is read all the same, and not kept: a client
/// that still writes would not see its answer. Of a client that goes away nothing has arrived.
async fn read(mut body: Incoming, max: usize) -> io::Result<Option<Bytes>> {
    let (mut kept, mut length) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length <= max {
            kept.extend_from_slice(&data);
        } else if length > max.saturating_add(MAX_DISCARDED) {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    Ok((length <= max).then(|| kept.freeze()))
}

/// Answers a request; an error ends the connection instead.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let (call, id) = shared.route(&head);
    let body = read(body, shared.options.max_upload.saturating_add(OVERHEAD)).await?;
    shared.note(call, seen(&head, body.as_ref().unwrap_or(&Bytes::new())));
    let Some(body) = body else {
        return Ok(refuse(413, "payload_too_large", "The upload is too large."));
    };
    let fault = shared.fault(call);
    match fault {
        Some(Fault::Status(status)) => return Ok(refuse(status, code_of(status, call), "As it was told to.")),
        Some(Fault::Code(status, code)) => return Ok(refuse(status, code, "As it was told to.")),
        Some(fault @ (Fault::Expired | Fault::Word(_))) if call != Call::Events => {
            return Ok(shared.mistaken(&head, &id, fault));
        }
        Some(Fault::Expired | Fault::Word(_) | Fault::Short | Fault::Lost | Fault::Silent) | None => {}
    }
    shared.tick();
    let response = shared.respond(&head, &body, call, &id, fault);
    match fault {
        Some(Fault::Lost) => Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Silent) => future::pending().await,
        _ => Ok(response),
    }
}

fn no_job(id: &str) -> Response<Body> {
    refuse(404, "not_found", format!("No job {id}."))
}

/// Answers a request to a signed URL.
pub(super) async fn answer_signed(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, _) = request.into_parts();
    shared.note(Call::Signed, seen(&head, &Bytes::new()));
    if let Some(Fault::Status(status) | Fault::Code(status, _)) = shared.fault(Call::Signed) {
        return Ok(whole(status, "As it was told to."));
    }
    Ok(shared.signed(&head))
}

impl Shared {
    /// What a request is about, and the id that it names.
    fn route(&self, head: &Parts) -> (Call, String) {
        let other = (Call::Other, String::new());
        let path = head.uri.path();
        let own = path.strip_prefix(&self.options.prefix);
        let Some(own) = own.and_then(|own| own.strip_prefix("/api/v2/")) else {
            return other;
        };
        let own: Vec<&str> = own.split('/').collect();
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let (call, id) = match (own.as_slice(), reads, head.method == Method::POST) {
            (["jobs"], true, _) => (Call::List, ""),
            (["jobs"], _, true) => (Call::Submit, ""),
            (["jobs", id], true, _) => (Call::Job, *id),
            (["jobs", id, "workflow"], true, _) => (Call::Workflow, *id),
            (["jobs", id, "events"], true, _) => (Call::Events, *id),
            (["jobs", id, "cancel"], _, true) => (Call::Cancel, *id),
            (["assets"], _, true) => (Call::Upload, ""),
            (["assets", id], true, _) => (Call::Asset, *id),
            (["assets", id, "content"], true, _) => (Call::Content, *id),
            (["health"], true, _) => (Call::Health, ""),
            _ => return other,
        };
        (call, percent_decode_str(id).decode_utf8_lossy().into_owned())
    }

    /// Whose request it is; `None` where the key is missing or wrong.
    fn owner(&self, headers: &HeaderMap) -> Option<String> {
        if self.options.keys.is_empty() {
            return Some(String::new());
        }
        let (scheme, key) = header(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("bearer") && self.options.keys.iter().any(|known| known == key);
        known.then(|| key.to_owned())
    }

    fn respond(
        self: &Arc<Self>,
        head: &Parts,
        body: &Bytes,
        call: Call,
        id: &str,
        fault: Option<Fault>,
    ) -> Response<Body> {
        let is_proxy = self.options.variant == Variant::ApiProxy;
        match call {
            Call::Health if is_proxy => {
                return json(200, &json!({"status": "healthy", "upstream": "http://127.0.0.1:8188"}));
            }
            Call::List if self.options.list => {}
            Call::Other | Call::Health | Call::Signed | Call::List => {
                return refuse(404, "not_found", "There is no such endpoint.");
            }
            _ => {}
        }
        let Some(owner) = self.owner(&head.headers) else {
            return refuse(401, "unauthorized", "Missing or invalid key.");
        };
        let host = header(&head.headers, HOST.as_str()).unwrap_or("localhost");
        let base = format!("http://{host}{}", self.options.prefix);
        if call == Call::Events {
            return self.events(&owner, id, &base, fault);
        }
        self.with_writer(&base, |writer| match call {
            Call::Submit => self.submit(head, body, &owner, writer),
            Call::List => self.list(head, &owner, writer),
            Call::Upload => self.upload(head, body, &owner, writer),
            Call::Asset | Call::Content => self.asset(head, &owner, id, writer, call),
            _ => self.job(&owner, id, writer, call),
        })
    }

    fn submit(&self, head: &Parts, body: &Bytes, owner: &str, writer: &Writer<'_>) -> Response<Body> {
        let key = head.headers.get("idempotency-key");
        let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()));
        let mut state = self.state.lock();
        let submitted = state.submit(&self.options, owner, key.as_deref(), body, now());
        let id = match submitted {
            Ok(id) => id,
            Err(why) => return refusal(&why),
        };
        let job = state.jobs.get(owner, &id);
        // The recorded server does not look at its queue before it answers.
        let place = state.jobs.queue_position(&id);
        let place = place.filter(|_| self.options.variant == Variant::Deployment);
        let told = job.map(|job| writer.job(job, place)).unwrap_or_default();
        drop(state);
        self.tell();
        json(201, &told)
    }

    fn list(&self, head: &Parts, owner: &str, writer: &Writer<'_>) -> Response<Body> {
        let query = head.uri.query().unwrap_or_default();
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
            values
                .next()
                .map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let limit = match parameter("limit").map(|limit| limit.parse::<usize>()) {
            None => LISTED,
            Some(Ok(limit)) if (1..=MAX_LISTED).contains(&limit) => limit,
            Some(_) => {
                let reason = format!("'limit' must be between 1 and {MAX_LISTED}.");
                return refuse(400, "invalid_request", reason);
            }
        };
        let wanted = parameter("status").unwrap_or_default();
        let wanted: Vec<&str> = wanted
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let known = |word: &&str| Status::ALL.iter().any(|status| status.word() == *word);
        if let Some(unknown) = wanted.iter().find(|word| !known(word)) {
            let reason = format!("Unknown status filter value(s): {unknown}.");
            return refuse(400, "invalid_request", reason);
        }
        let state = self.state.lock();
        let is_wanted = |status: Status| wanted.is_empty() || wanted.contains(&status.word());
        let jobs = state.jobs.of_owner(owner).filter(|job| is_wanted(job.status));
        let jobs: Vec<Value> = jobs
            .take(limit)
            .map(|job| writer.job(job, state.jobs.queue_position(&job.id)))
            .collect();
        // It says whether it stopped looking, not whether there are more.
        json(200, &json!({"jobs": jobs, "truncated": false}))
    }

    fn job(&self, owner: &str, id: &str, writer: &Writer<'_>, call: Call) -> Response<Body> {
        let unknown = || no_job(id);
        let mut state = self.state.lock();
        let Some(job) = state.jobs.get(owner, id) else {
            return unknown();
        };
        if call == Call::Workflow {
            let workflow = format!(r#"{{"workflow": {}, "format": "api"}}"#, job.workflow);
            return with(whole(200, workflow), "content-type", "application/json; charset=utf-8");
        }
        if call == Call::Cancel {
            if let Some(job) = state.jobs.get_mut(id) {
                job.cancel(now());
            }
            self.tell();
        }
        let place = state.jobs.queue_position(id);
        let told = state.jobs.get(owner, id).map(|job| writer.job(job, place));
        told.map_or_else(unknown, |job| json(200, &job))
    }

    /// A job as `fault` has it.
    fn mistaken(&self, head: &Parts, id: &str, fault: Fault) -> Response<Body> {
        let owner = self.owner(&head.headers).unwrap_or_default();
        let Some(mut job) = self.state.lock().jobs.get(&owner, id).cloned() else {
            return no_job(id);
        };
        if fault == Fault::Expired {
            job.expire(now());
        }
        let mut told = self.with_writer("", |writer| writer.job(&job, None));
        if let (Fault::Word(word), Some(members)) = (fault, told.as_object_mut()) {
            members.insert("status".to_owned(), word.into());
        }
        json(200, &told)
    }

    fn events(self: &Arc<Self>, owner: &str, id: &str, base: &str, fault: Option<Fault>) -> Response<Body> {
        if !self.options.events {
            return refuse(501, "not_implemented", "There are no event streams here; poll the job.");
        }
        let body = match events::open(self, owner, id, base, fault) {
            Ok(body) => body,
            Err(NotOpened::Unknown) => return no_job(id),
            Err(NotOpened::TooMany) => {
                let reason = "Maximum concurrent event streams reached; poll the job instead.";
                return refuse(429, "too_many_streams", reason);
            }
        };
        let response = with(Response::new(body), "content-type", "text/event-stream");
        with(response, "cache-control", "no-cache")
    }

    fn upload(&self, head: &Parts, body: &Bytes, owner: &str, writer: &Writer<'_>) -> Response<Body> {
        if body.len() > self.options.max_upload {
            return refuse(413, "payload_too_large", "The upload is too large.");
        }
        let content_type = header(&head.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let mut state = self.state.lock();
        let state = &mut *state;
        let taken = state.assets.take(owner, content_type, body, &mut state.jobs.ids, now());
        match taken {
            Ok((asset, new)) => json(if new { 201 } else { 200 }, &writer.asset(asset, Some(new))),
            Err((status, code, message)) => refuse(status, code, message),
        }
    }

    fn asset(&self, head: &Parts, owner: &str, id: &str, writer: &Writer<'_>, call: Call) -> Response<Body> {
        let state = self.state.lock();
        let upload = state.assets.get(owner, id);
        let output = state.jobs.output(owner, id);
        if upload.is_none() && output.is_none() {
            return refuse(404, "not_found", "Unknown asset id.");
        }
        if call == Call::Content && self.options.redirect {
            return with(whole(302, ""), "location", &writer.url(id).0);
        }
        match (upload, output) {
            (Some(asset), _) if call == Call::Content => content(head, &asset.bytes, &asset.content_type),
            (Some(asset), _) => json(200, &writer.asset(asset, None)),
            (None, Some((_, output))) if call == Call::Content => {
                content(head, &output.made.bytes, output.made.content_type)
            }
            (None, Some((job, output))) => json(200, &writer.output_asset(job, output)),
            (None, None) => refuse(404, "not_found", "Unknown asset id."),
        }
    }

    /// Content by a signed URL, from a host that wants no credentials: as object stores do, it refuses them.
    fn signed(&self, head: &Parts) -> Response<Body> {
        let credentials = [AUTHORIZATION.as_str(), COOKIE.as_str(), "x-api-key"];
        if credentials.iter().any(|name| head.headers.contains_key(*name)) {
            return whole(400, "Only one auth mechanism allowed");
        }
        let parameter = |name: &str| {
            let pairs = head.uri.query().unwrap_or_default().split('&');
            pairs
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
        };
        let until = parameter("expires").and_then(|(_, until)| until.parse::<i64>().ok());
        let id = head.uri.path().strip_prefix("/blobs/").unwrap_or_default();
        let allowed = until.is_some_and(|until| {
            let signature = self.signature(id, until);
            until > now() && parameter("signature").is_some_and(|(_, given)| given == signature)
        });
        if !allowed {
            return whole(403, "Request has expired");
        }
        let state = self.state.lock();
        let upload = state.assets.of_any_owner(id);
        match (upload, state.jobs.output_of_any_owner(id)) {
            (Some(asset), _) => content(head, &asset.bytes, &asset.content_type),
            (None, Some(output)) => content(head, &output.made.bytes, output.made.content_type),
            (None, None) => whole(404, "No such key"),
        }
    }
}

fn content(head: &Parts, bytes: &Bytes, content_type: &str) -> Response<Body> {
    let length = bytes.len();
    let response = match range(header(&head.headers, "range"), length) {
        Ranged::Whole => whole(200, bytes.clone()),
        Ranged::Part(from, to) => {
            let shown = format!("bytes {from}-{}/{length}", to.saturating_sub(1));
            with(whole(206, bytes.slice(from..to)), "content-range", &shown)
        }
        Ranged::Outside => with(whole(416, ""), "content-range", &format!("bytes */{length}")),
    };
    with(with(response, "accept-ranges", "bytes"), "content-type", content_type)
}
