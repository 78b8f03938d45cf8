//! A configuration file of any bytes: it is taken, or every complaint says where.
#![no_main]

use jobshim::config::{self, Options};
use libfuzzer_sys::fuzz_target;
use std::{env, fs, path::PathBuf, process, sync::LazyLock};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| env::temp_dir().join(format!("jobshim-fuzz-{}.toml", process::id())));

fuzz_target!(|text: &str| {
    // A file that never ends is the reader's own fault, and would be the end of this.
    if text.contains("/dev/") || text.contains("/proc/") {
        return;
    }
    fs::write(&*FILE, text).expect("a file");
    let mut options = Options::default();
    options.config = Some(FILE.clone());
    match config::load(&options, |_| None) {
        Ok(loaded) => {
            for value in &loaded.values {
                let _ = value.shown();
                let _ = value.origin.to_string();
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let said = errors.to_string();
            assert!(errors.0.len() <= said.lines().count());
            for error in errors.0 {
                if let config::ConfigError::File { line, reason, .. } = error {
                    assert!((1..=text.lines().count() + 1).contains(&line), "line {line}: {reason}");
                }
            }
        }
    }
});
