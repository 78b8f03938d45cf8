//! Uploads, their content, and workflows that use them.

use super::{Api, code, picture, told};
use http::Method;
use jobshim::demo::v2::{Call, Options};
use serde_json::{Value, json};

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

fn form(fields: &[(&str, &str)]) -> String {
    let parts = fields.iter().map(|(name, value)| {
        let file = if *name == "file" {
            "; filename=\"f\"\r\ncontent-type: image/png"
        } else {
            ""
        };
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    });
    format!("{}--XX--\r\n", parts.collect::<String>())
}

impl Api {
    async fn upload(&self, fields: &[(&str, &str)], more: &[(&str, &str)]) -> (u16, Value) {
        let headers = [&[FORM], more].concat();
        told(&self.send(Method::POST, "/api/v2/assets", &headers, &form(fields)).await)
    }
}

fn uses(asset: &str) -> Value {
    let mut workflow = picture();
    let reference = json!({"__type": "core/ASSET", "info": {"id": asset}});
    workflow["1"] = json!({"class_type": "LoadImage", "inputs": {"image": reference}});
    workflow
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_an_asset_that_workflows_can_use() {
    let api = Api::start(Options::default()).await;
    let fields = [("file", "the bytes"), ("file_path", "input/sub/cat.png"), ("tags", "a")];
    let (status, asset) = api.upload(&fields, &[]).await;
    assert_eq!((status, &asset["created_new"]), (201, &json!(true)), "{asset}");
    assert_eq!(asset["file_path"], "sub/cat.png");
    assert_eq!(
        (&asset["size_bytes"], &asset["content_type"]),
        (&json!(9), &json!("image/png"))
    );
    let id = asset["id"].as_str().expect("an id");
    assert_eq!(api.simulator.content(id).as_deref(), Some(&b"the bytes"[..]));
    let (_, again) = api.get(&format!("/api/v2/assets/{id}")).await;
    for name in [
        "id",
        "hash",
        "size_bytes",
        "content_type",
        "file_path",
        "created_at",
        "url",
    ] {
        assert_eq!(again[name], asset[name], "{name}");
    }
    // The same bytes are the same asset, whatever they are called.
    let (status, same) = api
        .upload(&[("file", "the bytes"), ("file_path", "dog.png")], &[])
        .await;
    assert_eq!((status, &same["created_new"]), (200, &json!(false)));
    assert_eq!((&same["id"], &same["file_path"]), (&asset["id"], &asset["file_path"]));

    let job = api.submit(&uses(id)).await;
    let (_, workflow) = api.get(&format!("/api/v2/jobs/{job}/workflow")).await;
    assert_eq!(
        workflow["workflow"]["1"]["inputs"]["image"], "sub/cat.png",
        "{workflow}"
    );
    let named = |name: &str| {
        let mut workflow = uses(id);
        workflow["1"]["inputs"]["image"] = json!(name);
        json!({ "workflow": workflow })
    };
    assert_eq!(api.post("/api/v2/jobs", &named("sub/cat.png [input]")).await.0, 201);
    let (status, error) = api.post("/api/v2/jobs", &named("cat.png")).await;
    assert_eq!((status, code(&error)), (422, "invalid_workflow"));
    let reason = &error["error"]["details"]["node_errors"]["1"]["errors"][0]["type"];
    assert_eq!(reason, "custom_validation_failed", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_that_are_missing_or_of_another_are_refused() {
    let api = Api::start(Options {
        keys: vec!["one".to_owned(), "two".to_owned()],
        ..Options::default()
    })
    .await;
    let one = ("authorization", "Bearer one");
    let two = ("authorization", "Bearer two");
    let fields = [("file", "x"), ("file_path", "x.png")];
    let (_, asset) = api.upload(&fields, &[one]).await;
    let id = asset["id"].as_str().expect("an id");
    let (status, other) = api.upload(&fields, &[two]).await;
    assert_eq!(status, 201);
    assert_ne!(other["id"], asset["id"], "of each key its own");
    let body = json!({"workflow": uses(id)}).to_string();
    assert_eq!(api.send(Method::POST, "/api/v2/jobs", &[one], &body).await.status, 201);
    let (status, error) = told(&api.send(Method::POST, "/api/v2/jobs", &[two], &body).await);
    assert_eq!((status, code(&error)), (422, "missing_asset"));
    assert_eq!(error["error"]["details"]["missing_ids"], json!([id]));
    let malformed =
        json!({"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": {"__type": "core/ASSET"}}}}});
    let (status, error) = told(
        &api.send(Method::POST, "/api/v2/jobs", &[one], &malformed.to_string())
            .await,
    );
    assert_eq!((status, code(&error)), (422, "missing_asset"));
    let (status, error) = told(&api.send(Method::GET, &format!("/api/v2/assets/{id}"), &[two], "").await);
    assert_eq!((status, code(&error)), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_malformed_or_too_large_are_refused() {
    let api = Api::start(Options {
        max_upload: 1_000,
        ..Options::default()
    })
    .await;
    let long = "x".repeat(2_000);
    let longer = "x".repeat(2 << 20);
    for (fields, status, wanted) in [
        (vec![("file", "x")], 422, "invalid_request"),
        (vec![("file_path", "x")], 422, "invalid_request"),
        (vec![("file", "x"), ("file_path", "../x")], 422, "invalid_request"),
        (vec![("file", "x"), ("file_path", "/x")], 422, "invalid_request"),
        (
            vec![("file", "x"), ("file_path", "x"), ("expected_hash", "blake3:00")],
            409,
            "hash_mismatch",
        ),
        (vec![("file", &long), ("file_path", "x")], 413, "payload_too_large"),
        (vec![("file", &longer), ("file_path", "x")], 413, "payload_too_large"),
    ] {
        let (given, error) = api.upload(&fields, &[]).await;
        assert_eq!((given, code(&error)), (status, wanted), "{:.80?}", fields);
    }
    for (content_type, body) in [("application/json", "{}"), (FORM.1, "no parts")] {
        let headers = [("content-type", content_type)];
        let (status, error) = told(&api.send(Method::POST, "/api/v2/assets", &headers, body).await);
        assert_eq!((status, code(&error)), (422, "invalid_request"), "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_comes_whole_in_part_or_from_another_host() {
    for redirect in [false, true] {
        let api = Api::start(Options {
            redirect,
            keys: vec!["one".to_owned()],
            ..Options::default()
        })
        .await;
        let key = ("authorization", "Bearer one");
        let fields = [
            ("file", "0123456789"),
            ("file_path", "x.txt"),
            ("content_type", "text/plain"),
        ];
        let (_, asset) = api.upload(&fields, &[key]).await;
        let url = asset["url"].as_str().expect("a URL").to_owned();
        let own = format!("/api/v2/assets/{}/content", asset["id"].as_str().expect("an id"));
        let (at, target, key) = if redirect {
            let reply = api.send(Method::GET, &own, &[key], "").await;
            assert_eq!(reply.status, 302);
            let location = reply.header("location").to_owned();
            let host = format!("http://{}", api.simulator.storage_address());
            assert!(url.starts_with(&host), "{url}");
            let target = location.strip_prefix(&host).expect("the other host").to_owned();
            // Whoever sends the key there does what must not be.
            let reply = api
                .client
                .get_with(api.simulator.storage_address(), &target, &[key])
                .await;
            assert_eq!(reply.status, 400);
            let changed = target.replace("expires=1", "expires=2");
            let reply = api.client.get(api.simulator.storage_address(), &changed).await;
            assert_eq!(reply.status, 403);
            (api.simulator.storage_address(), target, None)
        } else {
            assert_eq!(url, format!("{}{own}", api.simulator.url()));
            assert_eq!(api.send(Method::GET, &own, &[], "").await.status, 401);
            (api.simulator.address(), own, Some(key))
        };
        for (range, status, body, shown) in [
            (None, 200, "0123456789", ""),
            (Some("bytes=2-4"), 206, "234", "bytes 2-4/10"),
            (Some("bytes=-2"), 206, "89", "bytes 8-9/10"),
            (Some("bytes=10-"), 416, "", "bytes */10"),
        ] {
            let headers: Vec<(&str, &str)> = key.into_iter().chain(range.map(|range| ("range", range))).collect();
            let reply = api.client.get_with(at, &target, &headers).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (status, body),
                "{range:?}"
            );
            assert_eq!(reply.header("content-range"), shown);
            assert_eq!(reply.header("content-type"), "text/plain");
            assert_eq!(reply.header("accept-ranges"), "bytes");
        }
        assert_eq!(api.simulator.count(Call::Signed), if redirect { 6 } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_assets_of_their_job() {
    for options in [Options::default(), Options::api_proxy()] {
        let api = Api::start(options).await;
        let id = api.submit(&picture()).await;
        api.simulator.finish(&id);
        let job = api.job(&id).await;
        let output = &job["outputs"][0];
        let (_, asset) = api
            .get(&format!("/api/v2/assets/{}", output["id"].as_str().expect("an id")))
            .await;
        for name in ["id", "hash", "size_bytes", "content_type", "url", "job_id"] {
            assert_eq!(asset[name], output[name], "{name}");
        }
        assert_eq!(asset["file_path"], output["name"]);
        let url = output["url"].as_str().expect("a URL");
        let target = url.strip_prefix(&api.simulator.url()).expect("its own URL");
        let reply = api.send(Method::GET, target, &[], "").await;
        assert_eq!(reply.header("content-type"), "image/png");
        assert!(reply.body.starts_with(b"\x89PNG"));
        let head = api.send(Method::HEAD, target, &[], "").await;
        assert_eq!(head.header("content-length"), reply.body.len().to_string());
    }
}
