//! Flags, config, exit codes; nothing else.

use clap::CommandFactory;
#[cfg(feature = "otel")]
use jobshim::cli::traces;
use jobshim::{
    admin::Admin,
    cli::{
        admin_url::admin_url,
        arguments::{Cli, Command, Format, Place, ReportFormat},
        background::{self, Folder, Instance, LogFile, NoFolder, Outcome},
        check,
        demo::{self, DemoError},
        doctor, explain,
        health::{self, HealthError},
        log,
        output::{complain, print, unwritten},
        report,
        stopping::stop_signal,
        warnings::warnings,
    },
    config::{
        self, Config, InForce, Key, Loaded, LogConfig, LogFormat, Options,
        settings::{ADMIN, FOLDERS, LISTEN, UPSTREAM},
    },
    mapping::{Tables, guide::guide, print::toml},
    proxy::{Proxy, STORE_EVERY, housekeeping, reload::Reloader},
    server::{BindError, Server, Tls, why_unbound},
};
use std::{env, future::Future, process::ExitCode, sync::Arc};
use tokio::runtime;

/// With the C library's a pass-through costs some 4 % more; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A value that cannot be used.
const BAD_CONFIGURATION: u8 = 2;
/// As systemctl and init scripts have it.
const DOES_NOT_RUN: u8 = 3;

fn main() -> ExitCode {
    let Cli { command, options } = Cli::from_command_line();
    let command = match command {
        None => return serve(&options, false),
        Some(command) => command,
    };
    // Options may stand before the command as well as behind it.
    match command {
        Command::Serve {
            in_background,
            options: more,
        } => serve(&options.followed_by(more), in_background),
        Command::Start(more) => start(&options.followed_by(more)),
        Command::Stop(place) => about_background("stop", options, place)
            .map_or_else(|code| code, |folder| answer(background::stop(&folder))),
        Command::Status(place) => {
            about_background("status", options, place).map_or_else(|code| code, |folder| show_status(&folder))
        }
        Command::Check(more) => check(&options.followed_by(more)),
        Command::Doctor(more) => examine(&options.followed_by(more)),
        Command::Health { ready, options: more } => ask_health(&options.followed_by(more), ready),
        Command::Explain { request, options: more } => explain_request(&request, &options.followed_by(more)),
        Command::Demo { listen, admin, dialect } => {
            let own = Options::default()
                .given(&LISTEN.address.key, listen)
                .given(&ADMIN.address.key, admin)
                .given(&UPSTREAM.dialect.key, dialect);
            let keys = [&LISTEN.address.key, &ADMIN.address.key, &UPSTREAM.dialect.key];
            match options.config {
                Some(_) => refuse(&"demo takes no --config"),
                None => only("demo", options, &keys, own).map_or_else(|code| code, show_demo),
            }
        }
        Command::Report {
            admin,
            config,
            days,
            format,
        } => {
            let own = Options::of_file(config).given(&ADMIN.address.key, admin);
            only("report", options, &[&ADMIN.address.key], own)
                .map_or_else(|code| code, |options| report_usage(&options, days, format))
        }
        Command::Mapping {
            name,
            format,
            mappings_dir,
            config,
        } => {
            let own = Options::of_file(config).given(&FOLDERS.mappings_dir.key, mappings_dir);
            only("mapping", options, &[&FOLDERS.mappings_dir.key], own)
                .map_or_else(|code| code, |options| print_mapping(name.as_deref(), format, &options))
        }
        Command::Completions { shell } => {
            if let Err(code) = only("completions", options, &[], Options::default()) {
                return code;
            }
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "jobshim", &mut script);
            print(&String::from_utf8_lossy(&script), || ExitCode::SUCCESS)
        }
    }
}

/// The options of a `command` that takes `keys` alone: those in front of it, and its `own` behind it. Others are refused: what
/// is passed over in silence looks obeyed.
fn only(command: &str, options: Options, keys: &[&Key], own: Options) -> Result<Options, ExitCode> {
    match options.other_than(keys) {
        Some(flag) => Err(refuse(&format!("{command} takes no {flag}"))),
        None => Ok(options.followed_by(own)),
    }
}

