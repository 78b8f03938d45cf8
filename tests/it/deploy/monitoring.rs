//! The dashboard and the alert rules ask for what `/metrics` has: every metric, every label, every word of one. What PromQL
//! itself thinks of them is asked by `tests/deploy/monitoring.py`.

use super::file;
use crate::support::{
    Client,
    documents::document,
    metrics::Metrics,
    program::Program,
    server::board,
    surfaces::{Surfaces, legacy},
    wait::until,
};
use jobshim::{demo::Rules, telemetry::Compared};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const ALERT_TESTS: &str = "deploy/prometheus/alerts_test.yaml";
const DASHBOARD: &str = "deploy/grafana/jobshim.json";

/// By metric, the words of each of its labels that are known.
type Known = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What the program shows after some requests, with the words that it did not have to say.
async fn known() -> Known {
    let server = Surfaces::start(board(Rules::Comfyui), vec![legacy("/history", r#"{"a": {}}"#)]).await;
    let url = server.url();
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &url];
    let routes = [
        ("JOBSHIM_ADMIN", "127.0.0.1:0"),
        ("JOBSHIM_ROUTES", "history=shadow;queue=canary:50"),
    ];
    let mut program = Program::start(&arguments, &routes);
    let (address, admin) = (program.address(), program.admin());
    let client = Client::new();
    for target in ["/history", "/queue", "/other"] {
        client.get(address, target).await;
    }
    until("a comparison is counted", async || {
        Metrics::of(&client, admin)
            .await
            .text
            .contains("jobshim_shadow_comparisons_total{")
    })
    .await;
    let mut known = Known::new();
    // It is the scraper's own.
    known.entry("up".to_owned()).or_default();
    let text = Metrics::of(&client, admin).await.text;
    let mut add = |metric: &str, label: &str, word: &str| {
        let labels = known.entry(metric.to_owned()).or_default();
        labels.entry(label.to_owned()).or_default().insert(word.to_owned());
    };
    // Not every system shows all of a process.
    let process = file("tests/pins/process_metrics.txt");
    for line in text.lines().chain(process.lines()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (metric, kind) = rest.split_once(' ').expect("a type");
            let parts: &[&str] = if kind == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            for part in parts {
                for label in ["job", "instance"] {
                    add(&format!("{metric}{part}"), label, "jobshim");
                }
            }
        } else if let Some((metric, rest)) = line.split_once('{') {
            for Matcher { label, word, .. } in matchers(rest).0 {
                add(metric, &label, &word);
            }
        }
    }
    for line in file("tests/pins/metrics.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        if let (Some(metric), Some(label)) = (words.next(), words.next()) {
            words.for_each(|word| add(metric, label, word));
        }
    }
    for &outcome in Compared::ALL {
        add("jobshim_shadow_comparisons_total", "outcome", outcome.name());
    }
    // Fields are those of the tables.
    for label in ["route", "field"] {
        add("jobshim_shadow_differences_total", label, "any");
    }
    for row in document("docs/operating.md").rows() {
        add("jobshim_verdict", "verdict", row[0].trim_matches('`'));
    }
    known
}

#[derive(Debug)]
struct Matcher {
    label: String,
    operator: String,
    word: String,
}

/// The matchers up to a `}`, and what follows it.
fn matchers(mut text: &str) -> (Vec<Matcher>, &str) {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ', '\n']);
        if let Some(rest) = text.strip_prefix('}') {
            return (found, rest);
        }
        let at = text.find(['=', '!']).unwrap_or_else(|| panic!("no matcher: {text}"));
        let (label, rest) = text.split_at(at);
        let (operator, rest) = rest.split_once('"').expect("a word in quotes");
        let (word, rest) = rest.split_once('"').expect("its end");
        found.push(Matcher {
            label: label.trim().to_owned(),
            operator: operator.trim().to_owned(),
            word: word.to_owned(),
        });
        text = rest;
    }
}

/// What an expression asks for.
#[derive(Debug, Default)]
struct Asked {
    metrics: Vec<(String, Vec<Matcher>)>,
    /// Labels that it groups or joins by.
    labels: BTreeSet<String>,
}

