//! `jobshim report`: who still calls the legacy surface, as a table, with a verdict for each route.

use super::arguments::ReportFormat;
use crate::routes::Endpoint;
use crate::{
    admin::ask,
    config::{has_sound_port, shown_url},
    http::outside::Outside,
    telemetry::{Client, Clients, Use},
};
use http::{StatusCode, Uri};
use std::{fmt::Write as _, time::Duration};

/// How long the running jobshim may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const DAY: u64 = 86_400_000;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no URL.
    #[error("{:?} is no URL of an admin listener: write one such as http://127.0.0.1:8186", shown_url(.0))]
    Url(String),
    /// Nobody answers, or not as jobshim would.
    #[error("{0} does not answer as the admin listener of jobshim: {1}")]
    Answer(String, String),
}

/// Asks the jobshim whose admin listener is at `admin`, and says what it has seen. A route is unused after `days`
/// without a call.
pub async fn run(admin: &str, days: u64, format: ReportFormat) -> Result<String, ReportError> {
    let base = admin.trim_end_matches('/');
    let uri: Uri = format!("{base}/usage?days={days}")
        .parse()
        .map_err(|_| ReportError::Url(admin.to_owned()))?;
    if uri.scheme_str() != Some("http")
        || uri
            .authority()
            .is_none_or(|host| host.as_str().contains('@') || !has_sound_port(host))
    {
        return Err(ReportError::Url(admin.to_owned()));
    }
    let refuse = |reason: String| ReportError::Answer(base.to_owned(), reason);
    let (status, text) = ask(uri, PATIENCE).await.map_err(refuse)?;
    if status != StatusCode::OK {
        return Err(refuse(format!(
            "{status}: {}",
            Outside::many(String::from_utf8_lossy(&text).trim_end())
        )));
    }
    let seen: Shown = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    Ok(match format {
        ReportFormat::Text => report(&seen, days, base),
        ReportFormat::Json => format!("{}\n", String::from_utf8_lossy(&text).trim_end()),
    })
}

/// `/usage`.
#[derive(serde::Deserialize)]
pub struct Shown {
    now_ms: u64,
    #[serde(flatten)]
    clients: Clients,
    verdicts: Vec<RouteVerdict>,
}

/// What the running jobshim says of a route.
#[derive(serde::Deserialize)]
struct RouteVerdict {
    route: String,
    words: String,
    next_step: String,
    bad: bool,
    at_ms: Option<u64>,
}

/// The whole report.
pub fn report(shown: &Shown, days: u64, admin: &str) -> String {
    let (seen, now) = (&shown.clients, shown.now_ms);
    let mut out = format!(
        "Legacy calls that {admin} has seen since {}\n\n",
        ago(now, seen.since_ms)
    );
    let mut rows = vec![
        [
            "client",
            "addresses",
            "credential",
            "route",
            "calls",
            "translated",
            "first",
            "last",
        ]
        .map(str::to_owned),
    ];
    for client in &seen.clients {
        for (route, used) in legacy_routes().filter_map(|route| Some((route, client.routes.get(route.name())?))) {
            rows.push([
                shown_agent(client),
                client.who.addresses.clone(),
                client.who.credential.clone().unwrap_or_else(|| "none".to_owned()),
                route.shown().to_owned(),
                used.count.to_string(),
                percent(used.translated, used.count),
                ago(now, used.first_seen_ms),
                ago(now, used.last_seen_ms),
            ]);
        }
    }
    if rows.len() > 1 {
        table(&mut out, &rows);
        out.push('\n');
    }
    let head = ["route", "verdict", "calls", "next step"].map(str::to_owned);
    let verdicts = legacy_routes().filter_map(|route| {
        let told = shown.verdicts.iter().find(|told| told.route == route.name())?;
        let mark = if told.bad { "! " } else { "" };
        let when = told.at_ms.map_or_else(String::new, |at| format!(" ({})", ago(now, at)));
        Some([
            route.shown().to_owned(),
            format!("{mark}{}{when}", told.words),
            calls(route, seen, now, days),
            told.next_step.clone(),
        ])
    });
    let verdicts: Vec<[String; 4]> = std::iter::once(head).chain(verdicts).collect();
    table(&mut out, &verdicts);
    out
}

fn legacy_routes() -> impl Iterator<Item = Endpoint> {
    Endpoint::ALL.into_iter().filter(|route| route.is_legacy())
}

