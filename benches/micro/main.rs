//! What the parts of a translation cost by themselves: `cargo bench --bench micro`.

mod job;

use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use jobshim::mapping::{Classes, Context, Searched, Tables, scanner::check};

/// The sizes of a small and of a large job, in bytes.
const SIZES: [usize; 2] = [15_000, 70_000];
const ID: &str = "97e95488-0041-44f2-b617-75d680b1c0f1";

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
    let plan = Tables::load(None).expect("good tables").history.plan;
    let job = Bytes::from(job::detail(ID, size));
    bencher.counter(BytesCount::new(job.len())).bench(|| {
        let searched = Searched::new(job.clone(), plan.paths()).expect("JSON");
        let reading = plan.read_searched(black_box(&searched), None).expect("an object");
        black_box(plan.classes_needed(&reading));
        let context = Context {
            position: 1,
            classes: &Saving,
        };
        let mut entry = Vec::with_capacity(job.len() + 256);
        plan.write(&reading, &context, &mut entry).expect("an entry");
        entry
    });
}
