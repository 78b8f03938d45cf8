use super::*;
use crate::config::{self, Options, settings::LEGACY};
use crate::routes::Endpoint;
use crate::routes::RouteName;
use crate::telemetry::{Comparison, Finding, Findings, Kind, Sample};

fn policy(text: &str) -> Policy {
    let options = Options::default().with(&LEGACY.routes.key, format!("history={text}"));
    let loaded = config::load(&options, |_| None).expect("a configuration");
    loaded.config.legacy.policy(RouteName::History).clone()
}

/// What is found in answers about `jobs` jobs, of which those below `bad` show this.
fn found(jobs: u64, bad: u64, kind: Kind) -> Found {
    let findings = Findings::default();
    for job in 0..jobs {
        let finding = Finding {
            field: "outputs".to_owned(),
            kind,
            sample: Sample::default(),
            job: Some(job),
        };
        let comparison = Comparison {
            jobs: vec![job],
            findings: if job < bad { vec![finding] } else { Vec::new() },
        };
        findings.note(Endpoint::History, &comparison, "n8n");
    }
    findings.by_route().remove(&Endpoint::History).expect("a route")
}

/// A read of which nothing is known.
fn nothing_known(policy: &Policy) -> Evidence<'_> {
    Evidence {
        policy,
        is_read: true,
        back: None,
        found: None,
        recent: RecentCalls::default(),
        quiet_days: 0,
        unused_days: UNUSED_DAYS,
    }
}

#[test]
fn each_has_its_words_and_what_is_worse_comes_first() {
    let fine = RecentCalls {
        calls: 9,
        failed: 0,
        translated: 9,
    };
    let failing = RecentCalls {
        calls: 9,
        failed: 5,
        translated: 4,
    };
    let back = RollbackRecord {
        terms: String::new(),
        at_ms: 7,
        reason: "3 of 20 jobs differ".to_owned(),
    };
    let (same, differs, loses) = (
        found(20, 0, Kind::Noise),
        found(40, 3, Kind::Difference),
        found(40, 30, Kind::Loss),
    );
    let few = found(3, 0, Kind::Noise);
    let absent = {
        let findings = Findings::default();
        (0..3).for_each(|_| drop(findings.note_missing(Endpoint::History, Compared::Absent)));
        findings.by_route().remove(&Endpoint::History).expect("a route")
    };
    for (mode, found, recent, back, quiet_days, name, words, bad) in [
        (
            "translate",
            None,
            failing,
            None,
            0,
            "failing",
            "failing: 5 of the last 9 calls",
            true,
        ),
        (
            "shadow",
            Some(&same),
            failing,
            None,
            0,
            "failing",
            "failing: 5 of the last 9 calls",
            true,
        ),
        (
            "canary:5",
            Some(&same),
            fine,
            Some(&back),
            0,
            "rolled_back",
            "rolled back: 3 of 20 jobs differ",
            true,
        ),
        (
            "translate",
            None,
            fine,
            None,
            30,
            "unused",
            "unused for 30 days: safe to remove, the server's own endpoint and jobshim for it",
            false,
        ),
        (
            "shadow",
            Some(&differs),
            fine,
            None,
            0,
            "differs",
            "differs: 3 of 40 jobs, in outputs; seen by n8n",
            true,
        ),
        (
            "canary:5,compare",
            Some(&differs),
            fine,
            None,
            0,
            "differs",
            "differs: 3 of 40 jobs, in outputs; seen by n8n",
            true,
        ),
        (
            "shadow",
            Some(&loses),
            fine,
            None,
            0,
            "loses",
            "loses outputs in 30 of 40 jobs, which the Jobs API does not carry; ready, if nobody reads that: seen by n8n",
            true,
        ),
        (
            "shadow",
            Some(&same),
            fine,
            None,
            0,
            "ready_for_canary",
            "ready for canary: 20 compared jobs are the same, and none differs",
            false,
        ),
        (
            "shadow",
            Some(&few),
            fine,
            None,
            0,
            "watching",
            "watching: 3 of 20 jobs compared",
            false,
        ),
        (
            "shadow",
            None,
            fine,
            None,
            0,
            "watching",
            "watching: 0 of 20 jobs compared",
            false,
        ),
        ("canary:5", Some(&same), fine, None, 0, "canary", "canary at 5%", false),
        (
            "translate",
            None,
            fine,
            None,
            0,
            "translated",
            "translated: the server's own endpoint is not asked any more",
            false,
        ),
        (
            "auto",
            None,
            fine,
            None,
            29,
            "translated",
            "translated: the server's own endpoint is not asked any more",
            false,
        ),
        (
            "auto",
            None,
            RecentCalls::default(),
            None,
            0,
            "forwarded",
            "forwarded, and not compared",
            false,
        ),
        (
            "forward",
            None,
            fine,
            None,
            0,
            "forwarded",
            "forwarded, and not compared",
            false,
        ),
        ("gone", None, fine, None, 0, "gone", "gone: answered with 410", false),
        (
            "gone:50",
            None,
            fine,
            None,
            0,
            "gone",
            "gone for 50% of the requests: answered with 410, the others from the Jobs API",
            false,
        ),
        (
            "canary:100,compare",
            Some(&absent),
            fine,
            None,
            0,
            "canary",
            "canary at 100%",
            false,
        ),
        (
            "shadow",
            Some(&absent),
            fine,
            None,
            0,
            "no_endpoint",
            "nothing to compare with: the server has no endpoint of its own, and clients get its 404",
            true,
        ),
    ] {
        let policy = policy(mode);
        let verdict = Verdict::of(&Evidence {
            policy: &policy,
            is_read: true,
            back,
            found,
            recent,
            quiet_days,
            unused_days: UNUSED_DAYS,
        });
        let shown = verdict.shown("history");
        assert_eq!(
            (shown.verdict, shown.words.as_str(), shown.bad),
            (name, words, bad),
            "{mode}"
        );
        assert!(!shown.next_step.is_empty());
    }
}

