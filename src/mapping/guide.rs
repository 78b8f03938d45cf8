//! The guide for people who move their code to the Jobs API: endpoints, words, examples, and each field of the tables.

use super::{
    Tables,
    dialect::Dialect,
    print::{UnknownTable, quoted_rows},
};
use crate::routes::{Calls, ENDPOINTS};
use std::fmt::Write;

/// What does not depend on the tables, with places for what does.
const TEMPLATE: &str = include_str!("guide.md");

/// The guide, as Markdown; of one table its fields alone.
pub fn guide(tables: &Tables, name: Option<&str>) -> Result<String, UnknownTable> {
    if let Some(name) = name {
        let one = all(tables).find(|table| table.name == name);
        return one.map(fields).ok_or_else(|| UnknownTable::new(name));
    }
    let mut guide = TEMPLATE
        .replace("{endpoints}", endpoints(tables).trim_end())
        .replace("{states}", states(tables).trim_end());
    for table in all(tables) {
        guide.push('\n');
        guide += &fields(table);
    }
    Ok(guide)
}

/// Every table that has a part in an answer.
fn all(tables: &Tables) -> impl Iterator<Item = &super::Table> {
    tables.answers.all().chain(tables.of_v2.all())
}

/// A table of endpoints, and what to ask instead.
fn endpoints(tables: &Tables) -> String {
    let mut out =
        String::from("| legacy endpoint | Jobs API | Comfy API v2, which lists no jobs |\n| --- | --- | --- |\n");
    for row in &ENDPOINTS {
        if let Some(calls) = row.calls {
            let (jobs_api, v2) = (instead(calls, &tables.comfyui), instead_of_v2(calls, &tables.v2));
            let _ = writeln!(out, "| `{}` | {jobs_api} | {v2} |", row.shown);
        }
    }
    out
}

/// What Comfy API v2 has for it.
fn instead_of_v2(calls: Calls, dialect: &Dialect) -> String {
    let names = &dialect.names;
    let (detail, cancel) = (&names.detail.path, &names.cancel.path);
    match calls {
        Calls::AllJobs => {
            format!("`GET {detail}` for each id that you have kept; its `outputs` are files with a `url`")
        }
        Calls::QueuedJobs => format!("`GET {detail}` for each id that you have kept"),
        Calls::OneJob => match &names.v2 {
            Some(v2) => format!("`GET {detail}`, and `GET {}` for what ran", v2.workflow),
            None => format!("`GET {detail}`"),
        },
        Calls::CancelMany | Calls::CancelRunning => format!("`POST {cancel}` for each id that you have kept"),
        Calls::CancelOne => format!("`POST {cancel}`"),
        Calls::Hide => "nothing: no call deletes a job".to_owned(),
    }
}

fn instead(calls: Calls, dialect: &Dialect) -> String {
    let names = &dialect.names;
    let (list, detail, cancel) = (&names.list.path, &names.detail.path, &names.cancel);
    let queued = format!("`GET {list}?{}`", dialect.queued_filter());
    match calls {
        Calls::AllJobs => format!("`GET {list}`, and `GET {detail}` for the outputs of each"),
        Calls::QueuedJobs => queued,
        Calls::OneJob => format!("`GET {detail}`"),
        Calls::CancelMany => format!(
            "`POST {}` with `{{\"{}\": [ids]}}`, at most {} of them; to clear the queue, ask {queued} first",
            cancel.many, cancel.ids, cancel.batch
        ),
        Calls::CancelRunning => format!(
            "`POST {}`; without an id, ask `GET {list}?{}={}` first",
            cancel.path, names.list.status, names.states.running
        ),
        Calls::CancelOne => format!("`POST {}`", cancel.path),
        Calls::Hide => "nothing: no call of the Jobs API deletes a job".to_owned(),
    }
}

/// The words for states on both sides.
fn states(tables: &Tables) -> String {
    let states = &tables.comfyui.names.states;
    let rows = [
        (&states.pending, "in `queue_pending`", "not in `/history`"),
        (&states.running, "in `queue_running`", "not in `/history`"),
        (&states.completed, "in neither", "`success`, and `completed` is true"),
        (
            &states.failed,
            "in neither",
            "`error`, with an `execution_error` message",
        ),
        (
            &states.cancelled,
            "in neither",
            "`error`, with an `execution_interrupted` message",
        ),
    ];
    let mut out = String::from(
        "| Jobs API `status` | `/queue` | `/history`: `status.status_str` | `/api/job/{id}/status`: `status` |\n\
         | --- | --- | --- | --- |\n",
    );
    for (word, queue, history) in rows {
        let status = status_word(tables, word).map_or_else(|| "as it is".to_owned(), |shown| format!("`{shown}`"));
        let _ = writeln!(out, "| `{word}` | {queue} | {history} | {status} |");
    }
    out
}

/// What the table of job states makes of a state, where it has one value for each word.
fn status_word(tables: &Tables, word: &str) -> Option<String> {
    let rows = tables.answers.job_status.table.rows.iter().map(|row| row.get_ref());
    let mut values = rows.flat_map(|row| &row.from).filter_map(|source| {
        let source = source.get_ref();
        let is_map = source.get("derive").and_then(toml::Value::as_str) == Some("map");
        let is_of_states =
            source.get("of").and_then(toml::Value::as_str) == Some(&tables.comfyui.names.job.state.to_string());
        (is_map && is_of_states).then(|| source.get("values"))?
    });
    let shown = values.find_map(|values| values.get(word))?;
    Some(shown.as_str().map_or_else(|| shown.to_string(), str::to_owned))
}

/// A section: a row a field.
fn fields(table: &super::Table) -> String {
    let (made, of) = match table.name.as_str() {
        "v2_job" => ("Jobs API", "Comfy API v2"),
        "v2_submit" => ("Comfy API v2", "POST /prompt"),
        "v2_submitted" | "v2_refused" => ("POST /prompt", "Comfy API v2"),
        _ => ("legacy field", "Jobs API"),
    };
    let mut out = format!(
        "### {}\n\n{}\n\n| {} | {} | fidelity | note |\n| --- | --- | --- | --- |\n",
        table.name, table.about, made, of
    );
    for row in quoted_rows(table) {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            cell(&row.to),
            cell(&row.from),
            row.fidelity,
            cell(&row.note)
        );
    }
    out
}
