//! `GET /view`: the content of the asset that has the name which a client was given.

use crate::{
    http::query::decoded,
    jobs_api::DialectKind,
    mapping::dialect::{FilePlace, V2FileNames},
    proxy::{
        Pipeline,
        answer::Answer,
        failure::{legacy_failure, no_such_file, no_such_thing, passed, refused, wrong_method},
        request::ClientRequest,
    },
    telemetry::Source,
};
use http::{HeaderValue, Method, Request, header::CONTENT_DISPOSITION};
use std::borrow::Cow;

/// What a query asks for.
enum Asked {
    File(FilePlace),
    /// A part of the picture.
    Part,
    /// Nothing that there can be.
    Nothing,
}

impl Pipeline {
    /// The answer to a request for a file by its name.
    pub(in crate::proxy) async fn view(&self, request: ClientRequest<'_>) -> Answer {
        if !matches!(*request.head.method(), Method::GET | Method::HEAD) {
            return wrong_method(request.head.method(), Some("GET, HEAD"));
        }
        let caller = request.caller(self.scope(&request.head));
        let session = self.legacy.jobs().on_behalf_of(&caller, DialectKind::V2);
        let ClientRequest { record, head, body, .. } = request;
        let asked = session.file_names().map(|names| asked(names, head.query()));
        let file = match asked {
            Some(Asked::File(file)) => file,
            Some(Asked::Part) => {
                record.source(Source::Jobshim);
                return no_such_thing("one channel of a picture", "ask for all of it, without \"channel\"");
            }
            Some(Asked::Nothing) | None => {
                record.source(Source::Jobshim);
                return no_such_file();
            }
        };
        let target = match session.content_target(&file).await {
            Ok(Some(target)) => target,
            Ok(None) => {
                record.source(Source::Jobshim);
                return no_such_file();
            }
            Err(error) => {
                tracing::warn!(%error, "a file could not be looked for");
                return legacy_failure(error.into(), None);
            }
        };
        let forwarded = match self.passage_at(record, &head, &target) {
            Ok(forwarded) => forwarded,
            Err(error) => return refused(error),
        };
        let mut outcome = forwarded.forward(Request::from_parts(head.into_parts(), body)).await;
        if let Ok(response) = &mut outcome
            && response.status().is_success()
            && let Some(value) = disposition(&file.name)
        {
            response.headers_mut().entry(CONTENT_DISPOSITION).or_insert(value);
        }
        passed(outcome)
    }
}

/// ComfyUI's `Content-Disposition`, where a header can say it.
fn disposition(name: &str) -> Option<HeaderValue> {
    let is_plain = name
        .chars()
        .all(|letter| !letter.is_control() && letter.is_ascii() && !matches!(letter, '"' | '\\'));
    is_plain.then(|| HeaderValue::try_from(format!("filename=\"{name}\"")).ok())?
}

fn asked(names: &V2FileNames, query: &str) -> Asked {
    let parameter = |wanted: &str| {
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .find(|(name, _)| decoded(name) == wanted)
            .map(|(_, value)| decoded(value))
    };
    let [name, folder, place] = &names.query;
    let [channel, whole] = &names.channel;
    if parameter(channel).is_some_and(|channel| channel != whole.as_str()) {
        return Asked::Part;
    }
    let Some(name) = parameter(name) else {
        return Asked::Nothing;
    };
    let (path, annotated) = names.annotated(&name);
    if path.starts_with('/') || path.contains("..") {
        return Asked::Nothing;
    }
    let place = annotated.map(Cow::Borrowed).or_else(|| parameter(place));
    let place = place.as_deref().or(names.places.last().map(String::as_str));
    // As ComfyUI does: folders in the name do not count.
    let (_, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = parameter(folder).unwrap_or_default();
    names.placed(place, &folder, name).map_or(Asked::Nothing, Asked::File)
}
