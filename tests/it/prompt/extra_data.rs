//! What the server adds to `extra_data`, and `/queue` shows of a job whose detail does not tell it.

use super::*;

/// `extra_data` of the job that `body` became, less its creation, which is checked.
async fn shown(headers: &[(&str, &str)], body: &str) -> (Value, Vec<String>) {
    let (_server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    submit_as(jobshim.address, headers, body).await;
    let reply = Client::new().get(jobshim.address, "/queue").await;
    let queue = Json::parse(&reply.body).expect("JSON");
    let item = &queue.get("queue_pending").expect("a list").items()[0];
    let order = item.items()[3].keys().into_iter().map(str::to_owned).collect();
    let mut queue: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let mut extra_data = queue["queue_pending"][0][3].take();
    let created = extra_data.as_object_mut().expect("an object").remove("create_time");
    assert!(created.is_some_and(|created| created.is_i64()), "{extra_data}");
    (extra_data, order)
}

#[tokio::test]
async fn a_client_id_is_shown_as_it_was_sent_a_null_too() {
    for (body, expected) in [
        (r#"{"prompt": {}}"#, json!({})),
        (r#"{"prompt": {}, "client_id": null}"#, json!({"client_id": null})),
        (r#"{"prompt": {}, "client_id": ""}"#, json!({"client_id": ""})),
        (r#"{"prompt": {}, "client_id": 7}"#, json!({"client_id": 7})),
        (
            r#"{"prompt": {}, "client_id": null, "extra_data": {"client_id": "a", "b": null}}"#,
            json!({"client_id": null, "b": null}),
        ),
        (
            r#"{"prompt": {}, "extra_data": {"client_id": "a", "create_time": "x"}}"#,
            json!({"client_id": "a"}),
        ),
    ] {
        assert_eq!(shown(&[], body).await.0, expected, "{body}");
    }
}

#[tokio::test]
async fn the_usage_source_of_the_header_is_shown_where_the_body_has_none() {
    let header = [("comfy-usage-source", "a \"tool\"")];
    for (headers, body, expected) in [
        (
            &header[..],
            r#"{"prompt": {}}"#,
            json!({"comfy_usage_source": "a \"tool\""}),
        ),
        (
            &header,
            r#"{"prompt": {}, "extra_data": {"comfy_usage_source": "own"}}"#,
            json!({"comfy_usage_source": "own"}),
        ),
        (
            &header,
            r#"{"prompt": {}, "extra_data": {"comfy_usage_source": null}}"#,
            json!({"comfy_usage_source": null}),
        ),
        (&[("comfy-usage-source", "")], r#"{"prompt": {}}"#, json!({})),
        (
            &[("comfy-usage-source", "one"), ("comfy-usage-source", "two")],
            r#"{"prompt": {}}"#,
            json!({"comfy_usage_source": "one"}),
        ),
        (&[], r#"{"prompt": {}}"#, json!({})),
    ] {
        assert_eq!(shown(headers, body).await.0, expected, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn what_is_added_stands_in_the_servers_order() {
    let body = r#"{"client_id": "me", "prompt": {}, "extra_data": {"z": 1, "a": 2}}"#;
    let (_, order) = shown(&[("comfy-usage-source", "tool")], body).await;
    assert_eq!(order, ["z", "a", "client_id", "comfy_usage_source", "create_time"]);
}

#[tokio::test]
async fn keys_are_kept_in_no_form() {
    let body =
        r#"{"prompt": {}, "client_id": "me", "extra_data": {"auth_token_comfy_org": "t", "api_key_comfy_org": "k"}}"#;
    assert_eq!(shown(&[], body).await.0, json!({"client_id": "me"}));
}
