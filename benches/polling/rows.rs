//! The rows of the table. Every figure is of one poll: counts and CPU the mean of a row's polls, times their median.

use crate::{
    client::{Poll, median, poll},
    server::{Asked, Server},
    shim::Shim,
};
use std::{
    io, thread,
    time::{Duration, Instant},
};

/// A usual history: 320 jobs, 50 MB.
const USUAL: (usize, usize) = (320, 156);
/// A long one: 2,000 jobs, 500 MB.
const LONG: (usize, usize) = (2_000, 250);
/// How many polls a row has.
const POLLS: usize = 20;
const IDENTITY: &str = "";
const GZIP: &str = "Accept-Encoding: gzip\r\n";
const BOTH: &str = "Accept-Encoding: gzip, zstd\r\n";
const ZSTD: &str = "Accept-Encoding: zstd\r\n";

type Row = fn() -> io::Result<String>;

/// All of them, with their names.
pub const ALL: &[(&str, Row)] = &[
    ("50 MB, the server itself", direct),
    ("50 MB, first", || first(USUAL, IDENTITY)),
    ("50 MB, first, gzip", || first(USUAL, GZIP)),
    ("50 MB, unchanged", || again(USUAL, IDENTITY, &[])),
    ("50 MB, unchanged, with its `ETag`", known),
    ("50 MB, unchanged, gzip", || again(USUAL, GZIP, &[])),
    ("50 MB, unchanged, gzip and zstd", || again(USUAL, BOTH, &[])),
    ("50 MB, unchanged, zstd alone", || again(USUAL, ZSTD, &[])),
    ("50 MB, one new job each time", || growing(IDENTITY)),
    ("50 MB, one new job each time, gzip", || growing(GZIP)),
    ("50 MB, for three times `cache.ttl`", after_ttl),
    ("50 MB over `cache.max_bytes` of 16 MiB", || {
        again(USUAL, IDENTITY, &[("JOBSHIM_CACHE_MAX_BYTES", "16MiB")])
    }),
    ("500 MB, first", || first(LONG, IDENTITY)),
    ("500 MB, unchanged", || again(LONG, IDENTITY, &[])),
    ("500 MB, unchanged, gzip", || again(LONG, GZIP, &[])),
    ("50 MB, ten pollers at 10 Hz, gzip", ten),
];

/// What some polls came to.
struct Measured {
    polls: Vec<Poll>,
    asked: Asked,
    /// In ms.
    cpu: Option<f64>,
    /// In MiB.
    memory: Option<f64>,
}

impl Measured {
    fn row(&self) -> String {
        let count = self.polls.len() as f64;
        let ms = |time: fn(&Poll) -> Duration| {
            median(self.polls.iter().map(|poll| time(poll).as_secs_f64() * 1e3).collect())
        };
        let to_client: usize = self.polls.iter().map(|poll| poll.length).sum();
        let or_none = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.1}"));
        format!(
            "{calls:.1} | {from_server:.2} | {cpu} | {first:.1} | {whole:.1} | {to_client:.2} | {memory}",
            calls = (self.asked.lists + self.asked.details) as f64 / count,
            from_server = self.asked.bytes as f64 / count / 1e6,
            cpu = or_none(self.cpu.map(|cpu| cpu / count)),
            first = ms(|poll| poll.first),
            whole = ms(|poll| poll.whole),
            to_client = to_client as f64 / count / 1e6,
            memory = or_none(self.memory),
        )
    }
}

/// Polls a jobshim that is there.
fn polls(
    server: &Server,
    shim: &Shim,
    mut one: impl FnMut() -> io::Result<Poll>,
    count: usize,
) -> io::Result<Measured> {
    server.asked();
    let before = shim.cpu();
    let polls = (0..count).map(|_| one()).collect::<io::Result<_>>()?;
    Ok(Measured {
        polls,
        cpu: Some(shim.cpu() - before),
        asked: server.asked(),
        memory: Some(shim.peak_memory()),
    })
}

