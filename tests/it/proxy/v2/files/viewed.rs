//! What `/view` shows.

use super::Setup;
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options};
use serde_json::json;

/// The query for an output.
const OUTPUT: &str = "filename=example_00001_.png&subfolder=sub&type=output";

/// With the picture of a job that has ended, of which nobody has asked anything yet.
async fn with_picture(options: Options) -> Setup {
    let setup = Setup::new(options).await;
    let (id, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&id);
    setup
}

#[tokio::test]
async fn an_output_is_shown_whether_or_not_its_job_was_asked_for_before() {
    for options in [Options::default(), Options::api_proxy()] {
        for asks in [true, false] {
            let setup = with_picture(options.clone()).await;
            if asks {
                let history = setup.get("/history").await;
                let entry = history
                    .as_object()
                    .and_then(|jobs| jobs.values().next())
                    .expect("a job");
                let wanted = json!([{"filename": "example_00001_.png", "subfolder": "sub", "type": "output"}]);
                assert_eq!(entry["outputs"]["9"]["images"], wanted, "{history}");
            }
            let whole = setup.view(&[], OUTPUT).await;
            assert_eq!(whole.status, 200, "{}", whole.text());
            assert_eq!(whole.header("content-type"), "image/png");
            assert_eq!(whole.header("content-disposition"), "filename=\"example_00001_.png\"");
            let part = setup.view(&[("range", "bytes=1-3")], OUTPUT).await;
            assert_eq!(part.status, 206, "{}", part.text());
            assert_eq!(part.body, whole.body.slice(1..4));
            let shown = format!("bytes 1-3/{}", whole.body.len());
            assert_eq!(part.header("content-range"), shown);
            let outside = setup.view(&[("range", "bytes=99999999-")], OUTPUT).await;
            assert_eq!(outside.status, 416);
            let target = format!("/api/view?{OUTPUT}");
            let head = setup
                .client
                .send(Method::HEAD, setup.jobshim.address, &target, &[], "")
                .await
                .expect("an answer");
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
            assert_eq!(head.header("content-length"), whole.body.len().to_string());
        }
    }
}

#[tokio::test]
async fn conditional_headers_reach_the_server() {
    let setup = with_picture(Options::default()).await;
    let headers = [
        ("if-none-match", "\"x\""),
        ("if-range", "\"y\""),
        ("range", "bytes=0-1"),
    ];
    setup.view(&headers, OUTPUT).await;
    let seen = setup.server.seen();
    let (_, shown) = seen
        .iter()
        .rev()
        .find(|(call, _)| *call == Call::Content)
        .expect("content");
    for (name, value) in headers {
        assert_eq!(shown.headers[name], value);
    }
}

#[tokio::test]
async fn a_name_that_nobody_was_given_is_a_404_and_jobs_are_asked_for_their_files_once() {
    let setup = with_picture(Options::default()).await;
    setup.shown(OUTPUT).await;
    let (jobs, others) = (setup.server.count(Call::Job), setup.server.count(Call::Other));
    for query in [
        "filename=example_00001_.png&subfolder=&type=output",
        "filename=example_00001_.png&subfolder=sub&type=temp",
        "filename=example_00001_.png&subfolder=../sub",
        "filename=../example_00001_.png&subfolder=sub",
        "filename=/etc/passwd",
        "filename=",
        "subfolder=sub",
        "",
    ] {
        let answer = setup.view(&[], query).await;
        assert_eq!(answer.status, 404, "{query}: {}", answer.text());
    }
    assert_eq!(setup.server.count(Call::Job), jobs, "its files are known");
    let answer = setup.view(&[], &format!("{OUTPUT}&channel=a")).await;
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert_eq!(setup.view(&[], &format!("{OUTPUT}&channel=rgba")).await.status, 200);
    assert_eq!(setup.server.count(Call::Other), others);
}

#[tokio::test]
async fn a_job_that_cannot_be_asked_for_its_files_is_no_404() {
    let setup = with_picture(Options::default()).await;
    setup.server.fail_next(Some(Call::Job), 1, Fault::Status(500));
    let answer = setup.view(&[], OUTPUT).await;
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(setup.view(&[], OUTPUT).await.status, 200);
    // What the server has no more is its own 404.
    setup.server.restart();
    assert_eq!(setup.view(&[], OUTPUT).await.status, 404);
}

#[tokio::test]
async fn jobs_are_asked_for_their_files_until_they_end_and_one_that_fails_hides_no_other() {
    // One after the other.
    let setup = Setup::with(Options::default(), |config| config.upstream.concurrency = 1).await;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(setup.submit(&[], json!({})).await.0);
    }
    setup.server.finish(&jobs[0]);
    setup.server.finish(&jobs[1]);
    // The list says which have ended.
    setup.get("/queue").await;
    let miss = async || {
        let before = setup.server.count(Call::Job);
        let answer = setup.view(&[], "filename=none.png").await;
        (answer.status.as_u16(), setup.server.count(Call::Job) - before)
    };
    setup.server.fail_next(Some(Call::Job), 1, Fault::Status(500));
    // Both have a picture of that name, and are asked for before those that run.
    setup.shown(OUTPUT).await;
    assert_eq!(miss().await, (404, 16), "those that have not ended may have more");
    for id in &jobs {
        setup.server.finish(id);
    }
    assert_eq!(miss().await, (404, 16));
    assert_eq!(miss().await, (404, 2), "the others");
    for _ in 0..2 {
        assert_eq!(miss().await, (404, 0), "nobody is asked twice");
    }
}

#[tokio::test]
async fn a_redirect_reaches_the_client_and_no_key_goes_along() {
    let options = Options {
        redirect: true,
        keys: vec!["comfyui-one".to_owned()],
        ..Options::default()
    };
    let setup = Setup::with(options, |config| {
        let key = "Bearer comfyui-one".parse().expect("a value");
        config.upstream.headers = vec![(http::header::AUTHORIZATION, key)];
    })
    .await;
    setup.upload(&[], "a.png", "content", &[]).await;
    let answer = setup.view(&[], "filename=a.png&type=input").await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(setup.server.count(Call::Signed), 0, "nobody but its client follows it");
    let storage = setup.server.storage_address();
    let location = answer.header("location").to_owned();
    let target = location
        .strip_prefix(&format!("http://{storage}"))
        .expect("the storage");
    assert!(!target.contains("comfyui-one"), "{target}");
    let followed = setup.client.get(storage, target).await;
    assert_eq!((followed.status.as_u16(), followed.text().as_str()), (200, "content"));
}
