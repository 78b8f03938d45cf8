//! A method and a path: an id is one segment, whole, and comes back the same when it is written as one.
#![no_main]

use http::Method;
use jobshim::route::{LegacyRoute, LegacyWrite, Way, route};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

fuzz_target!(|text: &str| {
    let (method, path) = text.split_once(' ').unwrap_or(("GET", text));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    let way = route(&method, path);
    let id = match &way {
        Way::Legacy(LegacyRoute::HistoryOne(id) | LegacyRoute::HistoryV2One(id) | LegacyRoute::JobStatus(id))
        | Way::Write(LegacyWrite::JobCancel(id)) => id,
        Way::WrongMethod(wrong) => {
            let allow = wrong.allow.unwrap_or_default();
            assert!(allow.split(", ").all(|allowed| allowed != method.as_str()), "{allow}");
            return;
        }
        _ => return,
    };
    assert!(!id.is_empty());
    let segment = path
        .split('/')
        .rev()
        .find(|part| !matches!(*part, "status" | "cancel") || *part == &**id);
    let written = utf8_percent_encode(id, NON_ALPHANUMERIC).to_string();
    let again = segment.map(|segment| {
        let at = path.rfind(segment).unwrap_or_default();
        format!("{}{written}{}", &path[..at], &path[at + segment.len()..])
    });
    assert_eq!(again.map(|again| route(&method, &again)), Some(way));
});
