//! Flags, environment, file, defaults: who wins, and what a bad value is told.

use crate::support::{TableFolder as Folder, program::run};
use jobshim::config::{
    ConfigErrors, Loaded, Options, Origin, keys, load,
    settings::{LISTEN, SECTIONS, UPSTREAM},
};
use std::path::PathBuf;

fn with_file(name: &str, text: &str) -> (Folder, Options) {
    let folder = Folder::with(name, &[("jobshim.toml", text)]);
    let options = Options::in_file(folder.path.join("jobshim.toml"));
    (folder, options)
}

fn setting<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a Origin) {
    let found = loaded.values.iter().find(|value| value.key.name == key);
    let found = found.expect("every key has a value");
    (&found.text, &found.origin)
}

fn refused(options: &Options) -> Vec<String> {
    let ConfigErrors(errors) = load(options, |_| None).expect_err("a bad configuration");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_flag_wins_over_the_environment_the_environment_over_the_file_the_file_over_the_default() {
    let (_folder, mut options) = with_file("precedence", "[upstream]\nconcurrency = 3\n");
    let path = options.config.clone().expect("a file");
    let environment = |name: &str| (name == "JOBSHIM_CONCURRENCY").then(|| "4".to_owned());
    let key = "upstream.concurrency";
    let by_default = load(&Options::default(), |_| None).expect("defaults");
    assert_eq!(setting(&by_default, key), ("16", &Origin::Default));
    let by_file = load(&options, |_| None).expect("a good file");
    assert_eq!(setting(&by_file, key), ("3", &Origin::File(path, 2)));
    let by_environment = load(&options, environment).expect("a good environment");
    assert_eq!(
        setting(&by_environment, key),
        ("4", &Origin::Environment("JOBSHIM_CONCURRENCY"))
    );
    options = options.with(&UPSTREAM.concurrency.key, "5");
    let by_flag = load(&options, environment).expect("a good flag");
    assert_eq!(setting(&by_flag, key), ("5", &Origin::Flag("--concurrency")));
    assert_eq!(by_flag.config.upstream.concurrency, 5);
}

#[test]
fn an_empty_variable_counts_as_unset_and_the_file_can_come_from_the_environment() {
    let (folder, _) = with_file("from-environment", "[log]\nverbosity = 1\n");
    let path = folder.path.join("jobshim.toml");
    let loaded = load(&Options::default(), |name| match name {
        "JOBSHIM_CONFIG" => Some(path.display().to_string()),
        "JOBSHIM_LISTEN" => Some(String::new()),
        _ => None,
    });
    let loaded = loaded.expect("a good configuration");
    assert_eq!(loaded.config.log.verbosity, 1);
    assert_eq!(setting(&loaded, "listen.address"), ("127.0.0.1:8187", &Origin::Default));
}

#[test]
fn each_bad_value_is_refused_with_its_key_and_where_it_was_written() {
    let bad = [
        ("listen.address", "nowhere"),
        ("listen.address", "0.0.0.0"),
        ("listen.address", "65536"),
        ("listen.address", "+80"),
        ("listen.address", "example.org:8187"),
        ("legacy.mode", "gone:"),
        ("log.access", "maybe"),
        ("upstream.url", "127.0.0.1:8188"),
        ("upstream.url", "ftp://x"),
        ("upstream.url", "http://x/?a=1"),
        ("upstream.url", "http://user:word@x"),
        ("upstream.url", "http://"),
        ("upstream.dialect", "cloudy"),
        ("upstream.connect_timeout", "5"),
        ("upstream.connect_timeout", "0s"),
        ("upstream.answer_timeout", "soon"),
        ("upstream.max_answer_bytes", "1MB"),
        ("upstream.max_answer_bytes", "99999999999GiB"),
        ("upstream.concurrency", "0"),
        ("upstream.concurrency", "257"),
        ("upstream.ca_file", "/does/not/exist.pem"),
        ("legacy.surface", "both"),
        ("mappings_dir", "/does/not/exist"),
        ("state_dir", "/dev/null"),
        ("server.drain_timeout", "-1s"),
        ("log.format", "xml"),
        ("log.verbosity", "loud"),
    ];
    for (key, value) in bad {
        let text = match key.split_once('.') {
            Some((section, name)) => format!("[{section}]\n\n{name} = \"{value}\"\n"),
            None => format!("\n\n{key} = \"{value}\"\n"),
        };
        let (folder, options) = with_file("bad-value", &text);
        let path = folder.path.join("jobshim.toml");
        let errors = refused(&options);
        // What may be a secret is not said again.
        let shown = match value {
            "http://x/?a=1" => "http://x/?a=(not shown)",
            "http://user:word@x" => "http://(not shown)@x",
            value => value,
        };
        let wanted = format!("{key} = \"{shown}\" ({}:3): ", path.display());
        assert!(
            errors.len() == 1 && errors[0].starts_with(&wanted) && errors[0].len() > wanted.len(),
            "{key}: {errors:?}"
        );
        let variable = keys().find(|known| known.name == key).expect("a key").variable;
        let by_variable = load(&Options::default(), |name| (name == variable).then(|| value.to_owned()));
        let message = by_variable.expect_err("a bad value").to_string();
        assert!(
            message.starts_with(&format!("{key} = \"{shown}\" (environment {variable}): ")),
            "{message}"
        );
    }
}

#[test]
fn a_url_without_its_scheme_is_told_what_it_may_mean() {
    let refused_url = |url: &str| refused(&Options::default().with(&UPSTREAM.url.key, url)).remove(0);
    for url in ["127.0.0.1:8188", "comfy.lan:8188", "[::1]:8188"] {
        let said = refused_url(url);
        assert!(said.ends_with(&format!("did you mean http://{url}?")), "{said}");
    }
    for url in ["user:word@comfy.lan:8188", "comfy.lan"] {
        let said = refused_url(url);
        assert!(!said.contains("did you mean") && !said.contains("word"), "{said}");
    }
}

#[test]
fn every_complaint_is_made_at_once() {
    let (_folder, options) = with_file(
        "many",
        "[upstream]\nurl = \"nowhere\"\ndialect = \"x\"\n[log]\nformat = 5\n",
    );
    assert_eq!(refused(&options).len(), 3);
    // Whether a key is unknown, a value wrong, or a key given twice.
    let (_folder, options) = with_file(
        "many-kinds",
        "[upstream]\nurl = \"nowhere\"\nurll = \"x\"\nurl = \"http://a\"\n[log]\nformat = [1]\nverbosity = \"loud\"\n",
    );
    let errors = refused(&options);
    for part in [
        "unknown key upstream.urll",
        "upstream.url is given twice",
        "upstream.url = \"nowhere\"",
        "log.format",
        "log.verbosity = \"loud\"",
    ] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part}: {errors:#?}");
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");
    let (_folder, options) = with_file(
        "many-of-a-section",
        "[listen]\naddress = \"nowhere\"\naccess_token = { env = \"NOT_THERE\" }\ntls_key = \"/dev/null\"\n\
         [upstream]\nconcurrency = 0\n[upstream.headers]\nX-Key = { env = \"NOT_THERE\" }\n",
    );
    let errors = refused(&options);
    let named = [
        "listen.address",
        "listen.access_token",
        "listen.tls_key",
        "listen.tls_certificate",
        "upstream.headers",
        "upstream.concurrency",
    ];
    for key in named {
        assert!(errors.iter().any(|error| error.starts_with(key)), "{key}: {errors:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_line() {
    for (text, line, reason) in [
        ("[upstream]\nurll = \"x\"\n", 2, "unknown key upstream.urll"),
        (
            "listen = \"127.0.0.1:1\"\n",
            1,
            "unknown key listen; did you mean listen.address? Write address under [listen].",
        ),
        (
            "upstream = \"http://a\"\n",
            1,
            "did you mean upstream.url? Write url under [upstream].",
        ),
        (
            "address = \"127.0.0.1:1\"\n",
            1,
            "did you mean listen.address or admin.address?",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"\n",
            2,
            "did you mean listen.address? Write address under [listen].",
        ),
        (
            "[upstream]\nmode = \"auto\"\n",
            2,
            "did you mean legacy.mode? Write mode under [legacy].",
        ),
        (
            "[log]\nstate_dir = \"/tmp\"\n",
            2,
            "did you mean state_dir? Write state_dir above the first section.",
        ),
        ("[upstream]\n\nurl = \n", 3, ""),
        ("\n[upstream]\nurll = \"x\"\n", 3, "did you mean upstream.url?"),
        ("[legcy]\nmode = \"auto\"\n", 2, "did you mean legacy.mode?"),
        ("mode = \"auto\"\n", 1, "did you mean legacy.mode?"),
        (
            "[cache]\nsomething_else = 1\n",
            2,
            "there are cache.max_bytes, cache.ttl, cache.max_stale",
        ),
        ("[log]\nformat = [\"text\"]\n", 2, "a text or a number is expected"),
        (
            "[upstream]\nurl = http://a\n",
            2,
            "this is no TOML: string values must be quoted",
        ),
        (
            "[upstream]\nurl = \"http://a\"\nurl = \"http://b\"\n",
            3,
            "upstream.url is given twice: it is in line 2 already",
        ),
        (
            "[admin]\naddress = \"off\"\n[listen]\naddress = \"1\"\n\naddress = \"2\"\n",
            6,
            "listen.address is given twice: it is in line 4 already",
        ),
        (
            "[legacy]\nmode = \"auto\"\n[legacy]\nmode = \"gone\"\n",
            3,
            "legacy is given twice",
        ),
        (
            "[legacy.routes]\nqueue = \"gone\"\nqueue = \"auto\"\n",
            3,
            "legacy.routes.queue is given twice: it is in line 2 already",
        ),
    ] {
        let (folder, options) = with_file("broken", text);
        let errors = refused(&options);
        let wanted = format!("{}:{line}: ", folder.path.join("jobshim.toml").display());
        assert!(
            errors[0].starts_with(&wanted) && errors[0].contains(reason),
            "{text}: {errors:?}"
        );
    }
    let missing = Options::in_file(PathBuf::from("/does/not/exist.toml"));
    assert_eq!(refused(&missing), ["/does/not/exist.toml: not found"]);
}

#[test]
fn a_value_is_taken_in_each_way_that_can_mean_but_one_thing() {
    for (key, ways) in [
        (
            "listen.address",
            &["127.0.0.1:9701", ":9701", "9701", "localhost:9701", "LocalHost:9701"][..],
        ),
        ("admin.address", &["127.0.0.1:9702", ":9702", "9702", "localhost:9702"]),
        ("admin.address", &["off", "Off", "false"]),
        ("cache.max_bytes", &["64MiB", "64M", "64m", "64mib", "67108864"]),
        ("history.max_hidden", &["2KiB", "2K", "2k", "2048"]),
        ("log.format", &["json", "JSON", "Json"]),
        ("upstream.dialect", &["cloud", "CLOUD"]),
        ("legacy.mode", &["shadow", "Shadow"]),
        ("log.access", &["false", "off", "OFF"]),
        ("legacy.compress", &["true", "on"]),
        ("notices.sunset", &["off", "false"]),
    ] {
        let key = keys().find(|known| known.name == key).expect("a key");
        let taken = ways.iter().map(|way| {
            let loaded = load(&Options::default().with(key, *way), |_| None);
            format!("{:?}", loaded.unwrap_or_else(|error| panic!("{way}: {error}")).config)
        });
        let taken: Vec<String> = taken.collect();
        assert!(taken.windows(2).all(|two| two[0] == two[1]), "{}: {ways:?}", key.name);
    }
}

#[test]
fn what_is_wrong_in_a_table_or_a_list_is_shown_alone_and_on_its_own_line() {
    let text = "[legacy.routes]\nhistory = \"gone\"\nqueue = \"shaddow\"\nhistori_v2 = \"gone\"\n\n\
                [legacy.routes.history_entry]\nmode = \"canary\"\npercnt = 30\n\n\
                [legacy.routes.job_status.rollback]\nfailures = \"200%\"\n\n\
                [shadow]\nignore = [\n  \"outputs\",\n  \"prompt[x]\",\n]\n";
    let (folder, options) = with_file("lines", text);
    let errors = refused(&options);
    let path = folder.path.join("jobshim.toml").display().to_string();
    for (line, part) in [
        (3, "\"queue=shaddow\""),
        (3, "\"shaddow\" is no mode; did you mean shadow?"),
        (4, "\"histori_v2\" is no legacy route; did you mean history_v2?"),
        (8, "\"percnt\" is no option of a mode; did you mean percent?"),
        (11, "\"200%\" is no percentage"),
        (16, "\"prompt[x]\" is no path"),
    ] {
        let place = format!("({path}:{line}): ");
        assert!(
            errors
                .iter()
                .any(|error| error.contains(&place) && error.contains(part)),
            "{line}: {part} in {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");
}

#[test]
fn an_upstream_that_is_jobshim_itself_is_refused() {
    for (listen, upstream) in [
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("127.0.0.1:8188", "http://localhost:8188/x"),
        ("0.0.0.0:80", "http://127.0.0.1"),
        ("[::1]:8188", "http://[::1]:8188"),
    ] {
        let options = Options::default()
            .with(&LISTEN.address.key, listen)
            .with(&UPSTREAM.url.key, upstream);
        assert!(
            refused(&options)[0].contains("where jobshim itself listens"),
            "{listen} {upstream}"
        );
    }
}

#[test]
fn the_example_has_every_key_with_its_default_and_a_sentence() {
    let text = include_str!("../../../config.example.toml");
    let options = Options::in_file(PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config.example.toml"
    )));
    let loaded = load(&options, |_| None).expect("a good example");
    for (key, setting) in keys().zip(&loaded.values) {
        assert_eq!((setting.key.name, setting.text.as_str()), (key.name, key.default));
        let Origin::File(_, line) = setting.origin else {
            panic!("{} is not in the example", key.name);
        };
        let comment: Vec<&str> = text.lines().take(line - 1).collect();
        let comment: Vec<&str> = comment
            .into_iter()
            .rev()
            .take_while(|line| line.starts_with('#'))
            .collect();
        let comment: String = comment.into_iter().rev().collect();
        for part in [key.variable, key.flag] {
            assert!(
                comment.contains(part),
                "{} is not explained by {part}: {comment:?}",
                key.name
            );
        }
    }
}

#[test]
fn the_help_names_every_flag_with_its_variable_and_default() {
    for arguments in [&["--help"][..], &["serve", "--help"]] {
        let output = run(arguments, &[]);
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).expect("text");
        let joined = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in keys() {
            for part in [key.flag, key.variable] {
                assert!(help.contains(part), "{part} is not in {help}");
            }
            let default = format!("[default: {}]", key.default);
            assert!(
                key.default.is_empty() || key.default == "0" || joined.contains(&default),
                "{default} of {} is not in {help}",
                key.name
            );
        }
    }
    let help = String::from_utf8(run(&["--help"], &[]).stdout).expect("text");
    for example in [
        "Examples:",
        "jobshim demo",
        "jobshim check",
        "jobshim explain",
        "jobshim mapping",
    ] {
        assert!(help.contains(example), "{example} is not in {help}");
    }
}

#[test]
fn the_short_help_shows_the_settings_that_people_use_and_the_long_one_groups_all() {
    for command in ["serve", "check", "doctor"] {
        let [short, long] = ["-h", "--help"].map(|flag| {
            let output = run(&[command, flag], &[]);
            String::from_utf8(output.stdout).expect("text")
        });
        let has = |help: &str, flag: &str| help.split_whitespace().any(|word| word.trim_end_matches("...") == flag);
        for key in keys() {
            assert_eq!(has(&short, key.flag), key.common, "{} in {short}", key.flag);
            assert!(has(&long, key.flag), "{} in {long}", key.flag);
        }
        for section in SECTIONS {
            assert!(
                long.contains(&format!("\n{}:\n", section.heading)),
                "{} in {long}",
                section.heading
            );
        }
    }
    // And --config.
    assert_eq!(keys().filter(|key| key.common).count(), 9);
}
