//! What `/metrics` says of the process is what Linux says of it.

use crate::support::{Client, metrics::Metrics, program::Program, upstream::Scripted, wait::until};
use jobshim::telemetry::now_ms;
use std::net::{SocketAddr, TcpStream};

async fn started() -> (Program, SocketAddr, SocketAddr) {
    let upstream = Scripted::always(200, &[], "{}").await;
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &upstream.url()];
    let mut program = Program::start(&arguments, &[("JOBSHIM_ADMIN", "127.0.0.1:0")]);
    let (address, admin) = (program.address(), program.admin());
    (program, address, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_threads_and_limits_are_those_of_the_process() {
    let begun = now_ms() as f64 / 1_000.0;
    let (program, _, admin) = started().await;
    let client = Client::new();
    let near = |shown: f64, kib: u64| (0.9..1.1).contains(&(shown / (kib as f64 * 1024.0)));
    // It may grow between two looks.
    until("both see the same memory", async || {
        let shown = Metrics::of(&client, admin).await;
        near(
            shown.value("process_resident_memory_bytes{}"),
            program.resident_memory(),
        )
    })
    .await;
    until("both see the same threads", async || {
        let shown = Metrics::of(&client, admin).await.value("process_threads{}");
        program.proc("status").contains(&format!("Threads:\t{shown}\n"))
    })
    .await;
    let shown = Metrics::of(&client, admin).await;
    let resident = shown.value("process_resident_memory_bytes{}");
    assert!(
        shown.value("process_virtual_memory_bytes{}") > resident,
        "{}",
        shown.text
    );
    let limits = program.proc("limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().next()).expect("a limit");
    assert_eq!(shown.value("process_max_fds{}").to_string(), most);
    // Linux tells the boot in whole seconds.
    let start = shown.value("process_start_time_seconds{}");
    assert!((begun - 2.0..begun + 60.0).contains(&start), "{begun} {start}");
    assert_eq!(
        Metrics::of(&client, admin).await.value("process_start_time_seconds{}"),
        start,
        "it does not move"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_come_and_go_with_connections() {
    const MORE: usize = 50;
    let (_program, address, admin) = started().await;
    let client = Client::new();
    let open = async || Metrics::of(&client, admin).await.value("process_open_fds{}");
    // The start asks the server things, which is gone by now: its connections close when they are seen to be closed.
    let mut looks = Vec::new();
    until("nothing of the start is open any more", async || {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        looks.push(open().await);
        looks.len() > 4 && looks.iter().rev().take(4).all(|look| Some(look) == looks.last())
    })
    .await;
    let before = looks.last().copied().expect("a look");
    assert!(before > 3.0, "{before}");
    let connections: Vec<_> = (0..MORE)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    until("all are open", async || open().await >= before + MORE as f64).await;
    let now = open().await;
    assert!(now < before + MORE as f64 + 10.0, "{before} {now}");
    drop(connections);
    until("all are closed", async || open().await < before + 10.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_time_is_what_the_process_has_used() {
    let (program, address, admin) = started().await;
    let client = Client::new();
    // Fields 14 and 15, in hundredths of a second.
    let used = || {
        let stat = program.proc("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().expect("ticks"));
        ticks.sum::<f64>() / 100.0
    };
    until("it has worked", async || {
        client.get(address, "/history").await;
        used() >= 0.2
    })
    .await;
    let before = used();
    let shown = Metrics::of(&client, admin).await.value("process_cpu_seconds_total{}");
    assert!((before..=used()).contains(&shown), "{before} {shown}");
}
