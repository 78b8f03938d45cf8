//! What the system says of this process.

use std::{fs, str::FromStr, sync::OnceLock};

/// What is known of this process at one moment; what a system does not say is not there.
#[derive(Debug, Default)]
pub struct ProcessStatus {
    /// Time of the processor that it has had, its own and the system's for it, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Its memory that is in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// The memory that it has reserved, used or not, in bytes.
    pub virtual_bytes: Option<u64>,
    /// How many threads it has.
    pub threads: Option<u64>,
    /// How many file descriptors are open, sockets included.
    pub open_files: Option<u64>,
    /// How many may be.
    pub max_open_files: Option<u64>,
    /// When it began, in seconds since 1970.
    pub started: Option<f64>,
}

impl ProcessStatus {
    /// Asks the system. Only Linux is asked; of others nothing is known.
    pub fn read() -> Self {
        if !cfg!(target_os = "linux") {
            return Self::default();
        }
        // It does not change, and what it is made of is long to read.
        static STARTED: OnceLock<Option<f64>> = OnceLock::new();
        let stat = read("stat").as_deref().and_then(Stat::parse);
        let (status, limits) = (read("status").unwrap_or_default(), read("limits").unwrap_or_default());
        let bytes = |name| Some(after::<u64>(&status, name)?.saturating_mul(1024));
        Self {
            cpu_seconds: stat.as_ref().map(|stat| stat.cpu_seconds),
            resident_bytes: bytes("VmRSS:"),
            virtual_bytes: bytes("VmSize:"),
            threads: after(&status, "Threads:"),
            open_files: open_files(),
            max_open_files: after(&limits, "Max open files"),
            started: *STARTED.get_or_init(|| Some(booted()? + stat?.started_after_boot)),
        }
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// The first word after `name` at the start of a line, if it is a number.
fn after<N: FromStr>(text: &str, name: &str) -> Option<N> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What is used of `/proc/self/stat`, in seconds.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Stat {
    /// The unit of times in `/proc`, whatever the kernel's own clock is: `USER_HZ`, part of Linux' interface.
    const TICKS_A_SECOND: f64 = 100.0;

    fn parse(text: &str) -> Option<Self> {
        // The program's name is in brackets, and may hold anything. The state, field 3, comes after it.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / Self::TICKS_A_SECOND,
            started_after_boot: ticks(22)? / Self::TICKS_A_SECOND,
        })
    }
}

/// When the system started, in seconds since 1970.
fn booted() -> Option<f64> {
    after(&fs::read_to_string("/proc/stat").ok()?, "btime ")
}

fn open_files() -> Option<u64> {
    const OPEN: &str = "/proc/self/fd";
    // Linux 6.2 says how many there are. Before, it says 0 and they are counted: all but the one that reads them.
    match fs::metadata(OPEN).ok()?.len() {
        0 => u64::try_from(fs::read_dir(OPEN).ok()?.count().saturating_sub(1)).ok(),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 5 0 4200 0";
        for name in ["jobshim", "a) R 1 (b", "", " "] {
            assert_eq!(
                Stat::parse(&format!("17 ({name}) {fields}\n")),
                Some(Stat {
                    cpu_seconds: 2.0,
                    started_after_boot: 42.0,
                }),
                "{name:?}"
            );
        }
    }

    #[test]
    fn what_is_cut_short_or_no_number_is_not_shown() {
        for text in [
            "",
            "17 (jobshim",
            "17 (jobshim) S 1 2",
            "17 (jobshim) S 1 2 3 4 5 6 7 8 9 10 x 5 0 0 20 0 5 0 4200 0",
        ] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
        let limits = "Max stack size  8388608  unlimited  bytes\nMax open files  unlimited  unlimited  files\n";
        assert_eq!(after::<u64>(limits, "Max open files"), None);
        assert_eq!(after::<u64>(limits, "Max stack size"), Some(8_388_608));
        assert_eq!(after::<u64>(limits, "Max processes"), None);
    }
}
