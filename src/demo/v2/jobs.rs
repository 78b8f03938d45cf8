//! All jobs of the simulated server. One runs at a time, the others wait in the order in which they came.

use super::{
    job::{Job, Output, Status},
    options::{Options, Variant},
};
use std::{collections::VecDeque, time::Duration};
use twox_hash::XxHash3_128;

/// The most jobs that are kept; the oldest that has ended makes room.
const MAX_JOBS: usize = 10_000;

/// Makes ids that no other simulator makes.
pub(super) struct Ids {
    seed: i64,
    made: u64,
}

impl Ids {
    pub(super) fn new(seed: i64) -> Self {
        Self { seed, made: 0 }
    }

    fn hash(&mut self) -> u128 {
        self.made += 1;
        XxHash3_128::oneshot(format!("{} {}", self.seed, self.made).as_bytes())
    }

    /// A UUID of version 4.
    pub(super) fn uuid(&mut self) -> String {
        let hash = (self.hash() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let digits = format!("{hash:032x}");
        let mut id = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                id.push('-');
            }
            id.push(digit);
        }
        id
    }

    /// The id of an output as an asset.
    fn of_output(&mut self, variant: Variant) -> String {
        match variant {
            Variant::Deployment => self.uuid(),
            Variant::ApiProxy => {
                let mut hash = || self.hash();
                format!("eyJ{:x}{:x}{:x}.{:x}_-{:x}", hash(), hash(), hash(), hash(), hash())
            }
        }
    }
}

/// The jobs, oldest first.
pub(super) struct Jobs {
    pub ids: Ids,
    all: VecDeque<Job>,
}

impl Jobs {
    pub(super) fn new(ids: Ids) -> Self {
        Self {
            ids,
            all: VecDeque::new(),
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Puts a job at the end of the queue.
    pub(super) fn add(&mut self, job: Job) {
        if self.all.len() >= MAX_JOBS
            && let Some(oldest) = self.all.iter().position(|job| job.status.is_final())
        {
            self.all.remove(oldest);
        }
        self.all.push_back(job);
    }

    /// Newest first.
    pub(super) fn of_owner<'j>(&'j self, owner: &'j str) -> impl Iterator<Item = &'j Job> {
        self.all.iter().rev().filter(move |job| job.owner == owner)
    }

    pub(super) fn get(&self, owner: &str, id: &str) -> Option<&Job> {
        self.all.iter().find(|job| job.id == id && job.owner == owner)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.all.iter_mut().find(|job| job.id == id)
    }

    /// The job and the output with this id as an asset.
    pub(super) fn output(&self, owner: &str, asset: &str) -> Option<(&Job, &Output)> {
        self.all.iter().filter(|job| job.owner == owner).find_map(|job| {
            let output = job.outputs.iter().find(|output| output.id == asset)?;
            Some((job, output))
        })
    }

    /// The same, whoever asks.
    pub(super) fn output_of_any_owner(&self, asset: &str) -> Option<&Output> {
        let mut outputs = self.all.iter().flat_map(|job| &job.outputs);
        outputs.find(|output| output.id == asset)
    }

    pub(super) fn in_state(&self, status: Status) -> Vec<String> {
        let jobs = self.all.iter().filter(|job| job.status == status);
        jobs.map(|job| job.id.clone()).collect()
    }

    /// From 1, where it waits.
    pub(super) fn queue_position(&self, id: &str) -> Option<usize> {
        let mut waiting = self.all.iter().filter(|job| job.status == Status::Queued);
        waiting.position(|job| job.id == id).map(|place| place + 1)
    }

    pub(super) fn forget(&mut self, id: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|job| job.id != id);
        self.all.len() < before
    }

    /// One step: of the job that runs, or the oldest that waits starts. Whether there was one.
    pub(super) fn step(&mut self, now: i64) -> bool {
        let under_way = |job: &&mut Job| matches!(job.status, Status::Running | Status::Canceling);
        if let Some(job) = self.all.iter_mut().find(under_way) {
            let (ids, variant) = (&mut self.ids, job.variant);
            job.step(now, &mut || ids.of_output(variant));
            return true;
        }
        let waiting = self.all.iter_mut().find(|job| job.status == Status::Queued);
        waiting.map(|job| job.start(now)).is_some()
    }

    /// Runs one job to its end, whatever else waits or runs. Whether there is one of this id that has not ended.
    pub(super) fn finish(&mut self, id: &str, now: i64) -> bool {
        let Some(job) = self.all.iter_mut().find(|job| job.id == id) else {
            return false;
        };
        let had_ended = job.status.is_final();
        job.start(now);
        while !job.status.is_final() {
            let (ids, variant) = (&mut self.ids, job.variant);
            job.step(now, &mut || ids.of_output(variant));
        }
        !had_ended
    }

    /// All that is due by the clock: jobs that run for `runs_for` move on, old ones are forgotten. Whether anything changed.
    pub(super) fn tick(&mut self, options: &Options, now: i64) -> bool {
        let before = self.all.len();
        let retention = micros(options.retention);
        self.all
            .retain(|job| !job.status.is_final() || now - job.created < retention);
        let mut changed = before != self.all.len();
        let Some(runs_for) = options.runs_for.map(micros) else {
            return changed;
        };
        while self.is_due(runs_for, now) {
            changed |= self.step(now);
        }
        changed
    }

    fn is_due(&self, runs_for: i64, now: i64) -> bool {
        let under_way = |job: &&Job| matches!(job.status, Status::Running | Status::Canceling);
        match self.all.iter().find(under_way) {
            Some(job) if job.status == Status::Canceling => true,
            Some(job) => {
                let (all, over) = job.steps();
                let due = runs_for.saturating_mul(i64::from(over) + 1) / i64::from(all.max(1));
                job.started.is_none_or(|started| now - started >= due)
            }
            None => self.all.iter().any(|job| job.status == Status::Queued),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