fn direct() -> io::Result<String> {
    let server = Server::start(USUAL.0, USUAL.1)?;
    poll(server.address, IDENTITY)?;
    server.asked();
    let polls = (0..POLLS)
        .map(|_| poll(server.address, IDENTITY))
        .collect::<io::Result<_>>()?;
    let asked = Asked {
        lists: POLLS as u64,
        ..server.asked()
    };
    Ok(Measured {
        polls,
        asked,
        cpu: None,
        memory: None,
    }
    .row())
}

fn first((jobs, size): (usize, usize), lines: &str) -> io::Result<String> {
    let server = Server::start(jobs, size)?;
    let (mut polls, mut cpu, mut memory) = (Vec::new(), 0.0, 0.0_f64);
    for _ in 0..5 {
        let shim = Shim::start(server.address, &[])?;
        let before = shim.cpu();
        polls.push(poll(shim.address, lines)?);
        cpu += shim.cpu() - before;
        memory = memory.max(shim.peak_memory());
    }
    Ok(Measured {
        polls,
        asked: server.asked(),
        cpu: Some(cpu),
        memory: Some(memory),
    }
    .row())
}

fn again((jobs, size): (usize, usize), lines: &str, settings: &[(&str, &str)]) -> io::Result<String> {
    let server = Server::start(jobs, size)?;
    let shim = Shim::start(server.address, settings)?;
    for _ in 0..2 {
        poll(shim.address, lines)?;
    }
    Ok(polls(&server, &shim, || poll(shim.address, lines), POLLS)?.row())
}

fn known() -> io::Result<String> {
    let server = Server::start(USUAL.0, USUAL.1)?;
    let shim = Shim::start(server.address, &[])?;
    poll(shim.address, IDENTITY)?;
    let tag = poll(shim.address, IDENTITY)?.tag;
    let lines = format!("If-None-Match: {tag}\r\n");
    Ok(polls(&server, &shim, || poll(shim.address, &lines), POLLS)?.row())
}

fn growing(lines: &str) -> io::Result<String> {
    let server = Server::start(USUAL.0, USUAL.1)?;
    let shim = Shim::start(server.address, &[])?;
    poll(shim.address, lines)?;
    let one = || {
        server.add();
        poll(shim.address, lines)
    };
    Ok(polls(&server, &shim, one, POLLS)?.row())
}

fn after_ttl() -> io::Result<String> {
    let server = Server::start(USUAL.0, USUAL.1)?;
    let shim = Shim::start(server.address, &[("JOBSHIM_CACHE_TTL", "2s")])?;
    poll(shim.address, IDENTITY)?;
    let one = || {
        thread::sleep(Duration::from_millis(200));
        poll(shim.address, IDENTITY)
    };
    Ok(polls(&server, &shim, one, 30)?.row())
}

fn ten() -> io::Result<String> {
    let server = Server::start(USUAL.0, USUAL.1)?;
    let shim = Shim::start(server.address, &[])?;
    poll(shim.address, GZIP)?;
    server.asked();
    let before = shim.cpu();
    let begun = Instant::now();
    let pollers: Vec<_> = (0..10)
        .map(|nth: u32| {
            let at = shim.address;
            thread::spawn(move || {
                let mut polls = Vec::new();
                for round in 0..50 {
                    let due = Duration::from_millis(100) * round + Duration::from_millis(10) * nth;
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    polls.push(poll(at, GZIP)?);
                }
                Ok::<_, io::Error>(polls)
            })
        })
        .collect();
    let mut all = Vec::new();
    for poller in pollers {
        all.extend(poller.join().expect("a poller")?);
    }
    Ok(Measured {
        polls: all,
        asked: server.asked(),
        cpu: Some(shim.cpu() - before),
        memory: Some(shim.peak_memory()),
    }
    .row())
}
