//! Flags, environment, file, defaults: who wins, and what a bad value is told.

use super::{refused, with_file};
use crate::support::program::run;
use jobshim::config::{
    Loaded, Options, Origin, keys, load,
    settings::{LISTEN, SECTIONS, UPSTREAM},
};
use std::path::PathBuf;

fn setting<'a>(loaded: &'a Loaded, key: &str) -> (&'a str, &'a Origin) {
    let found = loaded.values.iter().find(|value| value.key.name == key);
    let found = found.expect("every key has a value");
    (&found.text, &found.origin)
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
