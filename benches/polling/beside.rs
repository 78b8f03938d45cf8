//! How long small answers take beside large ones: the 99th percentile, alone and beside two pollers of the whole history.

use crate::{
    client::{median, poll},
    jobs::id,
    server::Server,
    shim::Shim,
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// Clients that ask for one job, again and again.
const CLIENTS: usize = 16;
/// The time between two requests of one client.
const PAUSE: Duration = Duration::from_millis(2);
/// How long is measured at a time.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// Both, in a sentence.
pub fn beside() -> io::Result<String> {
    let (jobs, size) = (320, 156);
    let server = Server::start(jobs, size)?;
    let shim = Shim::start(server.address, &[])?;
    for _ in 0..2 {
        poll(shim.address, "")?;
    }
    let target = format!("/history/{}", id(size, 0));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let polls = Mutex::new(Vec::new());
    for _ in 0..ROUNDS {
        alone.push(percentile(shim.address, &target)?);
        let is_over = AtomicBool::new(false);
        beside.push(thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut is_going_on = true;
                    while is_going_on && !is_over.load(Relaxed) {
                        let begun = Instant::now();
                        is_going_on = poll(shim.address, "").is_ok();
                        let whole = begun.elapsed().as_secs_f64() * 1000.0;
                        polls.lock().expect("polls").push(whole);
                    }
                });
            }
            let percentile = percentile(shim.address, &target);
            is_over.store(true, Relaxed);
            percentile
        })?);
    }
    let (alone, beside) = (median(alone), median(beside));
    let poll = median(polls.into_inner().expect("polls"));
    Ok(format!(
        "99th percentile of `/history/{{id}}` in gzip for {CLIENTS} clients: {alone:.1} ms alone, {beside:.1} ms beside two pollers of 50 MB, {:.1} x; a poll took {poll:.0} ms",
        beside / alone
    ))
}

/// The 99th percentile of the time to a whole answer, in ms.
fn percentile(at: SocketAddr, target: &str) -> io::Result<f64> {
    let begun = Instant::now();
    let mut times: Vec<f64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| times(at, target, begun))).collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .collect::<io::Result<Vec<_>>>()
    })?
    .concat();
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() * 99 / 100).copied().unwrap_or(0.0))
}

fn times(at: SocketAddr, target: &str, begun: Instant) -> io::Result<Vec<f64>> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    let mut times = Vec::new();
    while begun.elapsed() < ROUND {
        thread::sleep(PAUSE);
        let asked = Instant::now();
        write!(
            &stream,
            "GET {target} HTTP/1.1\r\nHost: {at}\r\nAccept-Encoding: gzip\r\n\r\n"
        )?;
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