/// The folder that a `command` about the jobshim in the background means.
fn about_background(command: &str, options: Options, place: Place) -> Result<Folder, ExitCode> {
    let Place { state_dir, config } = place;
    let own = Options::of_file(config).given(&FOLDERS.state_dir.key, state_dir);
    let options = only(command, options, &[&FOLDERS.state_dir.key], own)?;
    Folder::of(&options, variable).map_err(|error| refuse(&error))
}

fn start(options: &Options) -> ExitCode {
    match background::start(options, variable) {
        Ok(said) => print(&said, || ExitCode::SUCCESS),
        Err(error) => {
            complain(&error);
            error.code().map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn show_status(folder: &Folder) -> ExitCode {
    match background::status(folder) {
        Ok(Outcome::Runs(said)) => print(&said, || ExitCode::SUCCESS),
        Ok(Outcome::DoesNotRun(said)) => print(&said, || ExitCode::from(DOES_NOT_RUN)),
        Err(error) => exit_code(Err(error)),
    }
}

fn show_demo(options: Options) -> ExitCode {
    let log = LogConfig {
        format: LogFormat::Text,
        access: false,
        verbosity: 0,
    };
    let _ = log::begin(&log, None);
    block_on(async move {
        match demo::run(options, stop_signal(None)).await {
            Err(DemoError::Unwritten(error)) => unwritten(&error),
            outcome => exit_code(outcome),
        }
    })
}

fn report_usage(options: &Options, days: u64, format: ReportFormat) -> ExitCode {
    match admin_url(options, variable) {
        Ok(admin) => block_on(async { answer(report::run(&admin, days, format).await) }),
        Err(error) => refuse(&error),
    }
}

/// Merges and checks the configuration; complaints go to stderr, and the exit code comes back.
fn load(options: &Options) -> Result<Loaded, ExitCode> {
    config::load(options, variable).map_err(|errors| refuse(&errors))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Those of the environment that are text.
fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::from(BAD_CONFIGURATION)
}

/// Writes what a command answers, or why it does not.
fn answer<E: std::fmt::Display>(outcome: Result<String, E>) -> ExitCode {
    match outcome {
        Ok(text) => print(&text, || ExitCode::SUCCESS),
        Err(error) => exit_code(Err(error)),
    }
}

fn exit_code<E: std::fmt::Display>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    // With one core there is nothing to share work with, and a request costs less without the means to.
    let mut builder = match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => exit_code(Err(error)),
    }
}

fn serve(options: &Options, in_background: bool) -> ExitCode {
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let config = loaded.config.clone();
    let background = match in_background.then(|| begin_in_background(&config)).transpose() {
        Ok(background) => background,
        Err(error) => return exit_code(Err(error)),
    };
    let (instance, file) = background.unzip();
    let set_verbosity = log::begin(&config.log, file);
    let proxy = match Proxy::new(&config) {
        Ok(proxy) => Arc::new(proxy),
        Err(error) => return refuse(&error),
    };
    proxy.put_in_force(InForce::of(&loaded));
    for warning in warnings(&loaded, proxy.pipeline().legacy().tables(), variables()) {
        tracing::warn!("{warning}");
    }
    let reloader = Reloader::new(options.clone(), loaded, Arc::clone(&proxy), set_verbosity);
    // It makes room for the next one at the very end, when the store is closed.
    let own = instance.as_ref();
    block_on(async move {
        let stop = stop_signal(own.map(Instance::stop_requests));
        let server = match Server::bind(&config).await {
            Ok(server) => server,
            Err(error @ BindError::Tls(_)) => return refuse(&error),
            Err(error) => return exit_code(Err(error)),
        };
        let admin = match bind_admin(&config).await {
            Ok(admin) => admin,
            Err(error) => return exit_code(Err(error)),
        };
        #[cfg(feature = "otel")]
        let traces = match traces::begin(&config, proxy.observer()) {
            Ok(traces) => traces,
            Err(error) => return refuse(&error),
        };
        if let Some(own) = own
            && let Err(error) = own.tell(&config, server.address(), admin.as_ref().map(Admin::local_addr))
        {
            return exit_code(Err(error));
        }
        reloader.start();
        tracing::info!(address = %server.address(), upstream = %config.upstream.name(), "listening");
        let greeting = proxy.pipeline();
        tokio::spawn(async move { greeting.greet_upstream(&config).await });
        if let Some(admin) = admin {
            tracing::info!(admin = %admin.local_addr(), "health, metrics and usage can be seen");
            tokio::spawn(admin.run(Arc::clone(&proxy)));
        }
        tokio::spawn(housekeeping(Arc::clone(&proxy), STORE_EVERY));
        server.run(Arc::clone(&proxy), stop).await;
        proxy.store_seen(true);
        proxy.pipeline().store().close();
        #[cfg(feature = "otel")]
        if let Some(traces) = traces {
            traces.end().await;
        }
        ExitCode::SUCCESS
    })
}

/// The place of the one that runs in the background, and its log.
fn begin_in_background(config: &Config) -> Result<(Instance, LogFile), Box<dyn std::error::Error>> {
    let folder = Folder::or_of_user(config.state.folder.as_deref(), variable).ok_or(NoFolder::Unknown)?;
    let instance = Instance::begin(folder)?;
    let log = instance.log()?;
    Ok((instance, log))
}

async fn bind_admin(config: &Config) -> Result<Option<Admin>, String> {
    let Some(admin) = &config.admin else {
        return Ok(None);
    };
    let bound = Admin::bind(admin).await;
    bound.map(Some).map_err(|error| {
        let (address, why) = (admin.address, why_unbound(&error, "--admin"));
        format!("cannot listen on {address}: {why}")
    })
}

fn check(options: &Options) -> ExitCode {
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // The folder is left alone: a jobshim may be at work in it.
    let without_state = Config {
        state: loaded.config.state.in_memory(),
        ..loaded.config.clone()
    };
    let proxy = match Proxy::new(&without_state) {
        Ok(proxy) => proxy,
        Err(error) => return refuse(&error),
    };
    if let Some(Err(error)) = loaded.config.listen.tls().as_ref().map(Tls::new) {
        return refuse(&error);
    }
    let warnings = warnings(&loaded, proxy.pipeline().legacy().tables(), variables());
    print(&check::summary(&InForce::of(&loaded), &warnings), || ExitCode::SUCCESS)
}

fn examine(options: &Options) -> ExitCode {
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    block_on(async {
        let mut found = String::new();
        let outcome = Box::pin(doctor::run(&loaded.config, &mut found)).await;
        print(&found, || match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => refuse(&error),
        })
    })
}

