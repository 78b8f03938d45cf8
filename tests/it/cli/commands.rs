//! The program as people start it: commands, log lines, exit codes, signals.

use crate::support::{
    Client, TableFolder as Folder,
    program::{Program, run},
    upstream::Scripted,
    wait::until,
};
use http::Method;
use jobshim::demo::{Board, Job, Options, Rules, Simulator};
use std::process::Output;
use tokio::net::TcpListener;

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

#[tokio::test(flavor = "multi_thread")]
async fn serve_logs_one_line_when_it_listens_and_one_when_the_dialect_is_known() {
    for (rules, dialect) in [
        (Rules::Comfyui, "comfyui"),
        (Rules::ComfyuiEarly, "comfyui"),
        (Rules::Cloud, "cloud"),
    ] {
        let simulator = Simulator::start(one_job(rules), Options::default())
            .await
            .expect("a simulator");
        let mut program = Program::before(&simulator.url(), &[]);
        let address = program.address();
        let known = program.line_with("the upstream's dialect is known");
        assert!(known.contains(&format!("dialect={dialect}")), "{known}");
        let reply = Client::new().get(address, "/history/only-one").await;
        assert!(
            reply.text().starts_with(r#"{"only-one": {"prompt": [7, "only-one""#),
            "{}",
            reply.text()
        );
        program.signal("TERM");
        assert_eq!(program.end().code(), Some(0));
        for text in ["listening", "dialect is known", "stopping"] {
            let count = program.log.iter().filter(|line| line.contains(text)).count();
            assert_eq!(count, 1, "{text}: {:#?}", program.log);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_starts_while_the_upstream_is_down_and_says_so() {
    let mut program = Program::start(
        &["serve", "--listen", "127.0.0.1:0", "--log-format", "json"],
        &[("JOBSHIM_UPSTREAM", "http://127.0.0.1:9")],
    );
    let listening: serde_json::Value = serde_json::from_str(&program.line_with("listening")).expect("a line of JSON");
    assert_eq!(listening["level"], "INFO");
    let warned: serde_json::Value = serde_json::from_str(&program.line_with("dialect is not known")).expect("JSON");
    assert_eq!(warned["level"], "WARN");
    let reason = warned["reason"].as_str().expect("a reason");
    assert!(reason.contains("127.0.0.1:9") && reason.contains("refused"), "{reason}");
    let address = listening["address"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address");
    assert_eq!(Client::new().get(address, "/queue").await.status, 502);
    program.signal("INT");
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_in_flight_answers_finish_and_takes_no_new_connection() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let mut program = Program::before(&upstream.url(), &[]);
    let address = program.address();
    let in_flight = tokio::spawn(async move { Client::new().get(address, "/history/only-one").await });
    gate.until_came(1).await;
    program.signal("TERM");
    program.line_with("stopping");
    until("no connection is taken any more", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    gate.open();
    let reply = in_flight.await.expect("an answer");
    assert!(reply.text().contains("only-one"), "{}", reply.text());
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_longer_than_the_drain_timeout() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let url = upstream.url();
    let mut program = Program::before(&url, &["--drain-timeout", "50ms"]);
    let address = program.address();
    let hanging = tokio::spawn(async move {
        Client::new()
            .send(http::Method::GET, address, "/history/only-one", &[], "")
            .await
    });
    gate.until_came(1).await;
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    assert!(
        program.log.iter().any(|line| line.contains("drain timeout is over")),
        "{:#?}",
        program.log
    );
    assert!(hanging.await.expect("a task").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_configuration_ends_with_2_and_a_taken_port_with_1() {
    let output = run(&["--upstream", "nowhere"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("upstream.url = \"nowhere\" (flag --upstream)"),
        "{}",
        stderr(&output)
    );
    let folder = Folder::with("bad-table", &[("queue.toml", "about = 5\n")]);
    let dir = folder.path.display().to_string();
    for command in ["serve", "check"] {
        let output = run(&[command, "--mappings-dir", &dir], &[]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(stderr(&output).contains("queue.toml:1: "), "{}", stderr(&output));
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&["--listen", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    assert_eq!(run(&["--no-such-flag"], &[]).status.code(), Some(2));
}

#[test]
fn check_prints_what_is_in_force_and_where_it_came_from() {
    let output = run(
        &["check", "--upstream", "http://comfy.lan:8188"],
        &[("JOBSHIM_DIALECT", "cloud")],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let fields = |key: &str| -> Vec<String> {
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_else(|| panic!("{key}: {text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        fields("upstream.url"),
        ["upstream.url", "http://comfy.lan:8188", "flag", "--upstream"]
    );
    assert_eq!(
        fields("upstream.dialect"),
        ["upstream.dialect", "cloud", "environment", "JOBSHIM_DIALECT"]
    );
    assert_eq!(fields("upstream.ca_file"), ["upstream.ca_file", "(none)", "default"]);
}

#[test]
fn explain_shows_calls_and_fields() {
    let one = stdout(&run(&["explain", "/history/ID"], &[]));
    for part in [
        "GET /api/jobs/ID",
        "GET /object_info/{class}",
        "prompt[2]",
        "workflow.prompt",
        "prompt[4]",
        "derived",
        "exact",
    ] {
        assert!(one.contains(part), "{part} is not in {one}");
    }
    let queue = stdout(&run(&["explain", "GET", "/api/queue", "--dialect", "cloud"], &[]));
    assert!(
        queue.contains("GET /api/jobs?status=pending,in_progress&limit=1000"),
        "{queue}"
    );
    let passed = stdout(&run(&["explain", "/view?filename=a"], &[]));
    assert!(passed.contains("passes through"), "{passed}");
    assert!(passed.contains("unchanged"), "{passed}");
    for (request, part) in [
        (&["explain", "/view?filename=a"][..], "as /api/view?filename=a"),
        (&["explain", "POST", "/prompt"], "as /api/prompt;"),
        (&["explain", "POST", "/queue"], "POST /api/queue   as it came"),
        (&["explain", "POST", "/api/history"], "POST /api/history   as it came"),
        (
            &["explain", "/api/jobs?sort_by=created_at"],
            "as /api/jobs?sort_by=create_time",
        ),
        (&["explain", "/ws?clientId=a"], "unchanged"),
    ] {
        let cloud = stdout(&run(&[request, &["--dialect", "cloud"]].concat(), &[]));
        assert!(cloud.contains(part), "{part} is not in {cloud}");
    }
    let wrong = stdout(&run(&["explain", "DELETE", "/history"], &[]));
    assert!(wrong.contains("405"), "{wrong}");
    let bad = run(&["explain", "history"], &[]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr(&bad).contains("no target"), "{}", stderr(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_with_an_upstream_does_it() {
    let simulator = Simulator::start(one_job(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let output = run(&["explain", "/history", "--upstream", &simulator.url()], &[]);
    let text = stdout(&output);
    assert!(
        text.contains("200 OK") && text.contains(r#"{"only-one": {"prompt": [7,"#),
        "{text}"
    );
    let down = run(&["explain", "/history", "--upstream", "http://127.0.0.1:9"], &[]);
    assert_eq!(down.status.code(), Some(1));
    assert!(stderr(&down).contains("refused"), "{}", stderr(&down));
}

#[test]
fn mapping_prints_the_files_and_the_guide() {
    for (name, file) in [("history", "answers/history"), ("dialect-cloud", "dialects/cloud")] {
        let file = std::fs::read_to_string(format!("mappings/{file}.toml")).expect("a table");
        assert!(stdout(&run(&["mapping", name], &[])).contains(&file), "{name}");
    }
    let all = stdout(&run(&["mapping"], &[]));
    assert!(all.contains("history_v2_detail") && all.contains("[probe]"));
    let guide = stdout(&run(&["mapping", "--format", "markdown"], &[]));
    for part in [
        "| `prompt[2]` |",
        "`workflow.prompt`, else `observed.prompt` with its inputs as the server converts them, else `{}`",
        "`workflow.extra_data` without `api_key_comfy_org` where that is `[REDACTED]`",
        "| `GET /history/{id}` | `GET /api/jobs/{id}` |",
        "| `POST /history` | nothing: no call of the Jobs API deletes a job |",
        "| `in_progress` | in `queue_running` |",
        "milliseconds since 1970",
        "```python\n# before",
        "```javascript\n// before",
        "exact",
        "derived",
        "lost",
    ] {
        assert!(guide.contains(part), "{part} is not in {guide}");
    }
    for left in [
        "drop(",
        "typed_inputs",
        "unwrap_items",
        "extend(",
        "{endpoints}",
        "{states}",
    ] {
        assert!(!guide.contains(left), "{left} is in {guide}");
    }
    let one = stdout(&run(&["mapping", "queue", "--format", "markdown"], &[]));
    assert!(one.starts_with("### queue") && !one.contains("history"), "{one}");
    let unknown = run(&["mapping", "nothing"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("history_v2"), "{}", stderr(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_curl_line_of_the_demo_shows_what_it_says() {
    for dialect in ["comfyui", "cloud"] {
        try_demo(dialect).await;
    }
}

async fn try_demo(dialect: &str) {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--dialect",
        dialect,
    ];
    let mut program = Program::start(&[&["demo"], &arguments[..]].concat(), &[]);
    program.line_with("Ctrl-C ends it");
    let shown: Vec<&String> = program.log.iter().filter(|line| !line.contains("INFO")).collect();
    for line in &shown {
        assert!(
            line.is_empty() || line.starts_with("# ") || *line == "#" || line.starts_with("curl "),
            "{line}"
        );
    }
    let columns: Vec<Option<usize>> = shown[..3].iter().map(|line| line.rfind("  ")).collect();
    assert!(
        columns[0].is_some() && columns.iter().all(|column| *column == columns[0]),
        "{shown:#?}"
    );
    let page = shown[0]
        .trim_start_matches("# http://")
        .split('/')
        .next()
        .expect("an address");
    let page = Client::new().get(page.parse().expect("an address"), "/").await;
    assert!(page.status == 200 && page.text().contains("<title>"), "{}", page.text());
    let lines: Vec<String> = program
        .log
        .iter()
        .filter(|line| line.starts_with("curl"))
        .cloned()
        .collect();
    assert!(lines.len() >= 10, "{:#?}", program.log);
    let client = Client::new();
    for line in lines {
        let url = line
            .split_whitespace()
            .find_map(|word| word.trim_matches('"').strip_prefix("http://"));
        let (authority, path) = url
            .and_then(|url| url.split_once('/'))
            .unwrap_or_else(|| panic!("{line}"));
        let address = authority.parse().expect("an address");
        let target = format!("/{path}");
        let order = line
            .split_once("-d '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(order, _)| order);
        let reply = match order {
            Some(order) => client.send(Method::POST, address, &target, &[], order.to_owned()).await,
            None => client.send(Method::GET, address, &target, &[], "").await,
        };
        let reply = reply.expect("an answer");
        let wanted = if line.contains("curl -i") { 404 } else { 200 };
        assert_eq!(reply.status, wanted, "{line}");
        assert_eq!(reply.body.is_empty(), order.is_some(), "{line}: {}", reply.text());
        // What was deleted or cleared is not shown any more.
        let left = client.get(address, &target).await.text();
        match order.unwrap_or_default() {
            order if order.contains("clear") => assert!(!left.contains("00000001-"), "{left}"),
            order if order.contains("delete") => {
                let id = order.split('"').nth(3).expect("an id");
                assert!(!left.contains(id), "{left}");
            }
            _ => {}
        }
    }
    program.signal("INT");
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_whether_the_jobshim_of_this_configuration_is_there() {
    let mut program = Program::before("http://127.0.0.1:9", &[]);
    let port = program.address().port();
    // A container's listener has every address, and is asked from inside.
    for listen in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let well = run(&["health"], &[("JOBSHIM_LISTEN", &listen)]);
        assert_eq!(well.status.code(), Some(0), "{listen}: {}", stderr(&well));
        assert!(stdout(&well).contains("admin listener is off"), "{}", stdout(&well));
    }
    let unknown = run(&["health", "--ready", "--listen", &format!("127.0.0.1:{port}")], &[]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stdout(&unknown));
    assert!(stderr(&unknown).contains("--admin"), "{}", stderr(&unknown));
    program.signal("TERM");
    program.end();
    let gone = run(&["health", "--listen", &format!("127.0.0.1:{port}")], &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("refused"), "{}", stderr(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_admin_listener_wherever_its_address_is_configured() {
    let mut upstream = Some(Scripted::always(200, &[], "{}").await);
    let url = upstream.as_ref().map(Scripted::url).unwrap_or_default();
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &url];
    let mut program = Program::start(&arguments, &[]);
    let port = program.admin().port();
    let (address, everywhere) = (format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"));
    let folder = Folder::with(
        "health",
        &[("jobshim.toml", &format!("[admin]\naddress = \"{address}\"\n"))],
    );
    let file = folder.path.join("jobshim.toml");
    let file = file.to_str().expect("a path");
    // An address at which nobody listens: it is not asked.
    let listen = ("JOBSHIM_LISTEN", "127.0.0.1:9");
    let ask = |word: &str, arguments: &[&str], admin: &str| {
        let asked = run(&[&["health"], arguments].concat(), &[listen, ("JOBSHIM_ADMIN", admin)]);
        let said = stdout(&asked) + &stderr(&asked);
        assert!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        asked.status.code()
    };
    for (arguments, admin) in [
        (&["--admin", &address][..], "off"),
        (&[], &address),
        (&[], &everywhere),
        (&["--config", file], ""),
    ] {
        assert_eq!(ask("alive", arguments, admin), Some(0));
        assert_eq!(
            ask("\"ready\":true", &[&["--ready"], arguments].concat(), admin),
            Some(0)
        );
    }
    drop(upstream.take());
    Client::new().get(program.address(), "/x").await;
    assert_eq!(
        ask("alive", &[], &address),
        Some(0),
        "its server is away, and it is well"
    );
    assert_eq!(ask("refused", &["--ready"], &address), Some(1));
    program.signal("TERM");
    program.end();
    for arguments in [&[][..], &["--ready"]] {
        assert_eq!(ask("refused", arguments, &address), Some(1));
    }
}

#[test]
fn man_pages_and_completions_lie_beside_the_program_and_know_every_flag() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_jobshim"));
    let share = program.parent().expect("a folder").join("share");
    let read = |name: &str| {
        let path = share.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let page = read("man/man1/jobshim-serve.1").replace("\\-", "-");
    let completions = [
        "bash-completion/completions/jobshim.bash",
        "zsh/site-functions/_jobshim",
        "fish/vendor_completions.d/jobshim.fish",
    ]
    .map(read);
    for key in jobshim::config::keys() {
        let name = key.flag.trim_start_matches("--");
        assert!(page.contains(key.flag), "{} is not in the man page", key.flag);
        for completion in &completions {
            assert!(completion.contains(name), "{} is not in the completions", key.flag);
        }
    }
    for command in ["demo", "check", "doctor", "health", "explain", "mapping"] {
        assert!(
            read(&format!("man/man1/jobshim-{command}.1")).contains(".TH"),
            "{command}"
        );
        assert!(
            completions.iter().all(|completion| completion.contains(command)),
            "{command}"
        );
    }
    let bash = share.join("bash-completion/completions/jobshim.bash");
    let checked = std::process::Command::new("bash")
        .arg("-n")
        .arg(bash)
        .status()
        .expect("bash");
    assert!(checked.success());
}
