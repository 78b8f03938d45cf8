//! The program itself, as its users start it.

use super::wait::{PATIENCE, until};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        LazyLock,
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// `JOBSHIM_TEST_PROGRAM`, such as an optimised one, or the one that was built with the tests.
static JOBSHIM: LazyLock<String> = LazyLock::new(|| {
    let other = std::env::var("JOBSHIM_TEST_PROGRAM");
    other.unwrap_or_else(|_| env!("CARGO_BIN_EXE_jobshim").to_owned())
});

/// Where the program is.
pub fn program() -> &'static str {
    &JOBSHIM
}

fn command(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    // Many run at a time; whoever wants the admin listener asks for it.
    command
        .args(arguments)
        .env_clear()
        // Without it there are no sockets on Windows.
        .envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)))
        .env("JOBSHIM_ADMIN", "off")
        .envs(environment.iter().copied());
    command
}

/// Runs it to its end, which must not be far.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = command(&JOBSHIM, arguments, environment);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the program runs");
    let (stdout, stderr) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().expect("it is killed");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = [stdout, stderr].map(|reading| reading.join().expect("a reader"));
    Output { status, stdout, stderr }
}

/// Reads a stream to its end, beside everything else.
fn all_of(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("a pipe");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("bytes");
        bytes
    })
}

/// The program while it runs; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    /// Log lines read so far.
    pub log: Vec<String>,
}

impl Program {
    /// Starts it; nothing is waited for.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(command(&JOBSHIM, arguments, environment))
    }

    /// The same, started by `timeout`: a signal goes there.
    pub fn start_under_timeout(arguments: &[&str]) -> Self {
        Self::run(command("timeout", &[&["600", &JOBSHIM], arguments].concat(), &[]))
    }

    /// The same, and a write beyond [`Program::limit_files`] is an error instead of its end.
    pub fn start_with_failing_writes(arguments: &[&str]) -> Self {
        let shell = ["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", &JOBSHIM];
        Self::run(command("sh", &[&shell, arguments].concat(), &[]))
    }

    /// How many bytes a file may have that it writes, or `unlimited`.
    pub fn limit_files(&self, bytes: &str) {
        let limited = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={bytes}:")])
            .status();
        assert!(limited.expect("prlimit").success());
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        let (out, err) = (
            child.stdout.take().expect("stdout"),
            child.stderr.take().expect("stderr"),
        );
        for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            log: Vec::new(),
        }
    }

    /// Starts it in front of `upstream`, on a port of its own, with these arguments too.
    pub fn before(upstream: &str, more: &[&str]) -> Self {
        Self::start(
            &[&["--listen", "127.0.0.1:0", "--upstream", upstream], more].concat(),
            &[],
        )
    }

    /// Waits for a line that contains `text`, and gives it.
    pub fn line_with(&mut self, text: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} in {:#?}", self.log));
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Where it listens, by its log.
    pub fn address(&mut self) -> SocketAddr {
        self.address_in("listening", "address=")
    }

    /// Where it shows what it does, by its log.
    pub fn admin(&mut self) -> SocketAddr {
        self.address_in("can be seen", "admin=")
    }

    fn address_in(&mut self, words: &str, name: &str) -> SocketAddr {
        let line = self.line_with(words);
        let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{line}"));
        let address = rest.split_whitespace().next().unwrap_or_default();
        address.parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// The most memory it ever held, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.memory_line("VmHWM:")
    }

    /// Lets [`Self::peak_memory`] begin anew with what is resident now, which it gives.
    pub fn reset_peak_memory(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("a process");
        self.memory_line("VmRSS:")
    }

    /// The memory that it holds now and no file backs, in KiB.
    pub fn memory(&self) -> u64 {
        self.memory_line("RssAnon:")
    }

    /// The memory that it holds now, in KiB.
    pub fn resident_memory(&self) -> u64 {
        self.memory_line("VmRSS:")
    }

    /// What Linux says of it in this file of its own, such as `limits`.
    pub fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("a process")
    }

    fn memory_line(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
        let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        number.expect("a number of KiB")
    }

    /// Waits until it has read and handled whatever it was sent: all of its threads sleep, in five looks in a row.
    pub async fn until_at_rest(&self) {
        let mut times = 0;
        until("it is at rest", async || {
            times = if self.all_threads_sleep() { times + 1 } else { 0 };
            times == 5
        })
        .await;
    }

    fn all_threads_sleep(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process");
        threads.flatten().all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let state = status.lines().find_map(|line| line.strip_prefix("State:"));
            state.is_none_or(|state| state.trim_start().starts_with('S'))
        })
    }

    /// How many descriptors it holds.
    pub fn open_files(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        folder.expect("a process").count()
    }

    /// Waits until it holds at most so many.
    pub async fn until_open_files(&self, most: usize) {
        until(&format!("{most} descriptors"), async || self.open_files() <= most).await;
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end, and reads the rest of its log.
    pub fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "never: the end of the program");
            thread::sleep(Duration::from_millis(2));
        };
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push(line);
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
