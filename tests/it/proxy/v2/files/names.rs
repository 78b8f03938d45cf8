//! Names of uploads in prompts.

use super::{Setup, load};
use http::Method;
use jobshim::demo::v2::{Call, Options};
use serde_json::json;

impl Setup {
    /// What the server got of the last prompt.
    fn submitted(&self) -> String {
        let seen = self.server.seen();
        let submitted = seen.iter().rev().find(|(call, _)| *call == Call::Submit);
        let (_, seen) = submitted.expect("a submission");
        String::from_utf8_lossy(&seen.body).into_owned()
    }

    /// The asset of the upload that was last shown.
    fn asset(&self) -> String {
        let seen = self.server.seen();
        let shown = seen.iter().rev().find(|(call, _)| *call == Call::Content);
        let target = &shown.expect("content").1.target;
        let id = target.split('/').rev().nth(1);
        id.expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_name_of_an_upload_becomes_its_asset_and_the_rest_stays_as_it_was_sent() {
    let setup = Setup::new(Options::default()).await;
    setup.upload(&[], "cat.png", "cat", &[("subfolder", "sub")]).await;
    setup.shown("filename=cat.png&subfolder=sub&type=input").await;
    let asset = setup.asset();
    for name in [r#""sub/cat.png""#, r#""sub\/c\u0061t.png [input]""#] {
        let workflow = |image: &str| {
            format!(
                r#"{{"1" :{{"class_type": "LoadImage", "inputs": {{"image":{image} }},"_meta":{{"title":"sub/cat.png"}}}}, "9": {{"class_type": "SaveImage", "inputs": {{"images": ["1", 0], "filename_prefix": "sub/cat" , "x":1.50}}}}}}"#
            )
        };
        let body = format!(r#"{{"prompt": {}, "client_id": "sub/cat.png"}}"#, workflow(name));
        let sent = setup
            .client
            .send(Method::POST, setup.jobshim.address, "/prompt", &[], body);
        let answer = sent.await.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reference = format!(r#"{{"__type": "core/ASSET", "info": {{"id": "{asset}"}}}}"#);
        let got = setup.submitted();
        assert!(got.contains(&workflow(&reference)), "{got}");
    }
}

#[tokio::test]
async fn a_job_that_uses_an_upload_runs_and_its_picture_is_shown() {
    let setup = Setup::new(Options::default()).await;
    setup.upload(&[], "cat.png", "cat", &[]).await;
    let (id, _) = setup.submit(&[], json!({"prompt": load("cat.png [input]")})).await;
    setup.server.finish(&id);
    let history = setup.get(&format!("/history/{id}")).await;
    assert_eq!(history[&id]["status"]["status_str"], "success", "{history}");
    let image = &history[&id]["outputs"]["9"]["images"][0];
    let query = format!(
        "filename={}&subfolder={}&type={}",
        image["filename"].as_str().expect("a name"),
        image["subfolder"].as_str().expect("a folder"),
        image["type"].as_str().expect("a place")
    );
    assert_eq!(setup.view(&[], &query).await.status, 200, "{query}");
    // The name of an output is none of an upload.
    let name = image["filename"].as_str().expect("a name").to_owned() + " [output]";
    setup.post("/prompt", &[], &json!({"prompt": load(&name)})).await;
    assert!(setup.submitted().contains(&name), "{}", setup.submitted());
}

#[tokio::test]
async fn nothing_of_another_client_is_used_or_shown() {
    let setup = Setup::new(Options {
        keys: vec!["comfyui-one".to_owned(), "comfyui-two".to_owned()],
        ..Options::default()
    })
    .await;
    let one = [("authorization", "Bearer comfyui-one")];
    let two = [("authorization", "Bearer comfyui-two")];
    setup.upload(&one, "cat.png", "cat", &[]).await;
    let query = "filename=cat.png&type=input";
    assert_eq!(setup.view(&one, query).await.text(), "cat");
    let assets = setup.server.count(Call::Content);
    let other = setup.view(&two, query).await;
    assert_eq!(other.status, 404, "{}", other.text());
    assert_eq!(setup.server.count(Call::Content), assets, "nobody is asked for it");
    let prompt = json!({"prompt": load("cat.png")});
    assert_eq!(setup.post("/prompt", &two, &prompt).await.status, 400);
    assert!(
        setup.submitted().contains(r#""image":"cat.png""#),
        "{}",
        setup.submitted()
    );
    assert_eq!(setup.post("/prompt", &one, &prompt).await.status, 200);
    assert_eq!(setup.upload(&two, "cat.png", "dog", &[]).await["name"], "cat.png");
    assert_eq!(setup.view(&one, query).await.text(), "cat");
    assert_eq!(setup.view(&two, query).await.text(), "dog");
}

#[tokio::test]
async fn references_make_a_prompt_no_longer_than_it_may_be() {
    let setup = Setup::with(Options::default(), |config| config.notes.max_body = 20_000).await;
    setup.upload(&[], "c", "cat", &[]).await;
    let prompt = |count: usize| {
        let inputs = "\"a\": \"c\", ".repeat(count);
        format!(
            r#"{{"prompt": {{"1": {{"class_type": "LoadImage", "inputs": {{{inputs}"image": "c"}}}}, "9": {{"class_type": "SaveImage", "inputs": {{"images": ["1", 0], "filename_prefix": "x"}}}}}}}}"#
        )
    };
    for (count, status) in [(20, 200), (1_000, 413)] {
        let body = prompt(count);
        assert!(body.len() < 20_000);
        let sent = setup
            .client
            .send(Method::POST, setup.jobshim.address, "/prompt", &[], body);
        let answer = sent.await.expect("an answer");
        assert_eq!(answer.status, status, "{count}: {}", answer.text());
    }
    assert_eq!(setup.server.count(Call::Submit), 1);
}