#[test]
fn answers_of_writes_are_never_called_compared() {
    let policy = policy("shadow");
    let verdict = Verdict::of(&Evidence {
        is_read: false,
        ..nothing_known(&policy)
    });
    assert_eq!(verdict, Verdict::Forwarded { is_read: false });
    assert!(!verdict.next_step().contains("shadow"), "it has that mode already");
}

#[test]
fn a_route_whose_translations_fail_beside_is_never_ready() {
    let findings = Findings::default();
    for job in 0..30 {
        let comparison = Comparison {
            jobs: vec![job],
            findings: Vec::new(),
        };
        findings.note(Endpoint::History, &comparison, "n8n");
    }
    let verdict = |findings: &Findings| {
        let policy = policy("shadow");
        let found = findings.by_route().remove(&Endpoint::History);
        Verdict::of(&Evidence {
            found: found.as_ref(),
            ..nothing_known(&policy)
        })
    };
    assert_eq!(verdict(&findings), Verdict::ReadyForCanary(30));
    findings.note_missing(Endpoint::History, Compared::Failed);
    assert_eq!(verdict(&findings), Verdict::CannotTranslate(1, 31));
    assert!(verdict(&findings).is_bad());
}

#[test]
fn what_is_noise_alone_or_has_no_ids_is_never_called_ready() {
    let only = |outcome, answers: u64| {
        let findings = Findings::default();
        for _ in 0..answers {
            findings.note_missing(Endpoint::History, outcome);
        }
        findings.by_route().remove(&Endpoint::History).expect("a route")
    };
    let policy = policy("shadow");
    let verdict = |found: &Found| {
        Verdict::of(&Evidence {
            found: Some(found),
            ..nothing_known(&policy)
        })
    };
    for (found, name, words) in [
        (
            found(30, 30, Kind::Noise),
            "only_noise",
            "cannot be compared: in all 30 compared answers the server's own endpoint differs from itself, so nobody knows whether \
             translations do",
        ),
        (
            only(Compared::Unpaired, 2),
            "unpaired",
            "cannot be compared: the jobs in 2 answers of the server have no ids, so nobody knows whether they differ",
        ),
    ] {
        let verdict = verdict(&found);
        assert_eq!((verdict.name(), verdict.to_string()), (name, words.to_owned()));
        assert!(verdict.is_bad(), "{name}");
    }
    // Few that are noise say nothing yet, and one that is the same shows that others can be compared.
    for found in [found(2, 2, Kind::Noise), found(31, 30, Kind::Noise)] {
        assert_eq!(verdict(&found).name(), "watching");
    }
}
