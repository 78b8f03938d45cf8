//! Who is compared, and how each is started: in a process of its own, on the proxies' core.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Nginx,
    Haproxy,
    Lua,
    Bare,
    Jobshim,
    Against,
}

impl Peer {
    pub const ALL: [Self; 6] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Lua,
        Self::Bare,
        Self::Jobshim,
        Self::Against,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Lua => "nginx+lua",
            Self::Bare => "bare",
            Self::Jobshim => "jobshim",
            Self::Against => "against",
        }
    }
}

/// Whether a row is answered from memory, and by whose work otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nobody's: passed through.
    Passed,
    /// Made anew for each request.
    Not,
    /// From memory.
    Yes,
}

/// The core that the proxies have, and the one of load and upstream.
pub struct Cores {
    pub proxy: usize,
    pub load: usize,
}

/// A process that listens; ends with its owner.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Starts `program` on `core` and waits until it listens.
    fn start(core: usize, mut program: Command, address: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new("taskset");
        command
            .args(["-c", &core.to_string()])
            .arg(program.get_program())
            .args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                return Err(io::Error::other(format!("{:?} does not listen", program.get_program())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        program.stdin(Stdio::null());
        Ok(Self { child, address })
    }

    /// The body of a GET.
    pub fn get(&self, target: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        match end {
            Some(end) if answer.starts_with(b"HTTP/1.1 200") => Ok(answer.split_off(end + 4)),
            _ => Err(io::Error::other(format!(
                "GET {target}: {}",
                String::from_utf8_lossy(&answer)
            ))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // nginx's worker ends when its master is asked to, not when that is killed.
        let asked = Command::new("kill").arg(self.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while asked.is_ok() && Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes of one comparison.
pub struct Bench {
    pub folder: PathBuf,
    pub cores: Cores,
    pub upstream: Process,
    /// Why a peer is not there.
    pub skipped: Vec<String>,
    running: Vec<(Peer, Kept, Process)>,
}

impl Bench {
    pub fn start(against: Option<&Path>) -> io::Result<Self> {
        for needed in ["taskset", "wrk"] {
            if !installed(needed) {
                return Err(io::Error::other(format!(
                    "{needed} is needed (Debian: wrk, util-linux)"
                )));
            }
        }
        let folder = env::temp_dir().join(format!("jobshim-peers-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let cores = Cores {
            proxy: 0,
            load: usize::from(several),
        };
        let address = free_address()?;
        let upstream = Process::start(cores.load, bare("upstream", address, None)?, address)?;
        let mut bench = Self {
            folder,
            cores,
            upstream,
            skipped: Vec::new(),
            running: Vec::new(),
        };
        if !several {
            bench.skipped.push("one core only: load and proxy share it".to_owned());
        }
        bench.start_servers()?;
        for (role, kept) in [("pass", Kept::Passed), ("splice", Kept::Not), ("memory", Kept::Yes)] {
            let address = free_address()?;
            let program = bare(role, address, Some(bench.upstream.address))?;
            bench.add(Peer::Bare, kept, program, address)?;
        }
        let own = Path::new(env!("CARGO_BIN_EXE_jobshim"));
        for (peer, binary) in [(Peer::Jobshim, Some(own)), (Peer::Against, against)] {
            let Some(binary) = binary else { continue };
            for (kept, max_bytes) in [(Kept::Not, "0"), (Kept::Yes, "128MiB")] {
                let address = free_address()?;
                let mut program = Command::new(binary);
                program.args(["--listen", &address.to_string(), "--dialect", "comfyui"]);
                // As the others: no line for each request, and nothing listens besides.
                program.args(["--admin", "off", "--log-access", "off"]);
                program.args(["--upstream", &format!("http://{}", bench.upstream.address)]);
                program.env("JOBSHIM_CACHE_MAX_BYTES", max_bytes);
                bench.add(peer, kept, program, address)?;
            }
        }
        Ok(bench)
    }

    fn start_servers(&mut self) -> io::Result<()> {
        if installed("nginx") {
            self.start_nginx(Peer::Nginx, "", "", "")?;
            let modules = ["ndk_http_module.so", "ngx_http_lua_module.so"]
                .map(|name| Path::new("/usr/lib/nginx/modules").join(name));
            let cjson = [
                "/usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so",
                "/usr/lib/aarch64-linux-gnu/lua/5.1/cjson.so",
            ];
            if modules.iter().all(|module| module.exists()) && cjson.iter().any(|path| Path::new(path).exists()) {
                let load: String = modules
                    .iter()
                    .map(|module| format!("load_module {};\n", module.display()))
                    .collect();
                fs::write(self.folder.join("history.lua"), include_str!("history.lua"))?;
                let shared = format!(
                    "lua_shared_dict entries 64m; lua_package_path '{}/?.lua;;';",
                    self.folder.display()
                );
                let locations = include_str!("locations.conf");
                self.start_nginx(Peer::Lua, &load, &shared, locations)?;
            } else {
                self.skipped
                    .push("nginx+lua: not installed (Debian: libnginx-mod-http-lua, lua-cjson)".to_owned());
            }
        } else {
            self.skipped
                .push("nginx and nginx+lua: not installed (Debian: nginx)".to_owned());
        }
        if installed("haproxy") {
            let address = free_address()?;
            let file = self.write_config(include_str!("haproxy.cfg"), "haproxy", address)?;
            let mut program = Command::new("haproxy");
            program.arg("-f").arg(file);
            self.add(Peer::Haproxy, Kept::Passed, program, address)?;
        } else {
            self.skipped.push("haproxy: not installed (Debian: haproxy)".to_owned());
        }
        Ok(())
    }

    fn start_nginx(&mut self, peer: Peer, modules: &str, shared: &str, locations: &str) -> io::Result<()> {
        let address = free_address()?;
        let text = include_str!("nginx.conf")
            .replace("LUA_MODULES", modules)
            .replace("LUA_SHARED", shared)
            .replace("LUA_LOCATIONS", locations);
        let file = self.write_config(&text, peer.name(), address)?;
        let mut program = Command::new("nginx");
        program.arg("-c").arg(file).arg("-p").arg(&self.folder);
        self.add(peer, Kept::Passed, program, address)
    }

    fn write_config(&self, text: &str, name: &str, address: SocketAddr) -> io::Result<PathBuf> {
        let text = text
            .replace("FOLDER", &self.folder.display().to_string())
            .replace("NAME", name)
            .replace("UPSTREAM", &self.upstream.address.to_string())
            .replace("LISTEN", &address.to_string());
        let file = self.folder.join(format!("{name}.conf"));
        fs::write(&file, text)?;
        Ok(file)
    }

    fn add(&mut self, peer: Peer, kept: Kept, program: Command, address: SocketAddr) -> io::Result<()> {
        let process = Process::start(self.cores.proxy, program, address)?;
        self.running.push((peer, kept, process));
        Ok(())
    }

    /// The process of `peer` that does this work; nginx and haproxy do all of theirs in one, and jobshim passes through
    /// whether it keeps entries or not.
    pub fn running(&self, peer: Peer, kept: Kept) -> Option<&Process> {
        let mut own = self.running.iter().filter(|(other, ..)| *other == peer);
        let fits = own.clone().find(|(_, other, _)| *other == kept);
        let (.., process) = fits.or_else(|| own.next())?;
        Some(process)
    }

    /// How many lists and details the upstream was asked for so far.
    pub fn calls(&self) -> io::Result<[u64; 2]> {
        let said = self.upstream.get("/calls")?;
        serde_json::from_slice(&said).map_err(io::Error::other)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.running.clear();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn bare(role: &str, listen: SocketAddr, upstream: Option<SocketAddr>) -> io::Result<Command> {
    let mut program = Command::new(env::current_exe()?);
    program.args(["bare", role, "--listen", &listen.to_string()]);
    program.args(upstream.map(|upstream| format!("--upstream={upstream}")));
    Ok(program)
}

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(program)).any(|file| file.exists())
}

/// An address that nobody listens on.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