fn ask_health(options: &Options, ready: bool) -> ExitCode {
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    block_on(async {
        match health::run(&loaded.config, ready).await {
            Ok(said) => print(&format!("{said}\n"), || ExitCode::SUCCESS),
            Err(error @ HealthError::NoAdmin) => refuse(&error),
            Err(error) => exit_code(Err(error)),
        }
    })
}

fn explain_request(request: &[String], options: &Options) -> ExitCode {
    let loaded = match load(options) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // Both in one word, as "POST /interrupt", are understood as well.
    let words: Vec<&str> = request.iter().flat_map(|word| word.split_whitespace()).collect();
    let (method, target) = match words.as_slice() {
        [method, target] => (*method, *target),
        [target] => ("GET", *target),
        _ => return refuse(&"explain takes [METHOD] TARGET, such as POST /queue"),
    };
    let live = options.get(&UPSTREAM.url.key).is_some();
    block_on(async {
        let mut text = String::new();
        let outcome = explain::run(&loaded.config, method, target, live, &mut text).await;
        print(&text, || exit_code(outcome))
    })
}

fn print_mapping(name: Option<&str>, format: Format, options: &Options) -> ExitCode {
    let folder = match config::load_one(&FOLDERS.mappings_dir, options, variable) {
        Ok(folder) => folder,
        Err(errors) => return refuse(&errors),
    };
    let tables = match Tables::load(folder.as_deref()) {
        Ok(tables) => tables,
        Err(error) => return refuse(&error),
    };
    let printed = match format {
        Format::Toml => toml(&tables, name),
        Format::Markdown => guide(&tables, name),
    };
    match printed {
        Ok(text) => print(&text, || ExitCode::SUCCESS),
        Err(error) => refuse(&error),
    }
}
