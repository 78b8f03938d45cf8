//! What `check` and the log at the start warn of.

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
    ] {
        let warnings = ignore(path);
        assert!(
            warnings.len() == 1 && warnings[0].contains(path) && warnings[0].contains(meant),
            "{warnings:?}"
        );
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
