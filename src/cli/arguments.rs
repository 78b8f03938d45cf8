//! The commands as clap sees them.

use crate::config::{Options, Words};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// What the program was told on its command line.
#[derive(Debug, Parser)]
#[command(
    name = "jobshim",
    version,
    about = "Keeps old ComfyUI integrations working on servers that only speak the Jobs API",
    long_about = "A reverse proxy that answers ComfyUI's legacy /history and /queue endpoints from the Jobs API (/api/jobs) \
                  and passes everything else through. Point an old script at it instead of its ComfyUI.",
    after_help = "Examples:\n  \
        jobshim demo                                  see it work, with a simulated server\n  \
        jobshim --upstream http://127.0.0.1:8188      stand in front of a ComfyUI; clients use http://127.0.0.1:8187\n  \
        jobshim start --upstream http://127.0.0.1:8188     the same in the background; jobshim stop ends it\n  \
        jobshim check --config jobshim.toml           what is in force, and where each value came from\n  \
        jobshim doctor --upstream http://127.0.0.1:8188     what the server can do, and what is wrong if it does not work\n  \
        jobshim explain /history/ID                   which calls a legacy request becomes, field by field\n  \
        jobshim mapping --format markdown             the field-equivalence guide\n\n\
        Every option is also an environment variable and a key of the file (see config.example.toml).\n\
        A flag wins over the environment, the environment over the file, the file over the default."
)]
pub struct Cli {
    /// What to do; serve when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of serve. They may stand before the command or behind it.
    #[command(flatten)]
    pub options: Options,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve as a proxy (what no subcommand means)
    Serve {
        /// For `start`, which runs the program so.
        #[arg(long, hide = true)]
        in_background: bool,
        /// The options of serve.
        #[command(flatten)]
        options: Options,
    },
    /// Serve in the background: return once it listens, or say why it does not; the log goes to a file
    #[command(
        after_help = "Its log, and what stop and status go by, are in --state-dir, or else in a folder of this user. There is \
        one jobshim in the background for each folder.\n\n\
        Example:\n  jobshim start --upstream http://127.0.0.1:8188\n  jobshim status\n  jobshim stop"
    )]
    Start(Options),
    /// Stop the jobshim in the background, once it has finished the answers under way
    Stop(Place),
    /// Say whether a jobshim runs in the background, and where; exits 0 when it does, else 3
    Status(Place),
    /// A simulated server and the proxy in one process, with curl lines to try
    Demo {
        /// Where the proxy of the demo listens [default: 127.0.0.1:8187]
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// Where the page, health and metrics of the demo are shown; off for nowhere [default: 127.0.0.1:8186]
        #[arg(long, value_name = "ADDR")]
        admin: Option<String>,
        /// Which server is simulated: comfyui, self-hosted, cloud, Comfy Cloud, or v2, a Comfy deployment [default: comfyui]
        #[arg(long, value_name = "WORD", value_parser = Words(&["comfyui", "cloud", "v2"]), hide_possible_values = true)]
        dialect: Option<String>,
    },
    /// Print who still calls the legacy surface, and which routes are safe to remove
    Report {
        /// The admin listener of the jobshim that runs: a URL, or an address and a port [default: the one that is configured]
        #[arg(long, value_name = "URL")]
        admin: Option<String>,
        /// A configuration file, which may say where the admin listener is [env: JOBSHIM_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Days without a call after which a route is safe to remove
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = days)]
        days: u64,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
    },
    /// Check configuration and tables, and print what is in force; exits 0 or 2
    Check(Options),
    /// Ask the upstream what it can do, and print what that means for each legacy route; exits 0 when all have an answer
    #[command(
        after_help = "Examples:\n  jobshim doctor\n  jobshim doctor --upstream http://127.0.0.1:8188\n\n\
        Nothing is changed there. Exits 0 when every legacy route has an answer, 1 when one has none, 2 when the \
        configuration is wrong."
    )]
    Doctor(Options),
    /// Ask the jobshim that runs by the same configuration whether it is well; exits 0 when it is, else 1
    #[command(
        after_help = "The admin listener is asked for /healthz; where that is off, jobshim is well when it takes \
        connections.\n\nExample, in a Dockerfile:\n  HEALTHCHECK CMD [\"/jobshim\", \"health\"]"
    )]
    Health {
        /// Ask whether the server behind answers too (/readyz)
        #[arg(long)]
        ready: bool,
        /// The options of serve.
        #[command(flatten)]
        options: Options,
    },
    /// Show which upstream calls a legacy request becomes, and where each field comes from
    #[command(
        after_help = "Examples:\n  jobshim explain /history/ID\n  jobshim explain POST /queue\n  \
        jobshim explain /queue --upstream http://127.0.0.1:8188      does it live and shows the result"
    )]
    Explain {
        /// [METHOD] TARGET, such as /history?max_items=5
        #[arg(required = true, num_args = 1..=2, value_name = "[METHOD] TARGET")]
        request: Vec<String>,
        /// The options of serve; with --upstream the request is made.
        #[command(flatten)]
        options: Options,
    },
    /// Print the tables, as files or as the field-equivalence guide
    Mapping {
        /// One table, such as history or dialect-cloud; all when left out
        name: Option<String>,
        /// How to print
        #[arg(long, value_enum, default_value_t = Format::Toml)]
        format: Format,
        /// A folder whose tables replace the built-in ones of the same name [env: JOBSHIM_MAPPINGS_DIR]
        #[arg(long, value_name = "DIR")]
        mappings_dir: Option<String>,
        /// A configuration file, which may name that folder [env: JOBSHIM_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print what lets a shell complete commands, options and modes
    #[command(after_help = "Example, for the bash that runs:\n  source <(jobshim completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which jobshim in the background is meant.
#[derive(Debug, Args)]
pub struct Place {
    /// The --state-dir that it was started with, if it was [env: JOBSHIM_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// The configuration file that names it [env: JOBSHIM_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn days(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(days) if days > 0 => Ok(days),
        _ => Err("a whole number of days above zero is expected".to_owned()),
    }
}

/// How tables are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The files
    Toml,
    /// The guide for people who migrate
    Markdown,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables for people
    #[default]
    Text,
    /// What the admin listener says, for programs
    Json,
}
