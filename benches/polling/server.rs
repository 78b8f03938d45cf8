//! A server of the Jobs API whose own work costs nothing: it counts what it is asked, and how much it sends.

use crate::jobs::{listed, nodes};
use std::{
    io::{self, BufRead, BufReader, IoSlice, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// How many jobs are ready to be sent without being written anew; of others the prompts repeat.
const PROMPTS: usize = 64;

/// The server. It has as many jobs as it is told.
pub struct Server {
    pub address: SocketAddr,
    board: Arc<Board>,
}

struct Board {
    /// How long a job is, in KB of 1,000 bytes.
    size: usize,
    jobs: AtomicUsize,
    prompts: Vec<String>,
    lists: AtomicU64,
    details: AtomicU64,
    bytes: AtomicU64,
}

/// What it was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub lists: u64,
    pub details: u64,
    /// What it sent, without heads.
    pub bytes: u64,
}

impl Server {
    /// With `jobs` jobs of `size` KB.
    pub fn start(jobs: usize, size: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let board = Arc::new(Board {
            size,
            jobs: jobs.into(),
            prompts: (0..PROMPTS).map(|nth| prompt(size, nth)).collect(),
            lists: 0.into(),
            details: 0.into(),
            bytes: 0.into(),
        });
        let shared = Arc::clone(&board);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let board = Arc::clone(&shared);
                thread::spawn(move || board.serve(&stream));
            }
        });
        Ok(Self { address, board })
    }

    /// Another job has ended.
    pub fn add(&self) {
        self.board.jobs.fetch_add(1, Relaxed);
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Asked {
        let take = |count: &AtomicU64| count.swap(0, Relaxed);
        Asked {
            lists: take(&self.board.lists),
            details: take(&self.board.details),
            bytes: take(&self.board.bytes),
        }
    }
}

impl Board {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut is_last = false;
            while line.trim_end() != "" {
                line.clear();
                reader.read_line(&mut line)?;
                is_last |= line.trim_end().eq_ignore_ascii_case("connection: close");
            }
            self.answer(stream, &target)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn answer(&self, stream: &TcpStream, target: &str) -> io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(id) = path.strip_prefix("/api/jobs/") {
            let nth = id.rsplit('-').next().and_then(|nth| nth.parse().ok()).unwrap_or(0);
            self.details.fetch_add(1, Relaxed);
            return self.send(
                stream,
                200,
                &[&detail_begin(self.size, nth), &self.prompts[nth % PROMPTS]],
            );
        }
        match path {
            "/api/jobs" if query.contains("sort_by=create_time") => {
                self.send(stream, 400, &[r#"{"error": "sort_by"}"#])
            }
            "/api/jobs" => {
                self.lists.fetch_add(1, Relaxed);
                let jobs: Vec<String> = (0..self.jobs.load(Relaxed))
                    .rev()
                    .map(|nth| listed(self.size, nth))
                    .collect();
                let end = format!(
                    r#"], "pagination": {{"offset": 0, "limit": null, "total": {}, "has_more": false}}}}"#,
                    jobs.len()
                );
                self.send(stream, 200, &[r#"{"jobs": ["#, &jobs.join(", "), &end])
            }
            // The server's own endpoint, for a poll without jobshim.
            "/history" => {
                let jobs = self.jobs.load(Relaxed);
                let mut parts = vec!["{".to_owned()];
                for nth in 0..jobs {
                    let comma = if nth == 0 { "" } else { ", " };
                    parts.push(format!(
                        "{comma}\"{}\": {}",
                        crate::jobs::id(self.size, nth),
                        detail_begin(self.size, nth)
                    ));
                }
                let mut pieces: Vec<&str> = Vec::new();
                for (nth, part) in parts.iter().enumerate() {
                    pieces.push(part);
                    if nth > 0 {
                        pieces.push(&self.prompts[(nth - 1) % PROMPTS]);
                    }
                }
                pieces.push("}");
                self.send(stream, 200, &pieces)
            }
            "/api/object_info" | "/object_info" => self.send(stream, 200, &["{}"]),
            _ => self.send(stream, 404, &["404: Not Found"]),
        }
    }

    fn send(&self, mut stream: &TcpStream, status: u16, pieces: &[&str]) -> io::Result<()> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.bytes.fetch_add(length as u64, Relaxed);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        let mut slices: Vec<IoSlice> = vec![IoSlice::new(head.as_bytes())];
        slices.extend(pieces.iter().map(|piece| IoSlice::new(piece.as_bytes())));
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let most = left.len().min(256);
            let sent = stream.write_vectored(&left[..most])?;
            IoSlice::advance_slices(&mut left, sent);
        }
        Ok(())
    }
}

/// All of a detail but its prompt.
fn detail_begin(size: usize, nth: usize) -> String {
    let entry = listed(size, nth);
    format!(
        "{open}, \"outputs\": {{\"9\": {{\"images\": [{{\"filename\": \"ComfyUI_{nth:05}_.png\", \"subfolder\": \"\", \
         \"type\": \"output\"}}]}}}}, \"workflow\": ",
        open = entry.trim_end_matches('}'),
    )
}

fn prompt(size: usize, nth: usize) -> String {
    let (prompt, editor) = nodes(size * 1_000 - 700, nth);
    format!(
        "{{\"prompt\": {{{prompt}}}, \"extra_data\": {{\"client_id\": \"bench\", \"create_time\": 1764000000000, \
         \"extra_pnginfo\": {{\"workflow\": {{\"last_node_id\": 9, \"nodes\": [{editor}], \"version\": 0.4}}}}}}}}}}"
    )
}
