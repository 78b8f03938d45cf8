//! Windows.

mod signals;
mod sockets;

pub use signals::{ReloadSignal, StopSignals};
pub use sockets::{
    PassedSocket, UNIX_SOCKETS, UnixListener, UnixStream, bind_unix, keep_send_buffer_short, passed_socket, path_of,
};

use std::{
    fs::OpenOptions,
    io::{IsTerminal, stderr},
    os::windows::process::CommandExt,
    path::PathBuf,
    process::Command,
};

/// What may be behind a listener that the system forbids.
pub const LISTENING_IS_FORBIDDEN: &str = "the port may be set aside for other programs (netsh interface ipv4 show excludedportrange \
     protocol=tcp lists such ports)";

/// A file that these options make is for whoever its folder is for: the system has no modes.
pub fn for_this_user_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether the log can be coloured where it is shown. A console has to be told that colours will come.
pub fn log_has_colours() -> bool {
    stderr().is_terminal() && anstyle_query::windows::enable_ansi_colors().unwrap_or(false)
}

/// Where a program of this user keeps what must last; `variable` looks the environment up.
pub fn state_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = variable("LOCALAPPDATA").map(PathBuf::from);
    Some(folder.filter(|path| path.is_absolute())?.join("jobshim"))
}

/// With a console of its own, which is not shown.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;
/// Not with those who get a Ctrl-C.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// The program that `command` starts outlives the terminal: a Ctrl-C there is not for it.
pub fn detach(command: &mut Command) {
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_where_the_environment_says() {
        let local = |name: &str| (name == "LOCALAPPDATA").then(|| r"C:\Users\me\AppData\Local".to_owned());
        let folder = state_folder(local).map(|folder| folder.display().to_string());
        assert_eq!(folder.as_deref(), Some(r"C:\Users\me\AppData\Local\jobshim"));
        assert_eq!(state_folder(|_| None), None);
    }
}
