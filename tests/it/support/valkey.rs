//! A real Valkey or Redis, started for one test, and a way to it that can be cut.

use super::{
    StateFolder,
    needs::{is_left_out, missing},
    wait::{PATIENCE, until},
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// The server; killed when dropped.
pub struct Valkey {
    child: Option<Child>,
    folder: StateFolder,
    port: u16,
    more: Vec<String>,
}

impl Valkey {
    /// The program, whatever it is called here.
    pub fn program() -> &'static str {
        let is_there = |name: &&str| {
            let asked = Command::new(name)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        };
        let found = ["valkey-server", "redis-server"].into_iter().find(is_there);
        found.unwrap_or_else(|| panic!("{}", missing("redis-server", "redis-server")))
    }

    pub fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    }

    /// Starts one that writes every change to its disk, with these settings too; `None` where its tests are left out.
    pub fn start(name: &str, more: &[&str]) -> Option<Self> {
        if is_left_out("redis-server") {
            return None;
        }
        let folder = StateFolder::new(&format!("valkey-{name}"));
        fs::create_dir_all(&folder.path).expect("a folder");
        let mut valkey = Self {
            child: None,
            folder,
            port: Self::free_port(),
            more: more.iter().map(|&setting| setting.to_owned()).collect(),
        };
        valkey.restart();
        Some(valkey)
    }

    /// Starts it at its port again, with what it had written.
    pub fn restart(&mut self) {
        self.kill();
        let child = Command::new(Self::program())
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--appendonly",
                "yes",
                "--save",
                "",
            ])
            .args(&self.more)
            .arg("--dir")
            .arg(&self.folder.path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("it starts"));
        let begun = Instant::now();
        while self.says("PING").is_none_or(|said| said.starts_with("-LOADING")) {
            assert!(begun.elapsed() < PATIENCE, "it does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is killed");
            child.wait().expect("it ends");
        }
    }

    /// Takes away all that it had written.
    pub fn forget(&mut self) {
        self.kill();
        fs::remove_dir_all(&self.folder.path).expect("its folder");
        fs::create_dir_all(&self.folder.path).expect("a folder");
    }

    /// Ends it, and what it has written is what it had written when it was copied.
    pub fn bring_back(&mut self, copy: &StateFolder) {
        self.forget();
        copy_all(&copy.path, &self.folder.path);
        self.restart();
    }

    /// A copy of what it has written by now.
    pub fn copied(&self, name: &str) -> StateFolder {
        let copy = StateFolder::new(&format!("valkey-copy-{name}"));
        fs::create_dir_all(&copy.path).expect("a folder");
        copy_all(&self.folder.path, &copy.path);
        copy
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, as `--state` takes it.
    pub fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}", self.port)
    }

    /// What it says to a command in one line; `None` where it says nothing.
    pub fn says(&self, command: &str) -> Option<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        connection.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut said = vec![0; 65_536];
        let length = connection.read(&mut said).ok().filter(|length| *length > 0)?;
        said.truncate(length);
        Some(String::from_utf8_lossy(&said).into_owned())
    }

    /// How many commands it was sent in its life, this question among them.
    pub fn commands(&self) -> u64 {
        let said = self.says("INFO stats").expect("it answers");
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|count| count.trim().parse().ok()).expect("a count")
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir_all(&to).expect("a folder");
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a [`Way`] does with what goes along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Traffic {
    /// It goes on at once.
    Flows,
    /// It lies still, in both directions.
    Stands,
    /// Connections are cut, and no new one is taken.
    Cut,
}

/// A way to a server: connections that are relayed, held up or cut, as a test orders.
pub struct Way {
    port: u16,
    traffic: Arc<AtomicU8>,
    /// How long each piece takes, in ms.
    delay: Arc<AtomicU64>,
}

impl Way {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let way = Self {
            port: listener.local_addr().expect("an address").port(),
            traffic: Arc::new(AtomicU8::new(Traffic::Flows as u8)),
            delay: Arc::default(),
        };
        let (traffic, delay) = (Arc::clone(&way.traffic), Arc::clone(&way.delay));
        // It ends with the program of the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if traffic.load(SeqCst) == Traffic::Cut as u8 {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let (traffic, delay) = (Arc::clone(&traffic), Arc::clone(&delay));
                    thread::spawn(move || relay(from, to, &traffic, &delay));
                }
            }
        });
        way
    }

    pub fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}", self.port)
    }

    pub fn is(&self, traffic: Traffic) {
        self.traffic.store(traffic as u8, SeqCst);
    }

    /// Each piece takes so long from now on.
    pub fn takes(&self, delay: Duration) {
        self.delay
            .store(u64::try_from(delay.as_millis()).expect("a short time"), SeqCst);
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, traffic: &AtomicU8, delay: &AtomicU64) {
    let mut piece = vec![0; 65_536];
    from.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
    loop {
        let is = traffic.load(SeqCst);
        if is == Traffic::Cut as u8 {
            break;
        }
        if is == Traffic::Stands as u8 {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                thread::sleep(Duration::from_millis(delay.load(SeqCst)));
                if to.write_all(&piece[..length]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    let _ = (
        from.shutdown(std::net::Shutdown::Both),
        to.shutdown(std::net::Shutdown::Both),
    );
}

/// Waits until a program's admin listener says that it is ready, or that it is not.
pub async fn until_ready(client: &super::Client, admin: std::net::SocketAddr, ready: bool) {
    let expected = if ready { 200 } else { 503 };
    until("readiness", async || {
        client.get(admin, "/readyz").await.status == expected
    })
    .await;
}
