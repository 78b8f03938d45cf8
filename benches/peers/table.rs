//! The table and its verdicts.

use crate::{Options, load::CONNECTIONS, peers::Peer, rows::Row};
use std::fs;

/// A row's figures: for each peer the cost a request in each round, in microseconds.
pub struct Result {
    pub row: Row,
    pub costs: Vec<(Peer, Vec<f64>)>,
    pub remarks: Vec<String>,
}

impl Result {
    fn costs(&self, peer: Peer) -> Option<&[f64]> {
        let (_, costs) = self
            .costs
            .iter()
            .find(|(other, costs)| *other == peer && !costs.is_empty())?;
        Some(costs)
    }

    /// How many times the cost of `other` is `peer`'s: the median of the rounds' own ratios, since a machine that is
    /// busy for a while is so for both.
    fn ratio(&self, peer: Peer, other: Peer) -> Option<f64> {
        let pairs = self.costs(peer)?.iter().zip(self.costs(other)?);
        Some(median(pairs.map(|(cost, other)| cost / other).collect()))
    }

    fn verdict(&self) -> String {
        let mut said: Vec<String> = Vec::new();
        for (other, bar) in &self.row.bars {
            if let Some(ratio) = self.ratio(Peer::Jobshim, *other) {
                let met = if ratio <= *bar { "met" } else { "MISSED" };
                said.push(format!("{ratio:.2} x {} (bar {bar}: {met})", other.name()));
            }
        }
        if let Some(ratio) = self.ratio(Peer::Jobshim, Peer::Against) {
            said.push(format!("{ratio:.3} x against"));
        }
        said.join(", ")
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[middle],
        _ => (figures[middle - 1] + figures[middle]) / 2.0,
    }
}

pub fn print(results: &[Result], skipped: &[String], options: &Options) {
    println!(
        "CPU of the proxy process a request, user and system, in us: {CONNECTIONS} connections by wrk, proxy on one core, \
         load and upstream on the other;\nmedians of {} alternating rounds of {} s; ratios are medians of the rounds' own.",
        options.rounds, options.seconds
    );
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "Whatever else runs on the machine makes every figure larger and less sure, even the ratios; load average at the \
         end: {}\n",
        load.trim()
    );
    let columns = Peer::ALL
        .into_iter()
        .filter(|peer| results.iter().any(|result| result.costs(*peer).is_some()));
    let columns: Vec<Peer> = columns.collect();
    let cells = |cells: Vec<String>| cells.iter().map(|cell| format!(" {cell:>9} |")).collect::<String>();
    println!(
        "| {:<34} |{} jobshim's bar",
        "work",
        cells(columns.iter().map(|peer| peer.name().to_owned()).collect())
    );
    println!(
        "| {} |{} ---",
        "-".repeat(34),
        cells(columns.iter().map(|_| "---:".to_owned()).collect())
    );
    for result in results {
        let cost = |peer: &Peer| {
            result
                .costs(*peer)
                .map_or(String::new(), |costs| format!("{:.1}", median(costs.to_vec())))
        };
        println!(
            "| {:<34} |{} {}",
            result.row.name,
            cells(columns.iter().map(cost).collect()),
            result.verdict()
        );
    }
    println!();
    let remarks = results
        .iter()
        .flat_map(|result| result.remarks.iter().map(|remark| (result.row.name, remark)));
    remarks.for_each(|(row, remark)| println!("{row}: {remark}"));
    skipped.iter().for_each(|word| println!("skipped: {word}"));
}
