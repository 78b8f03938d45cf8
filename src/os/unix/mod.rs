//! Linux, macOS and their like.

mod signals;
mod sockets;

pub use signals::{ReloadSignal, StopSignals};
pub use sockets::{
    PassedSocket, UNIX_SOCKETS, UnixListener, UnixStream, bind_unix, keep_send_buffer_short, passed_socket, path_of,
};

use std::{
    fs::OpenOptions,
    io::{IsTerminal, stderr},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
};

/// What may be behind a listener that the system forbids.
pub const LISTENING_IS_FORBIDDEN: &str =
    "a port under 1024 needs a right of its own (CAP_NET_BIND_SERVICE), a Unix socket a folder that may be written";

/// A file that these options make is for this user alone.
pub fn for_this_user_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Whether the log can be coloured where it is shown.
pub fn log_has_colours() -> bool {
    stderr().is_terminal()
}

/// Where a program of this user keeps what must last; `variable` looks the environment up.
pub fn state_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // The XDG base directories: one that is not absolute is to be ignored.
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = |below| folder("HOME").map(|home| home.join(below));
    let folder = match cfg!(target_os = "macos") {
        true => of_home("Library/Application Support"),
        false => folder("XDG_STATE_HOME").or_else(|| of_home(".local/state")),
    };
    Some(folder?.join("jobshim"))
}

/// The program that `command` starts outlives the terminal: a Ctrl-C there is not for it.
pub fn detach(command: &mut Command) {
    command.process_group(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_where_the_environment_says() {
        let of = |variables: &'static [(&str, &str)]| {
            let variable = |name: &str| {
                let mut found = variables.iter().filter(|(known, _)| *known == name);
                found.next().map(|(_, value)| (*value).to_owned())
            };
            state_folder(variable).map(|folder| folder.display().to_string())
        };
        let below_home = match cfg!(target_os = "macos") {
            true => "/home/me/Library/Application Support/jobshim",
            false => "/home/me/.local/state/jobshim",
        };
        assert_eq!(of(&[("HOME", "/home/me")]).as_deref(), Some(below_home));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("HOME", "home")]), None);
        if cfg!(not(target_os = "macos")) {
            assert_eq!(of(&[("XDG_STATE_HOME", "/state")]).as_deref(), Some("/state/jobshim"));
            let both = of(&[("XDG_STATE_HOME", "state"), ("HOME", "/home/me")]);
            assert_eq!(both.as_deref(), Some(below_home));
        }
    }
}
