//! Makes the man pages and the shell completions from what the program knows of its own flags, beside the program:
//! `target/PROFILE/share`.

/// What people see of a section of settings. The program's own macro of this name adds the types and the parsers, which need
/// the rest of the program.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $TABLE:ident: $Settings:ident => $Values:ident, $section:literal, $heading:literal;
        $(
            $(#[doc = $doc:literal])*
            $field:ident: $T:ty = $($parse:ident)::+ $(($places:ident))? {
                flag: $flag:literal, value: $value:literal, variable: $variable:literal, default: $default:literal
                $(, $more:ident: $set:expr)* $(,)?
            }
        )*
    ) => {
        pub struct $Settings;

        impl $Settings {
            pub(super) const SECTION: Section = Section {
                name: $section,
                heading: $heading,
                docs: &[$($about),*],
                keys: &[$(&Key {
                    name: concat!($section, ".", stringify!($field)),
                    docs: &[$($doc),*],
                    flag: $flag,
                    value: $value,
                    variable: $variable,
                    default: $default,
                    $($more: $set,)*
                    ..Key::PLAIN
                }),*],
            };
        }
    };
}

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the program's own file, of which only the description is needed here"
)]
#[path = "src/cli/arguments.rs"]
mod cli;
#[allow(dead_code, unreachable_pub, unused_imports, reason = "as above")]
#[path = "src/config"]
mod config {
    mod key;
    mod options;
    pub(crate) mod settings;
    /// Types and parsers are the program's.
    mod values {}
    pub(crate) use options::{Options, Words};
}

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    for source in [
        "build.rs",
        "src/cli/arguments.rs",
        "src/config/key.rs",
        "src/config/settings",
        "src/config/options.rs",
    ] {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    // target/PROFILE/build/jobshim-HASH/out
    let profile = out.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
    let folder = |name: &str| {
        let folder = profile.join("share").join(name);
        fs::create_dir_all(&folder).map(|()| folder)
    };
    for (shell, name) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/site-functions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        generate_to(shell, &mut cli::Cli::command(), "jobshim", folder(name)?)?;
    }
    clap_mangen::generate_to(cli::Cli::command(), folder("man/man1")?)
}