/// Reads PromQL as far as names go. A word that it does not know is a mistake.
fn asked(expression: &str) -> Asked {
    const WORDS: [&str; 8] = ["and", "or", "unless", "offset", "bool", "inf", "nan", "time"];
    let uncommented: Vec<&str> = expression
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let expression = uncommented.join("\n");
    let (mut asked, mut text) = (Asked::default(), expression.as_str());
    while let Some(first) = text.chars().next() {
        let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
        if !is_of_word(first) && first != '$' {
            text = &text[first.len_utf8()..];
            continue;
        }
        let end = text
            .find(|letter| !is_of_word(letter) && letter != '$')
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        text = rest;
        let next = rest.trim_start();
        // A number, a time, or one of Grafana's variables.
        if first.is_ascii_digit() || first == '$' || WORDS.contains(&word) {
            continue;
        }
        if ["by", "on", "without", "ignoring", "group_left", "group_right"].contains(&word) {
            let (labels, rest) = next
                .strip_prefix('(')
                .and_then(|rest| rest.split_once(')'))
                .expect("labels");
            asked
                .labels
                .extend(labels.split(',').map(|label| label.trim().to_owned()));
            text = rest;
        } else if let Some(inside) = next.strip_prefix('{') {
            let (matchers, rest) = matchers(inside);
            asked.metrics.push((word.to_owned(), matchers));
            text = rest;
        } else {
            assert!(
                next.starts_with('(') || next.starts_with("by "),
                "{word} is no function, and asks for all jobs: {expression}"
            );
        }
    }
    asked
}

/// What is wrong with an expression, and with the labels that are `shown` of its results.
fn mistakes(known: &Known, place: &str, expression: &str, shown: &[String]) -> Vec<String> {
    let asked = asked(expression);
    let mut wrong = Vec::new();
    let mut all_labels: BTreeSet<&str> = BTreeSet::new();
    for (metric, matchers) in &asked.metrics {
        let Some(labels) = known.get(metric) else {
            wrong.push(format!("{place}: there is no {metric}"));
            continue;
        };
        all_labels.extend(labels.keys().map(String::as_str).chain(["job", "instance"]));
        for Matcher { label, operator, word } in matchers {
            if ["job", "instance"].contains(&label.as_str()) {
                continue;
            }
            let Some(words) = labels.get(label) else {
                wrong.push(format!("{place}: {metric} has no {label}"));
                continue;
            };
            let several = operator.ends_with('~');
            let unknown = word.split('|').filter(|word| !words.contains(*word));
            wrong.extend(unknown.map(|word| format!("{place}: {metric} has no {label} {word}")));
            assert!(several || !word.contains('|'), "{place}: {word}");
        }
    }
    if asked.metrics.is_empty() {
        wrong.push(format!("{place}: it asks for nothing"));
    }
    let missing = asked.labels.iter().filter(|label| !all_labels.contains(label.as_str()));
    wrong.extend(missing.map(|label| format!("{place}: nothing has {label}")));
    let kept: BTreeSet<&str> = match expression.contains("by (") {
        true => asked.labels.iter().map(String::as_str).collect(),
        false => all_labels,
    };
    let lost = shown.iter().filter(|label| !kept.contains(label.as_str()));
    wrong.extend(lost.map(|label| format!("{place}: no result has {label}")));
    wrong
}

/// The names between `before` and `after`.
fn named(text: &str, before: &str, after: &str) -> Vec<String> {
    let rest = text.split(before).skip(1);
    rest.filter_map(|rest| rest.split(after).next())
        .map(|name| name.trim().to_owned())
        .collect()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_yaml_ng::from_str(&file(ALERTS)).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone());
    rules.collect()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let known = known().await;
    let mut wrong = Vec::new();
    for alert in alerts() {
        let annotations = alert["annotations"].as_object().expect("annotations");
        let words: String = annotations.values().map(string).collect();
        let shown: Vec<_> = named(&words, "$labels.", "}");
        wrong.extend(mistakes(
            &known,
            string(&alert["alert"]),
            string(&alert["expr"]),
            &shown,
        ));
    }
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)).expect("JSON");
    let (mut expressions, mut used) = (0, BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (place, expression) = (string(&panel["title"]), string(&target["expr"]));
            let shown = named(string(&target["legendFormat"]), "{{", "}}");
            wrong.extend(mistakes(&known, place, expression, &shown));
            used.extend(asked(expression).metrics.into_iter().map(|(metric, _)| metric));
            expressions += 1;
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        let shown = named(string(&annotation["textFormat"]), "{{", "}}");
        wrong.extend(mistakes(
            &known,
            string(&annotation["name"]),
            string(&annotation["expr"]),
            &shown,
        ));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if variable["type"] == "query" {
            let query = string(&variable["definition"]);
            assert!(query.contains("jobshim_build_info"), "{query}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(expressions > 40, "{expressions} expressions");
    // What is counted and never seen might as well not be.
    let is_shown = |metric: &&String| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| metric.strip_suffix(part));
        let is_used = |part: &str| used.contains(&format!("{}{part}", base.unwrap_or_default()));
        used.contains(*metric) || base.is_some() && ["_bucket", "_sum", "_count"].into_iter().any(is_used)
    };
    let unseen: Vec<_> = known
        .keys()
        .filter(|metric| *metric != "up" && !is_shown(metric))
        .collect();
    assert!(unseen.is_empty(), "the dashboard does not have {unseen:?}");
}

