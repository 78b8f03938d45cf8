//! The rows of the table: what is asked of whom, what it must answer, and the bar.

use crate::{
    jobs::{JOBS, SIZES, id},
    load::{CONNECTIONS, Load},
    peers::{Kept, Peer, Process},
};

/// One kind of work.
pub struct Row {
    pub name: &'static str,
    pub kept: Kept,
    pub runs: Vec<Run>,
    /// What the upstream answers to be compared with.
    pub reference: &'static str,
    /// The size of the jobs asked for; `None` where one target is asked for all the time.
    size: Option<usize>,
    /// At most so many times the cost of another.
    pub bars: Vec<(Peer, f64)>,
}

/// How one peer is asked.
pub struct Run {
    pub peer: Peer,
    /// The target; with a size, its beginning, and the job's id follows.
    lead: &'static str,
}

impl Row {
    /// What wrk asks for.
    pub fn targets(&self, run: &Run) -> Vec<String> {
        match self.size {
            Some(size) => (0..JOBS).map(|nth| format!("{}{}", run.lead, id(size, nth))).collect(),
            None => vec![run.lead.to_owned()],
        }
    }

    /// Why a peer's answer is not the one that is wanted.
    pub fn check(&self, run: &Run, process: &Process, reference: &[u8]) -> Option<String> {
        let target = self.targets(run).into_iter().next().unwrap_or_default();
        match process.get(&target) {
            Err(error) => Some(error.to_string()),
            Ok(body) if self.kept == Kept::Passed && body != reference => Some("another body".to_owned()),
            Ok(body) if self.kept != Kept::Passed => {
                let tree = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
                let same = tree(&body).is_some() && tree(&body) == tree(reference);
                (!same).then(|| "another entry".to_owned())
            }
            Ok(_) => None,
        }
    }

    /// What a run showed besides its cost.
    pub fn remark(&self, run: &Run, before: &[u64; 2], after: &[u64; 2], load: &Load) -> Option<String> {
        let [lists, details] = [after[0] - before[0], after[1] - before[1]];
        let mut said = Vec::new();
        if load.failures > 0 {
            said.push(format!("{} of {} answers failed", load.failures, load.answers));
        }
        if run.lead.starts_with("/history?") && matches!(run.peer, Peer::Jobshim | Peer::Against) {
            let most = load.answers.div_ceil(CONNECTIONS as u64);
            said.push(format!(
                "{} answers to {CONNECTIONS} at once took {lists} list calls ({most} if all {CONNECTIONS} always share one)",
                load.answers
            ));
        }
        // What the peer before left under way may still come.
        if self.kept == Kept::Yes && details > CONNECTIONS as u64 {
            said.push(format!(
                "NOT from memory: {details} details were asked for {} answers",
                load.answers
            ));
        }
        (!said.is_empty()).then(|| format!("{}: {}", run.peer.name(), said.join("; ")))
    }
}

fn jobshims(lead: &'static str) -> [(Peer, &'static str); 2] {
    [(Peer::Jobshim, lead), (Peer::Against, lead)]
}

fn row(
    name: &'static str,
    kept: Kept,
    size: Option<usize>,
    reference: &'static str,
    runs: impl IntoIterator<Item = (Peer, &'static str)>,
    bars: impl IntoIterator<Item = (Peer, f64)>,
) -> Row {
    let runs = runs.into_iter().map(|(peer, lead)| Run { peer, lead }).collect();
    let bars = bars.into_iter().collect();
    Row {
        name,
        kept,
        runs,
        reference,
        size,
        bars,
    }
}

/// All rows, in the order of the table.
pub fn rows() -> Vec<Row> {
    let pass = |name, target: &'static str, bar| {
        let all = [Peer::Nginx, Peer::Haproxy, Peer::Bare].map(|peer| (peer, target));
        let bars = [(Peer::Nginx, bar), (Peer::Bare, 1.15)];
        row(
            name,
            Kept::Passed,
            None,
            target,
            all.into_iter().chain(jobshims(target)),
            bars,
        )
    };
    let one = |name, kept, size, reference, others: &[(Peer, &'static str)], bars: &[(Peer, f64)]| {
        let own = [(Peer::Bare, "/history/")].into_iter().chain(jobshims("/history/"));
        let runs = others.iter().copied().chain(own);
        row(name, kept, Some(size), reference, runs, bars.iter().copied())
    };
    let keepers = [(Peer::Nginx, "/cached/"), (Peer::Lua, "/dict/")];
    let rewriters = [(Peer::Lua, "/rewrite/")];
    let [small, large] = SIZES;
    let [small_entry, large_entry] = [
        "/history/00000015-0000-4000-8000-000000000000",
        "/history/00000070-0000-4000-8000-000000000000",
    ];
    let list = "/history?max_items=64";
    vec![
        pass("pass 1 KB", "/view/1k", 1.0),
        pass("pass 70 KB", "/view/70k", 0.75),
        pass("pass 5 MB", "/view/5m", 0.5),
        one(
            "history/id 15 KB, not cached",
            Kept::Not,
            small,
            small_entry,
            &rewriters,
            &[(Peer::Bare, 1.5), (Peer::Lua, 0.2)],
        ),
        one(
            "history/id 70 KB, not cached",
            Kept::Not,
            large,
            large_entry,
            &rewriters,
            &[(Peer::Bare, 1.5), (Peer::Lua, 0.2)],
        ),
        one(
            "history/id 15 KB, from memory",
            Kept::Yes,
            small,
            small_entry,
            &keepers,
            &[(Peer::Bare, 1.3)],
        ),
        one(
            "history/id 70 KB, from memory",
            Kept::Yes,
            large,
            large_entry,
            &keepers,
            &[(Peer::Bare, 1.3)],
        ),
        row(
            "history?max_items=64, from memory",
            Kept::Yes,
            None,
            "/history",
            [(Peer::Bare, list)].into_iter().chain(jobshims(list)),
            [(Peer::Bare, 2.0)],
        ),
    ]
}
