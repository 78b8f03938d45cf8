//! Jobs, outputs, assets and errors as they are written.

use super::{
    assets::Asset,
    job::{Event, Job, Output, Progress},
    options::{Call, Options, Variant},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A JPEG of one grey pixel, in base64: what every preview shows.
const PREVIEW: &str = "/9j/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQH/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z";

/// How long a signed URL works.
const URL_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Makes the signed URL of an asset that works until a time in µs.
pub(super) type Sign<'a> = dyn Fn(&str, i64) -> String + 'a;

/// What an answer is written by besides the job or asset itself.
pub(super) struct Writer<'a> {
    pub options: &'a Options,
    /// Scheme, authority and prefix that the client used.
    pub base: &'a str,
    /// In µs.
    pub now: i64,
    /// Makes the signed URL of an asset, where content has one.
    pub signed: Option<&'a Sign<'a>>,
}

/// A time in µs as RFC 3339.
pub(super) fn time(micros: i64) -> Value {
    let time = jiff::Timestamp::from_microsecond(micros);
    time.map_or(Value::Null, |time| {
        Value::from(time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string())
    })
}

/// `duration` after a time in µs.
pub(super) fn after(micros: i64, duration: Duration) -> i64 {
    micros.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

/// JSON as Python writes it: ASCII alone.
pub(super) fn ascii(value: &Value) -> String {
    let text = value.to_string();
    if text.is_ascii() {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    for letter in text.chars() {
        match letter.is_ascii() {
            true => escaped.push(letter),
            false => {
                let mut units = [0; 2];
                let units = letter.encode_utf16(&mut units).iter();
                escaped.extend(units.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    escaped
}

/// The one shape of errors.
pub(super) fn error(code: &str, message: &str, details: Value) -> Value {
    json!({"error": {"code": code, "message": message, "details": details}})
}

/// The code that goes with a status where nothing else says which.
pub(super) fn code_of(status: u16, call: Call) -> &'static str {
    match status {
        400 => "invalid_request",
        401 => "unauthorized",
        402 => "insufficient_credits",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        413 => "payload_too_large",
        422 => "invalid_workflow",
        429 if call == Call::Submit => "queue_full",
        429 if call == Call::Events => "too_many_streams",
        429 => "rate_limited",
        501 => "not_implemented",
        503 => "upstream_unreachable",
        _ => "upstream_error",
    }
}

impl Writer<'_> {
    fn known(&self, time_of: Option<i64>) -> Value {
        match self.options.variant {
            Variant::Deployment => time_of.map_or(Value::Null, time),
            Variant::ApiProxy => Value::Null,
        }
    }

    pub(super) fn job(&self, job: &Job, queue_position: Option<usize>) -> Value {
        let told = self.options.variant == Variant::Deployment;
        let error = job.failure.as_ref().map(|failure| {
            let place = format!("  File \"nodes.py\", line 1, in {}\n", failure.class);
            let trace = format!(
                "Traceback (most recent call last):\n{place}RuntimeError: {}",
                failure.message
            );
            json!({
                "code": "node_execution_error", "message": failure.message, "node_id": failure.node,
                "class_type": failure.class, "traceback": told.then_some(trace),
            })
        });
        let own = format!("{}/api/v2/jobs/{}", self.base, job.id);
        let outputs: Vec<Value> = job.outputs.iter().map(|output| self.output(job, output)).collect();
        // Of the recorded server nobody learns outside of the event stream how far a job is.
        let progress = job.progress.as_ref().map(|progress| match told {
            true => progress_of(progress),
            false => progress_of(&Progress::default()),
        });
        let shows_outputs = told || job.status.is_final();
        json!({
            "id": job.id, "status": job.status.word(),
            "created_at": time(job.created),
            "started_at": self.known(job.started),
            "completed_at": self.known(job.completed),
            "expires_at": time(after(job.created, self.options.retention)),
            "queue_position": queue_position,
            "progress": progress,
            "outputs": if shows_outputs { outputs } else { Vec::new() },
            "error": error,
            "outputs_reused": false,
            "urls": {"self": own, "events": format!("{own}/events"), "cancel": format!("{own}/cancel")},
        })
    }

    fn size(&self, output: &Output) -> usize {
        match self.options.variant {
            Variant::Deployment => output.made.bytes.len(),
            Variant::ApiProxy => 0,
        }
    }

    /// Where the content of an asset is, and until when.
    pub(super) fn url(&self, id: &str) -> (String, Value) {
        let lifetime = match self.signed {
            Some(_) => URL_LIFETIME,
            None => self.options.retention,
        };
        let until = after(self.now, lifetime);
        let url = match self.signed {
            Some(signed) => signed(id, until),
            None => format!("{}/api/v2/assets/{id}/content", self.base),
        };
        (url, time(until))
    }

    fn output(&self, job: &Job, output: &Output) -> Value {
        let (url, until) = self.url(&output.id);
        json!({
            "node_id": output.made.node, "name": output.made.name, "type": output.made.kind,
            "content_type": output.made.content_type, "size_bytes": self.size(output), "id": output.id,
            "hash": Value::Null, "url": url, "url_expires_at": until, "job_id": job.id,
        })
    }

    /// An output, asked for as an asset.
    pub(super) fn output_asset(&self, job: &Job, output: &Output) -> Value {
        let (url, until) = self.url(&output.id);
        json!({
            "id": output.id, "hash": Value::Null, "size_bytes": self.size(output),
            "content_type": output.made.content_type, "file_path": output.made.name,
            "created_at": time(job.completed.unwrap_or(job.created)), "url": url, "url_expires_at": until,
            "job_id": job.id,
        })
    }

    /// An upload; where it was just made or found, whether it is new.
    pub(super) fn asset(&self, asset: &Asset, created_new: Option<bool>) -> Value {
        let (url, until) = self.url(&asset.id);
        let mut told = json!({
            "id": asset.id, "hash": asset.hash, "size_bytes": asset.bytes.len(), "content_type": asset.content_type,
            "file_path": asset.file_path, "created_at": time(asset.created), "url": url, "url_expires_at": until,
        });
        if let (Some(members), Some(new)) = (told.as_object_mut(), created_new) {
            members.insert("created_new".to_owned(), json!(new));
        }
        told
    }

    /// An event of a stream; `None` where it tells of an output that is no more.
    pub(super) fn event(&self, job: &Job, event: &Event, queue_position: Option<usize>) -> Option<String> {
        let (kind, data) = match event {
            Event::Status(status) => {
                let mut data = json!({"status": status.word()});
                if let (Some(members), Some(place)) = (data.as_object_mut(), queue_position) {
                    members.insert("queue_position".to_owned(), json!(place));
                }
                ("status", data)
            }
            Event::Progress(progress) => ("progress", progress_of(progress)),
            Event::Preview(node) => {
                let data = json!({"node_id": node, "content_type": "image/jpeg", "data_base64": PREVIEW});
                ("preview", data)
            }
            Event::Output(place) => ("output", self.output(job, job.outputs.get(*place)?)),
        };
        Some(format!("event: {kind}\ndata: {}\n\n", ascii(&data)))
    }
}

fn progress_of(progress: &Progress) -> Value {
    let mut told = json!({"value": progress.value, "nodes_done": progress.done, "nodes_total": progress.total});
    // Before the first node nothing is said of nodes, not even null.
    if progress.total > 0
        && let Some(members) = told.as_object_mut()
    {
        let (node, step, steps) = progress.node.clone().map_or(Default::default(), |(node, step, steps)| {
            (Some(node), Some(step), Some(steps))
        });
        members.insert("current_node".to_owned(), json!(node));
        members.insert("step".to_owned(), json!(step));
        members.insert("steps".to_owned(), json!(steps));
    }
    told
}
