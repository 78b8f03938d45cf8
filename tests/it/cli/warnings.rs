//! What `check` and the log at the start warn of.

#![cfg(unix)]

use crate::support::program::{Program, run};

fn warned(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let output = run(&[&["check"], arguments].concat(), environment);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = text.lines().filter_map(|line| line.strip_prefix("warning: "));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_variable_that_looks_like_a_setting_and_is_none_is_named_but_not_those_of_kubernetes() {
    let warnings = warned(
        &["--upstream-header", "X-API-Key=env:JOBSHIM_MY_KEY"],
        &[
            ("JOBSHIM_MY_KEY", "k"),
            ("JOBSHIM_UPSTRAEM", "http://a"),
            ("JOBSHIM_PORT", "8187"),
            ("JOBSHIM_SERVICE_HOST", "10.0.0.1"),
            ("JOBSHIM_SERVICE_PORT", "8187"),
            ("JOBSHIM_SERVICE_PORT_HTTP", "8187"),
            ("JOBSHIM_PORT_8187_TCP", "tcp://10.0.0.1:8187"),
            ("JOBSHIM_PORT_8187_TCP_ADDR", "10.0.0.1"),
            ("JOBSHIM_WEB_PORT", "tcp://10.0.0.1:8187"),
            ("JOBSHIM_WEB_PORT_8187_TCP_PROTO", "tcp"),
            ("JOBSHIM_CONFIG", ""),
        ],
    );
    assert_eq!(
        warnings,
        [
            "the variable JOBSHIM_PORT is no setting and does nothing",
            "the variable JOBSHIM_UPSTRAEM is no setting and does nothing: did you mean JOBSHIM_UPSTREAM?",
        ]
    );
}

#[test]
fn a_field_that_no_entry_has_is_not_passed_over_in_silence() {
    let ignore = |path: &'static str| warned(&["--shadow-ignore", path], &[]);
    for path in ["prompt[4]", "outputs.*.text", "prompt[3].client_id", "status", "*.x"] {
        assert_eq!(ignore(path), [""; 0], "{path}");
    }
    for (path, meant) in [
        ("promt[4]", "did you mean prompt[4]?"),
        ("output.*.text", "did you mean outputs?"),
        (
            "prompt[9]",
            "there are prompt[0], prompt[1], prompt[2], prompt[3], prompt[4]",
        ),
        (
            "nothing.of.this",
            "and others: jobshim mapping --format markdown has all of them",
        ),
    ] {
        let warnings = ignore(path);
        assert!(
            warnings.len() == 1 && warnings[0].contains(path) && warnings[0].contains(meant),
            "{warnings:?}"
        );
        assert!(
            !warnings[0].contains("jobshim.toml") && warnings[0].matches(", ").count() <= 5,
            "{warnings:?}"
        );
    }
    let folder = crate::support::TableFolder::with(
        "ignored",
        &[(
            "jobshim.toml",
            "[shadow]\nignore = [\n  \"status\",\n  \"promt[4]\",\n  \"prompt[9]\",\n]\n",
        )],
    );
    let file = folder.path.join("jobshim.toml").display().to_string();
    let warnings = warned(&["--config", &file], &[]);
    let begins = |nth: usize, line: usize| warnings[nth].starts_with(&format!("{file}:{line}: shadow.ignore names "));
    assert!(warnings.len() == 2 && begins(0, 4) && begins(1, 5), "{warnings:?}");
}

#[test]
fn whether_something_is_to_be_has_one_spelling_where_it_is_shown() {
    for word in ["yes", "no", "1", "0"] {
        let output = run(&["check", "--compress", word], &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{word}: {text}");
        assert!(text.contains("true, false, on or off"), "{word}: {text}");
    }
    for (word, shown) in [("on", "true"), ("OFF", "false"), ("True", "true")] {
        let output = run(&["check", "--compress", word], &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("legacy.compress"));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        assert!(words.contains(&shown) && !words.contains(&word), "{word}: {words:?}");
    }
}

#[test]
fn an_open_listener_is_said_with_what_it_means() {
    let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).expect("a certificate");
    let folder = crate::support::TableFolder::with(
        "open-listener",
        &[
            ("c.pem", &certificate.cert.pem()),
            ("k.pem", &certificate.signing_key.serialize_pem()),
        ],
    );
    let path = |name: &str| folder.path.join(name).display().to_string();
    let (c, k) = (path("c.pem"), path("k.pem"));
    let tls = ["--tls-certificate", &c, "--tls-key", &k];
    let everywhere = ["--listen", "0.0.0.0:8187"];
    let token = ["--access-token", "word"];
    for (more, said, not_said) in [
        (
            &[][..],
            &["0.0.0.0:8187", "use the server behind", "reads along", "--access-token"][..],
            &[][..],
        ),
        (&tls, &["use the server behind"], &["reads along"]),
        (
            &token,
            &["without TLS", "reads the access token"],
            &["use the server behind"],
        ),
    ] {
        let warnings = warned(&[&everywhere, more].concat(), &[]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for part in said {
            assert!(warnings[0].contains(part), "{part} is not in {warnings:?}");
        }
        for part in not_said {
            assert!(!warnings[0].contains(part), "{part} is in {warnings:?}");
        }
    }
    let proxy = ["--trusted-proxies", "10.0.0.0/8"];
    for well in [
        [&everywhere[..], &token, &tls].concat(),
        [&everywhere[..], &token, &proxy].concat(),
        [&everywhere[..], &["--i-know-this-is-open"]].concat(),
        vec!["--listen", "8187"],
        vec!["--listen", "unix:/tmp/jobshim-none.sock"],
    ] {
        assert_eq!(warned(&well, &[]), [""; 0], "{well:?}");
    }
    let mut program = Program::start(&["--listen", "0.0.0.0:0", "--upstream", "http://127.0.0.1:9"], &[]);
    let line = program.line_with("use the server behind");
    assert!(line.contains("WARN"), "{line}");
}
