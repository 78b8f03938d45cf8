//! The commands as clap sees them.

use clap::{Args, Parser, Subcommand, ValueEnum};
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
        jobshim check --config jobshim.toml           what is in force, and where each value came from\n  \
        jobshim explain /history/ID                   which calls a legacy request becomes, field by field\n  \
        jobshim mapping --format markdown             the field-equivalence guide\n\n\
        Every option is also an environment variable and a key of the file (see config.example.toml).\n\
        A flag wins over the environment, the environment over the file, the file over the default."
)]
pub struct Cli {
    /// What to do; serve when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of serve.
    #[command(flatten)]
    pub options: Options,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve as a proxy (what no subcommand means)
    Serve(Options),
    /// A simulated server and the proxy in one process, with curl lines to try
    Demo {
        /// Where the proxy of the demo listens
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8187")]
        listen: std::net::SocketAddr,
    },
    /// Check configuration and tables, and print what is in force; exits 0 or 2
    Check(Options),
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
        mappings_dir: Option<PathBuf>,
    },
}

/// How tables are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The files
    Toml,
    /// The guide for people who migrate
    Markdown,
}

/// The options of serve, as text: the configuration reads and checks them together with environment and file.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// A configuration file [env: JOBSHIM_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8187] [env: JOBSHIM_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// What clients must show, as Authorization: Bearer or X-API-Key; env:NAME or file:PATH says where it is kept
    /// [env: JOBSHIM_ACCESS_TOKEN]
    #[arg(long, value_name = "SECRET")]
    pub access_token: Option<String>,
    /// Lets anyone who reaches the address use --upstream-header [default: false] [env: JOBSHIM_I_KNOW_THIS_IS_OPEN]
    #[arg(long)]
    pub i_know_this_is_open: bool,
    /// The server behind: http or https, with a base path if it has one [default: http://127.0.0.1:8188] [env: JOBSHIM_UPSTREAM]
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// How the server speaks the Jobs API: auto asks it, comfyui, or cloud [default: auto] [env: JOBSHIM_DIALECT]
    #[arg(long, value_name = "WORD")]
    pub dialect: Option<String>,
    /// Which items /api/queue shows: auto is the dialect's, comfyui, or cloud [default: auto] [env: JOBSHIM_SURFACE]
    #[arg(long, value_name = "WORD")]
    pub surface: Option<String>,
    /// A folder whose tables replace the built-in ones of the same name [env: JOBSHIM_MAPPINGS_DIR]
    #[arg(long, value_name = "DIR")]
    pub mappings_dir: Option<String>,
    /// How long a connection to the server may take to open, as 500ms, 5s or 2m [default: 5s] [env: JOBSHIM_CONNECT_TIMEOUT]
    #[arg(long, value_name = "TIME")]
    pub connect_timeout: Option<String>,
    /// How long a translated call may take as a whole [default: 30s] [env: JOBSHIM_ANSWER_TIMEOUT]
    #[arg(long, value_name = "TIME")]
    pub answer_timeout: Option<String>,
    /// The largest answer that a translated call reads, as bytes, KiB, MiB or GiB [default: 256MiB] [env: JOBSHIM_MAX_ANSWER_BYTES]
    #[arg(long, value_name = "SIZE")]
    pub max_answer_bytes: Option<String>,
    /// Job details fetched side by side for one list, 1 to 256 [default: 16] [env: JOBSHIM_CONCURRENCY]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<String>,
    /// PEM certificates to trust besides the system's and the bundled ones [env: JOBSHIM_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// A header for the server that clients do not send, such as X-API-Key=env:COMFY_CLOUD_API_KEY; may be repeated
    /// [env: JOBSHIM_UPSTREAM_HEADERS]
    #[arg(long, value_name = "NAME=SECRET")]
    pub upstream_header: Vec<String>,
    /// A folder for what must survive a restart, such as which jobs were deleted [env: JOBSHIM_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// The largest POST /prompt that is noted for later answers [default: 8MiB] [env: JOBSHIM_NOTES_MAX_BODY]
    #[arg(long, value_name = "SIZE")]
    pub notes_max_body: Option<String>,
    /// The most memory that all notes may take; 0 keeps none [default: 64MiB] [env: JOBSHIM_NOTES_MAX_BYTES]
    #[arg(long, value_name = "SIZE")]
    pub notes_max_bytes: Option<String>,
    /// How long in-flight answers may take to finish after a stop signal [default: 10s] [env: JOBSHIM_DRAIN_TIMEOUT]
    #[arg(long, value_name = "TIME")]
    pub drain_timeout: Option<String>,
    /// Log lines as text or json [default: text] [env: JOBSHIM_LOG_FORMAT]
    #[arg(long, value_name = "WORD")]
    pub log_format: Option<String>,
    /// More log lines; twice for still more [env: JOBSHIM_VERBOSITY]
    #[arg(short, long = "verbose", action = clap::ArgAction::Count)]
    pub verbose: u8,
}
