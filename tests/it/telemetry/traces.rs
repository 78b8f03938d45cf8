//! Traces, as a collector gets them: which spans there are, how they hang together, and what none of them tells.

#![cfg(unix)]

use crate::support::{
    Client,
    program::{Program, run},
    upstream::{Arrived, Scripted, reply},
    wait::until,
};
use http::Method;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

/// A field of a protobuf message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return number;
        }
    }
}

/// The fields of a message with their numbers, in order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => varint(&mut bytes) as usize,
                };
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value)
            }
        };
        found.push((tag >> 3, field));
    }
    found
}

/// The messages in field `number`.
fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    let bytes = |(at, field)| match field {
        Field::Bytes(bytes) if at == number => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(bytes).collect()
}

fn number(message: &[u8], number: u64) -> u64 {
    let value = |(at, field): &(u64, Field)| match field {
        Field::Number(value) if *at == number => Some(*value),
        _ => None,
    };
    fields(message).iter().find_map(value).unwrap_or(0)
}

fn hex(message: &[u8], number: u64) -> String {
    let bytes = all(message, number).concat();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8(all(message, number).concat()).expect("text")
}

/// The attributes in field `at`, as text.
fn attributes(message: &[u8], at: u64) -> BTreeMap<String, String> {
    let attributes = all(message, at).into_iter();
    attributes
        .map(|attribute| {
            let value = all(attribute, 2).concat();
            let shown = match text(&value, 1) {
                words if words.is_empty() => number(&value, 3).to_string(),
                words => words,
            };
            (text(attribute, 1), shown)
        })
        .collect()
}

/// One span, as OTLP has it.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// 2: of a server, 3: of a client.
    kind: u64,
    attributes: BTreeMap<String, String>,
    /// 2: an error.
    status: u64,
    service: String,
}

