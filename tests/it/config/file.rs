//! The configuration file: what is told of keys and lines that cannot be used.

use super::{refused, with_file};
use jobshim::config::Options;
use std::path::PathBuf;

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
