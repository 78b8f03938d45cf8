use super::*;
use crate::telemetry::labels::CacheResult;
use std::sync::Arc;

#[test]
fn a_look_tells_which_calls_were_gone_since_the_last_one() {
    let (metrics, series) = (Metrics::new(Arc::default()), Series::default());
    let gone = RequestKind {
        route: Endpoint::Queue,
        mode: Mode::Gone,
        source: Source::Jobshim,
        status: StatusClass::ClientError,
    };
    let others = [
        // A brown-out refuses some calls only.
        RequestKind {
            source: Source::JobsApi,
            ..gone
        },
        RequestKind {
            mode: Mode::Translate,
            ..gone
        },
    ];
    for kind in others.into_iter().chain([gone, gone]) {
        metrics.request(kind, Duration::from_millis(1), 0, 0);
    }
    assert_eq!(series.look(&metrics), [(Endpoint::Queue, 2)]);
    assert_eq!(series.look(&metrics), []);
}

#[test]
fn each_step_holds_what_came_since_the_one_before() {
    let (metrics, series) = (Metrics::new(Arc::default()), Series::default());
    let kind = RequestKind {
        route: Endpoint::History,
        mode: Mode::Translate,
        source: Source::JobsApi,
        status: StatusClass::Success,
    };
    let failed = RequestKind {
        status: StatusClass::ServerError,
        ..kind
    };
    for requests in [2, 0, 3] {
        for _ in 0..requests {
            metrics.request(kind, Duration::from_millis(2), 0, 10);
        }
        series.look(&metrics);
    }
    metrics.request(failed, Duration::from_millis(40), 0, 10);
    metrics.cache(CacheResult::Hit, 3);
    series.look(&metrics);
    let hour = series.columns(Span::Hour, &metrics);
    assert_eq!(hour["routes"]["history"], json!([2, 0, 3, 1]));
    assert_eq!(hour["modes"]["translate"], json!([2, 0, 3, 1]));
    assert_eq!(hour["errors"]["legacy"], json!([0, 0, 0, 1]));
    // A failure is no answer from the Jobs API.
    let totals = json!({"count": 6, "translated": 5, "failed": 1});
    assert_eq!(hour["totals"]["history"], totals);
    assert_eq!(hour["hits"], json!([0, 0, 0, 3]));
    let p50 = &hour["latency"]["jobs_api"]["p50"];
    // Within the buckets from 1 to 2.5 ms and from 25 to 50 ms.
    assert!(p50[0].as_f64().is_some_and(|ms| (1.0..=2.5).contains(&ms)), "{p50}");
    assert_eq!(p50[1], Value::Null);
    assert!(p50[3].as_f64().is_some_and(|ms| (25.0..=50.0).contains(&ms)), "{p50}");
    let day = series.columns(Span::Day, &metrics);
    assert_eq!(day["at"], json!([]), "the day's first step is not over");
    assert_eq!(
        (&day["totals"]["history"], &day["cached"]["hits"]),
        (&totals, &json!(3))
    );
}

#[test]
fn what_others_count_is_counted_with_it_and_each_tells_only_its_own() {
    let (metrics, series) = (Metrics::new(Arc::default()), Series::default());
    let (theirs, other) = (Metrics::new(Arc::default()), Series::default());
    let kind = RequestKind {
        route: Endpoint::History,
        mode: Mode::Translate,
        source: Source::JobsApi,
        status: StatusClass::ServerError,
    };
    let tell = || {
        let told = other.to_tell(&theirs, false);
        let is_told = told.is_some();
        told.into_iter()
            .for_each(|told| series.hear("other".to_owned(), told, true));
        is_told
    };
    theirs.request(kind, Duration::from_millis(2), 0, 10);
    assert!(tell(), "that it is there");
    metrics.request(kind, Duration::from_millis(2), 0, 10);
    theirs.request(kind, Duration::from_millis(300), 0, 10);
    theirs.cache(CacheResult::Miss, 4);
    assert!(tell());
    series.look(&metrics);
    let hour = series.columns(Span::Hour, &metrics);
    // It came later: all that it counts is news.
    assert_eq!(hour["routes"]["history"], json!([3]));
    assert_eq!(hour["misses"], json!([4]));
    let p95 = &hour["latency"]["jobs_api"]["p95"][0];
    assert!(p95.as_f64().is_some_and(|ms| ms > 250.0), "{p95}");
    assert_eq!(series.recent()[&Endpoint::History].failed, 3);
    let told = series.to_tell(&metrics, false).map(|told| told.counters);
    assert_eq!(told, Some(Counters::at(&metrics)), "its own alone");
    assert!(!tell(), "nothing new");
    other.not_told();
    assert!(tell(), "what has not reached them is told again");
    assert_eq!(series.jobshims(), 2);
    let end = other.to_tell(&theirs, true).expect("that it ends");
    series.hear("other".to_owned(), end, false);
    assert_eq!(series.jobshims(), 1);
}
