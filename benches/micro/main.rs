//! What the parts of a translation cost by themselves: `cargo bench --bench micro`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark answers nobody but who started it"
)]

mod job;

use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use http::{HeaderMap, StatusCode};
use jobshim::{
    http::buffered::BufferBudget,
    mapping::{
        Classes, Tables, View,
        json::{check, elements, members},
    },
    upstream::Answer,
};
use serde_json::Value;

/// The sizes of a small and of a large job, in bytes.
const SIZES: [usize; 2] = [15_000, 70_000];
const ID: &str = "97e95488-0041-44f2-b617-75d680b1c0f1";

/// What a real server listed: two finished jobs, a cancelled one, and two failed ones with their tracebacks.
const RECORDED: &str = include_str!("../../tests/corpus/comfyui-0.27/failures.json");
/// As many jobs as one answer lists where a history is long.
const PAGE: usize = 1000;

struct Saving;

impl Classes for Saving {
    fn is_output(&self, class: &str) -> Option<bool> {
        Some(class == "SaveImage")
    }
}

fn main() {
    divan::main();
}

/// One pass that checks everything and notes nothing.
#[divan::bench(args = SIZES)]
fn scan(bencher: Bencher, size: usize) {
    let job = job::detail(ID, size);
    bencher
        .counter(BytesCount::of_str(&job))
        .bench(|| check(black_box(job.as_bytes())).is_ok());
}

/// From a job's bytes to those of its history entry.
#[divan::bench(args = SIZES)]
fn history_entry(bencher: Bencher, size: usize) {
    let dialect = Tables::load(None).expect("good tables").comfyui;
    let job = Bytes::from(job::detail(ID, size));
    bencher.counter(BytesCount::new(job.len())).bench(|| {
        let parsed = dialect.parse_job(job.clone()).expect("JSON");
        let prepared = black_box(&parsed).prepare(View::History, None).expect("an object");
        black_box(prepared.classes_needed());
        let mut entry = Vec::with_capacity(job.len() + 256);
        prepared.write(&Saving, &mut entry).expect("an entry");
        entry
    });
}

/// The recorded jobs over and over, to a page of a long list.
fn page() -> String {
    let recorded: Value = serde_json::from_str(RECORDED).expect("a recording");
    let list = recorded["upstream"]["jobs"].as_str().expect("the text of a list");
    let mut jobs = Vec::new();
    members(list.as_bytes(), |_, value| {
        if value.starts_with(b"[") {
            elements(value, |job| jobs.push(String::from_utf8_lossy(job).into_owned())).expect("a list");
        }
    })
    .expect("an object");
    let page: Vec<String> = jobs.iter().cycle().take(PAGE).cloned().collect();
    format!(
        r#"{{"jobs": [{}], "pagination": {{"has_more": false}}}}"#,
        page.join(", ")
    )
}

/// From the bytes of a page of the list to what the translation knows of each job in it.
#[divan::bench]
fn list_page(bencher: Bencher) {
    let dialect = Tables::load(None).expect("good tables").comfyui;
    let answer = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from(page()),
    };
    let budget = BufferBudget::new(64 << 20);
    assert_eq!(
        dialect.read_page(&answer, PAGE, &budget).expect("a page").jobs.len(),
        PAGE
    );
    bencher
        .counter(BytesCount::new(answer.body.len()))
        .bench(|| dialect.read_page(black_box(&answer), PAGE, &budget).expect("a page"));
}