impl Span {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// What a collector got.
fn spans(arrived: &[Arrived]) -> Vec<Span> {
    let mut spans = Vec::new();
    for one in arrived {
        assert_eq!((&one.method, one.target.as_str()), (&Method::POST, "/v1/traces"));
        assert_eq!(one.headers["content-type"], "application/x-protobuf");
        for resource in all(&one.body, 1) {
            let service = attributes(&all(resource, 1).concat(), 1);
            for span in all(resource, 2).iter().flat_map(|scope| all(scope, 2)) {
                spans.push(Span {
                    trace: hex(span, 1),
                    id: hex(span, 2),
                    parent: hex(span, 4),
                    name: text(span, 5),
                    kind: number(span, 6),
                    attributes: attributes(span, 9),
                    status: number(&all(span, 15).concat(), 3),
                    service: service["service.name"].clone(),
                });
            }
        }
    }
    spans
}

fn begin(upstream: &str, environment: &[(&str, &str)]) -> Program {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        upstream,
        "--dialect",
        "comfyui",
    ];
    Program::start(&arguments, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_below_the_clients_and_its_calls_are_spans_below_it() {
    let (collector, server) = (
        Scripted::always(200, &[], "").await,
        Scripted::always(404, &[], "{}").await,
    );
    let collected = collector.url();
    let mut program = begin(&server.url(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collected)]);
    let at = program.address();
    let client = Client::new();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traced = |flags| format!("00-{trace}-b7ad6b7169203331-{flags}");
    let (sampled, unsampled) = (traced("01"), traced("00"));
    let secrets = [
        ("x-api-key", "s3cret"),
        ("cookie", "a=s3cret"),
        ("user-agent", "s3cret"),
    ];
    let ask = async |target: &str, more: &[(&str, &str)]| {
        client.get_with(at, target, &[&secrets[..], more].concat()).await;
        let arrived = server.arrived().pop().expect("a request");
        let parent = arrived.headers["traceparent"].to_str().expect("text").to_owned();
        (parent, arrived.headers.get("tracestate").cloned())
    };
    let one = [("traceparent", sampled.as_str()), ("tracestate", "a=b")];
    // A name of any other form might be asked for twice.
    let id = "5ec3e700-0000-4000-8000-000000000000";
    let (below_history, state) = ask(&format!("/history/{id}?token=s3cret"), &one).await;
    assert_eq!(state.expect("a trace state"), "a=b");
    let (below_view, _) = ask("/view?filename=s3cret", &[]).await;
    let (below_unsampled, _) = ask("/view?filename=s3cret", &[("traceparent", unsampled.as_str())]).await;
    // Whoever began the trace wants no spans of it, and so do those that come after.
    assert!(
        below_unsampled.starts_with(&format!("00-{trace}-")) && below_unsampled.ends_with("-00"),
        "{below_unsampled}"
    );
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    program.line_with("traces are sent");

    let arrived = collector.all();
    for one in &arrived {
        let body = String::from_utf8_lossy(&one.body);
        assert!(!body.contains("s3cret") && !body.contains(id), "{body}");
    }
    let spans = spans(&arrived);
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span.service == "jobshim"), "{spans:#?}");
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    let (history, detail) = (named("GET /history/{id}"), named("GET detail"));
    assert_eq!(
        (history.trace.as_str(), history.parent.as_str()),
        (trace, "b7ad6b7169203331")
    );
    assert_eq!((history.kind, history.status), (2, 0));
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/history/{id}"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("jobshim.mode", "translate"),
        ("jobshim.source", "jobs_api"),
    ] {
        assert_eq!(history.attribute(name), value, "{name}: {history:#?}");
    }
    assert_eq!((&detail.trace, &detail.parent), (&history.trace, &history.id));
    assert_eq!((detail.kind, detail.status), (3, 2));
    assert_eq!(detail.attribute("http.response.status_code"), "404");
    assert_eq!(detail.attribute("server.port"), server.address.port().to_string());
    assert_eq!(below_history, format!("00-{trace}-{}-01", detail.id));
    let (view, pass) = (named("GET"), named("GET pass"));
    assert_ne!(view.trace, trace, "a trace of its own");
    assert_eq!((view.parent.as_str(), view.attribute("http.route")), ("", ""));
    assert_eq!((&pass.trace, &pass.parent), (&view.trace, &view.id));
    assert_eq!(below_view, format!("00-{}-{}-01", view.trace, pass.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_nothing_is_sent_and_the_clients_trace_passes_as_it_is() {
    let (collector, server) = (
        Scripted::always(200, &[], "").await,
        Scripted::always(404, &[], "{}").await,
    );
    let collected = collector.url();
    let named = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collected.as_str());
    for environment in [
        &[("OTEL_SERVICE_NAME", "x")][..],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
        &[named, ("OTEL_SDK_DISABLED", "true")],
        &[named, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let mut program = begin(&server.url(), environment);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let at = program.address();
        Client::new()
            .get_with(at, "/history/x", &[("traceparent", trace)])
            .await;
        let arrived = server.arrived().pop().expect("a request");
        assert_eq!(arrived.headers["traceparent"], trace, "{environment:?}");
        program.signal("TERM");
        assert_eq!(program.end().code(), Some(0));
        assert!(collector.all().is_empty(), "{environment:?}");
        let told = program.log.iter().any(|line| line.contains("traces"));
        assert!(!told, "{environment:?}: {:#?}", program.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_is_told_of_once_and_hurts_no_request() {
    let (status, asked) = (Arc::new(AtomicU16::new(400)), Arc::new(AtomicU64::new(0)));
    let (answers, counted) = (Arc::clone(&status), Arc::clone(&asked));
    let collector = Scripted::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let status = answers.load(Ordering::SeqCst);
        async move { reply(status, &[], "") }
    })
    .await;
    let server = Scripted::always(200, &[], "{}").await;
    let endpoint = format!("{}/v1/traces", collector.url());
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let mut program = begin(&server.url(), &environment);
    let at = program.address();
    let client = Client::new();
    let wait_for = async |count: u64| {
        until("the collector is asked", async || {
            assert_eq!(client.get(at, "/view").await.status, 200);
            asked.load(Ordering::SeqCst) >= count
        })
        .await;
    };
    wait_for(4).await;
    status.store(200, Ordering::SeqCst);
    let failed = asked.load(Ordering::SeqCst);
    wait_for(failed + 3).await;
    program.line_with("traces are sent to the collector again");
    let told = program.log.iter().filter(|line| line.contains("cannot be sent"));
    assert_eq!(told.count(), 1, "{:#?}", program.log);
    assert!(program.line_with("cannot be sent").contains("it answered 400"));
    drop(collector);
    // Nobody is there any more: the end waits for it no longer than it may.
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
}

#[test]
fn an_address_of_no_collector_is_refused_without_being_shown() {
    for endpoint in [
        "collector:4318",
        "ftp://s3cret/",
        "http://user:s3cret@127.0.0.1:4318",
        "s3cret",
    ] {
        let output = run(
            &["--listen", "127.0.0.1:0"],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{endpoint}: {said}");
        assert!(
            said.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !said.contains("s3cret"),
            "{said}"
        );
    }
}