#[test]
fn a_mistake_in_an_expression_is_found() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let labels = BTreeMap::from([("route".to_owned(), words(&["history", "queue"]))]);
    let known = Known::from([("jobshim_a_total".to_owned(), labels)]);
    let wrong = |expression: &str, shown: &str| mistakes(&known, "", expression, &named(shown, "{{", "}}"));
    for (good, shown) in [
        (
            r#"sum by (route) (rate(jobshim_a_total{job=~"$job", route!~"history|queue"}[5m])) > 1e3"#,
            "{{route}}",
        ),
        (r#"jobshim_a_total{route="queue"} offset 5m"#, "{{ instance }}"),
        (
            "# jobshim_gone\nincrease(jobshim_a_total{job=\"a\"}[$__rate_interval])",
            "",
        ),
    ] {
        assert!(wrong(good, shown).is_empty(), "{:?}", wrong(good, shown));
    }
    for (bad, shown, said) in [
        ("rate(jobshim_b_total{}[5m])", "", "there is no jobshim_b_total"),
        (r#"jobshim_a_total{way="queue"}"#, "", "has no way"),
        (r#"jobshim_a_total{route="queues"}"#, "", "has no route queues"),
        (r#"jobshim_a_total{route=~"queue|cue"}"#, "", "has no route cue"),
        ("sum by (mode) (jobshim_a_total{})", "", "nothing has mode"),
        ("sum by (job) (jobshim_a_total{})", "{{route}}", "no result has route"),
        ("time()", "", "it asks for nothing"),
    ] {
        let wrong = wrong(bad, shown);
        assert!(wrong.iter().any(|one| one.contains(said)), "{bad}: {wrong:?}");
    }
}

#[test]
fn every_alert_is_tested_both_ways_and_the_documents_say_what_to_do() {
    let tests: Value = serde_yaml_ng::from_str(&file(ALERT_TESTS)).expect("YAML");
    let tests = tests["tests"].as_array().expect("tests").iter();
    let cases: Vec<&Value> = tests
        .flat_map(|test| test["alert_rule_test"].as_array().expect("cases"))
        .collect();
    let page = document("docs/deploying.md");
    let rows = page.rows();
    for alert in alerts() {
        let name = string(&alert["alert"]);
        let of_it = |fires: bool| {
            let is_it = |case: &&&Value| {
                case["alertname"] == name && case["exp_alerts"].as_array().is_some_and(|all| all.is_empty() != fires)
            };
            cases.iter().filter(is_it).count()
        };
        assert!(of_it(true) > 0 && of_it(false) > 0, "{name} is not tested");
        assert!(
            ["critical", "warning", "info"].contains(&string(&alert["labels"]["severity"])),
            "{name}"
        );
        assert!(
            rows.iter().any(|row| row[0] == format!("`{name}`")),
            "docs/deploying.md does not know {name}"
        );
    }
    let named = rows.iter().filter(|row| row[0].starts_with("`Jobshim")).count();
    assert_eq!(named, alerts().len(), "docs/deploying.md has an alert that is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_has_all_of_them_and_no_other() {
    let part_of = |metric: &str| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| metric.strip_suffix(part));
        base.unwrap_or(metric).to_owned()
    };
    let known: BTreeSet<String> = known()
        .await
        .keys()
        .map(|metric| part_of(metric))
        .filter(|metric| metric != "up")
        .collect();
    let page = document("docs/operating.md");
    let rows = page.rows();
    let cells = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2));
    let metrics = cells.filter(|name| name.starts_with("jobshim_") || name.starts_with("process_"));
    assert_eq!(metrics.map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_chart_has_this_version_and_holds_these_very_rules_and_this_dashboard() {
    let chart: Value = serde_yaml_ng::from_str(&file("deploy/helm/jobshim/Chart.yaml")).expect("YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    // They are links, which a checkout on Windows may not have.
    if cfg!(unix) {
        assert_eq!(file("deploy/helm/jobshim/files/alerts.yaml"), file(ALERTS));
        assert_eq!(file("deploy/helm/jobshim/files/dashboard.json"), file(DASHBOARD));
    }
}
