//! What a request costs jobshim, beside nginx, haproxy, nginx with Lua, and a bare hyper program as the limit.
//!
//! `cargo bench --bench peers` runs them side by side and prints the table; `-- --help` says how to choose. Not part of
//! the tests. A peer that is not installed is skipped with a word (Debian: nginx, libnginx-mod-http-lua, lua-cjson,
//! haproxy; the load is made by wrk, and taskset keeps it off the proxy's core).

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

mod bare;
mod jobs;
mod load;
mod peers;
mod rows;
mod table;

use clap::{Parser, Subcommand};
use std::{io, path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(about = "CPU per request of jobshim and its peers, side by side")]
struct Options {
    /// Only rows whose name contains one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these columns, separated by commas
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Rounds; the medians of their figures are printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each peer is under load in each round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Another jobshim binary to run beside, such as the one before a change
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// `cargo bench` says this
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// What the comparison starts in processes of their own
    #[command(hide = true)]
    Bare(bare::Bare),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(Role::Bare(role)) => bare::run(role),
        None => compare(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> io::Result<()> {
    let bench = peers::Bench::start(options.against.as_deref())?;
    let chosen = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let mut results = Vec::new();
    for row in rows::rows() {
        if !chosen(&options.rows, row.name) {
            continue;
        }
        let mut runs: Vec<_> = row
            .runs
            .iter()
            .filter(|run| options.peers.is_empty() || options.peers.iter().any(|peer| peer == run.peer.name()))
            .filter_map(|run| Some((run, bench.running(run.peer, row.kept)?)))
            .collect();
        let reference = bench.upstream.get(row.reference)?;
        let mut remarks = Vec::new();
        runs.retain(|(run, process)| {
            let remark = row.check(run, process, &reference);
            remarks.extend(remark.iter().map(|remark| format!("{}: {remark}", run.peer.name())));
            remark.is_none()
        });
        let mut costs = vec![Vec::new(); runs.len()];
        for round in 0..=options.rounds {
            for ((run, process), costs) in runs.iter().zip(&mut costs) {
                // The first round warms up: connections, caches, pools.
                let seconds = if round == 0 { 1 } else { options.seconds };
                let asked = bench.calls()?;
                let load = load::put(&bench, process, &row.targets(run), seconds)?;
                if round > 0 {
                    costs.push(load.microseconds());
                }
                if round == options.rounds {
                    remarks.extend(row.remark(run, &asked, &bench.calls()?, &load));
                }
            }
        }
        eprintln!("peers: {} is measured", row.name);
        let costs = runs.iter().map(|(run, _)| run.peer).zip(costs).collect();
        results.push(table::Result { row, costs, remarks });
    }
    table::print(&results, &bench.skipped, options);
    Ok(())
}
