//! Tests of `cli`.

mod arguments;
mod background;
mod check;
mod completions;
mod demo;
mod doctor;
mod explain;
mod health;
mod mapping;
mod messages;
mod output;
mod serve;
mod warnings;

use jobshim::demo::{Board, Job, Rules};
use std::process::Output;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn one_job(rules: Rules) -> Board {
    let mut board = Board::new(rules);
    let text = r#"{"id": "only-one", "status": "completed", "create_time": 1700000000000, "priority": 7}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    board
}