/// Who calls a route, or for how long nobody has.
fn calls(route: Endpoint, seen: &Clients, now: u64, days: u64) -> String {
    let mut users: Vec<(&Client, &Use)> = seen
        .clients
        .iter()
        .filter_map(|client| Some((client, client.routes.get(route.name())?)))
        .collect();
    users.sort_by_key(|(_, used)| std::cmp::Reverse(used.last_watched_ms));
    // By how long jobshim watched, not by the clock: it may have been set, and jobshim may not have run.
    let quiet = seen.quiet_days(route);
    let plural = if quiet == 1 { "day" } else { "days" };
    let is_recent = |used: &Use| seen.watched_ms.saturating_sub(used.last_watched_ms) / DAY < days;
    let mut holding = users
        .iter()
        .filter(|(_, used)| is_recent(used))
        .map(|(client, _)| format!("{} ({})", shown_agent(client), client.who.addresses));
    match (users.first(), holding.next(), holding.count()) {
        (Some((_, last)), Some(one), 0) => format!("held up by {one}; last call {}", ago(now, last.last_seen_ms)),
        (Some((_, last)), Some(one), more) => {
            format!(
                "held up by {one} and {more} more; last call {}",
                ago(now, last.last_seen_ms)
            )
        }
        _ if quiet < days => format!("none for {quiet} {plural}: too early to tell before {days}"),
        _ => format!("none for {quiet} {plural}"),
    }
}

fn shown_agent(client: &Client) -> String {
    match client.who.agent.as_str() {
        "" => "(no user agent)".to_owned(),
        agent => agent.to_owned(),
    }
}

