//! Load by wrk, and what it costs the process that is under it.

use crate::peers::{Bench, Process};
use std::{fs, io, process::Command};

/// Connections that ask at the same time.
pub const CONNECTIONS: usize = 64;

/// One run of wrk against one process.
pub struct Load {
    /// Answers that came.
    pub answers: u64,
    /// Answers that were no 2xx, and connections that failed.
    pub failures: u64,
    /// CPU time of the process, user and system, in seconds.
    cpu: f64,
}

impl Load {
    /// CPU time a request.
    pub fn microseconds(&self) -> f64 {
        self.cpu * 1e6 / self.answers.max(1) as f64
    }
}

/// Asks `process` for `targets` in turn, from all connections, for so long.
pub fn put(bench: &Bench, process: &Process, targets: &[String], seconds: u64) -> io::Result<Load> {
    let script = bench.folder.join("targets.lua");
    let quoted: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
    let script_text = format!(
        "local targets = {{{}}}\nlocal requests, next = {{}}, 0\n\
         function init() for i, target in ipairs(targets) do requests[i] = wrk.format('GET', target) end end\n\
         function request() next = next % #requests + 1; return requests[next] end\n",
        quoted.join(", ")
    );
    fs::write(&script, script_text)?;
    let before = cpu_seconds(process.id());
    let output = Command::new("taskset")
        .args(["-c", &bench.cores.load.to_string(), "wrk", "-t", "1", "-c"])
        .args([
            CONNECTIONS.to_string(),
            "-d".to_owned(),
            format!("{seconds}s"),
            "-s".to_owned(),
        ])
        .arg(&script)
        .arg(format!("http://{}", process.address))
        .output()?;
    let cpu = cpu_seconds(process.id()) - before;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers_after = |lead: &str| -> u64 {
        let line = said
            .lines()
            .find_map(|line| line.trim().strip_prefix(lead))
            .unwrap_or_default();
        let numbers = line.split(|c: char| !c.is_ascii_digit());
        numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    let answers = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
    let answers =
        answers.ok_or_else(|| io::Error::other(format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr))))?;
    Ok(Load {
        answers,
        failures: numbers_after("Non-2xx or 3xx responses:") + numbers_after("Socket errors:"),
        cpu,
    })
}

/// User and system time of a process and its children, from `/proc` (proc(5)), in ticks of 10 ms.
fn cpu_seconds(id: u32) -> f64 {
    let of_one = |id: &str| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The second field is a name that may hold anything but ends with the last parenthesis.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    };
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    of_one(&id.to_string()) + children.split_whitespace().map(of_one).sum::<f64>()
}