/// A share as the page shows it: a few of many are never 0 %, and all but a few never 100 %.
fn percent(part: u64, all: u64) -> String {
    if part == 0 || all == 0 {
        return "0 %".to_owned();
    }
    if part >= all {
        return "100 %".to_owned();
    }
    let exact = 100.0 * part as f64 / all as f64;
    if exact < 0.1 {
        return "< 0.1 %".to_owned();
    }
    if exact > 99.9 {
        return "> 99.9 %".to_owned();
    }
    let digits = usize::from(!(10.0..=90.0).contains(&exact));
    let text = format!("{exact:.digits$}");
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// How far apart two readings of a clock may be that was set a little between them, in ms.
const SET_A_LITTLE: u64 = 60_000;

/// How long ago, in the largest unit that fits.
fn ago(now: u64, then: u64) -> String {
    if then > now.saturating_add(SET_A_LITTLE) {
        return "at an unknown time: the clock was ahead then".to_owned();
    }
    let seconds = now.saturating_sub(then) / 1000;
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// Writes rows in columns, each as wide as its widest cell.
fn table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}  ", width = width(column));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{migration::verdict::Verdict, telemetry::ClientId};

    /// Watched since the day 50 of the clock.
    fn client(agent: &str, route: &str, last_seen_ms: u64) -> Client {
        let used = Use {
            count: 4,
            translated: 3,
            failed: 0,
            first_seen_ms: 0,
            last_seen_ms,
            last_watched_ms: last_seen_ms.saturating_sub(50 * DAY),
        };
        Client {
            who: ClientId {
                agent: agent.to_owned(),
                addresses: "192.0.2.0/24".to_owned(),
                credential: None,
            },
            routes: [(route.to_owned(), used)].into(),
        }
    }

    fn told(route: Endpoint, verdict: &Verdict) -> RouteVerdict {
        let shown = verdict.shown(route.name());
        RouteVerdict {
            route: shown.route.to_owned(),
            words: shown.words,
            next_step: shown.next_step.to_owned(),
            bad: shown.bad,
            at_ms: shown.at_ms,
        }
    }

    /// What is seen at `now_ms`; every route is translated, or unused for 30 days.
    fn shown(clients: Clients, now_ms: u64) -> Shown {
        let verdicts = legacy_routes().map(|route| match clients.quiet_days(route) {
            days @ 30.. => told(route, &Verdict::Unused(days)),
            _ => told(route, &Verdict::Translated),
        });
        let verdicts: Vec<RouteVerdict> = verdicts.collect();
        Shown {
            now_ms,
            clients,
            verdicts,
        }
    }

    #[test]
    fn each_route_has_a_verdict() {
        let now = 100 * DAY;
        let seen = Clients {
            since_ms: 50 * DAY,
            watched_ms: 50 * DAY,
            clients: vec![
                client("requests/2", "history", now - 120_000),
                client("curl/8", "history", now - 3 * DAY),
                client("gone/1", "queue", now - 41 * DAY),
            ],
        };
        let text = report(&shown(seen.clone(), now), 30, "http://a");
        let verdict = |route: &str| {
            let verdict = text.lines().rev().find_map(|line| line.strip_prefix(route));
            verdict.unwrap_or_else(|| panic!("{route}: {text}")).trim().to_owned()
        };
        let history = verdict("GET /history ");
        assert!(history.starts_with("translated: "), "{history}");
        assert!(
            history.contains("held up by requests/2 (192.0.2.0/24) and 1 more; last call 2 minutes ago"),
            "{history}"
        );
        for (route, days) in [("GET /queue ", 41), ("POST /interrupt ", 50)] {
            let verdict = verdict(route);
            let words = format!("unused for {days} days: safe to remove, the server's own endpoint and jobshim for it");
            assert!(verdict.starts_with(&words), "{verdict}");
            assert!(verdict.contains(&format!("none for {days} days")), "{verdict}");
        }
        // For most of the time, jobshim did not run.
        let short = Clients {
            watched_ms: 20 * DAY,
            clients: Vec::new(),
            ..seen
        };
        let text = report(&shown(short, now), 30, "http://a");
        assert!(text.contains("none for 20 days: too early to tell before 30"), "{text}");
        assert!(!text.contains("safe to remove"), "{text}");
    }

    #[test]
    fn what_is_bad_is_marked_and_a_rollback_says_when_and_a_few_of_many_are_not_0_percent() {
        let now = 100 * DAY;
        let mut called = client("curl/8", "history", now);
        for used in called.routes.values_mut() {
            (used.count, used.translated) = (1000, 4);
        }
        let seen = Clients {
            since_ms: 50 * DAY,
            watched_ms: 50 * DAY,
            clients: vec![called],
        };
        let mut shown = shown(seen, now);
        let back = Verdict::RolledBack {
            reason: "20 of 20 jobs differ".to_owned(),
            at_ms: now - 2 * 3_600_000,
        };
        for told_of in &mut shown.verdicts {
            if told_of.route == Endpoint::History.name() {
                *told_of = told(Endpoint::History, &back);
            }
        }
        let text = report(&shown, 30, "http://a");
        assert!(
            text.contains("  ! rolled back: 20 of 20 jobs differ (2 hours ago)  "),
            "{text}"
        );
        assert_eq!(text.matches('!').count(), 1, "{text}");
        assert!(text.contains("  0.4 %  "), "{text}");
        let shares = [
            (0, 5),
            (5, 5),
            (0, 0),
            (1, 10_000),
            (9_999, 10_000),
            (996, 1000),
            (1, 3),
            (96, 100),
            (10, 100),
        ];
        assert_eq!(
            shares.map(|(part, all)| percent(part, all)),
            [
                "0 %", "100 %", "0 %", "< 0.1 %", "> 99.9 %", "99.6 %", "33 %", "96 %", "10 %"
            ]
        );
    }

    #[test]
    fn a_clock_that_leaps_makes_no_route_safe_to_remove() {
        let now = 100 * DAY;
        let seen = Clients {
            since_ms: 99 * DAY,
            watched_ms: DAY,
            clients: vec![Client {
                routes: [(
                    "history".to_owned(),
                    Use {
                        count: 1,
                        last_seen_ms: now,
                        last_watched_ms: DAY,
                        ..Use::default()
                    },
                )]
                .into(),
                ..client("curl/8", "history", now)
            }],
        };
        let ahead = report(&shown(seen.clone(), now + 1_000 * DAY), 30, "http://a");
        assert!(!ahead.contains("safe to remove"), "{ahead}");
        assert!(ahead.contains("held up by curl/8 (192.0.2.0/24)"), "{ahead}");
        let back = report(&shown(seen, now - 50 * DAY), 30, "http://a");
        assert!(!back.contains("safe to remove") && !back.contains("just now"), "{back}");
        assert!(
            back.contains("last call at an unknown time: the clock was ahead then"),
            "{back}"
        );
    }
}
