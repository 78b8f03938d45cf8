//! Prompts with what the Jobs API cannot list.

/// What clients put there that is no object, and what the server gets of it.
pub const PNGINFO: [(&str, &str); 8] = [
    (r#""extra_pnginfo": null"#, ""),
    (r#""extra_pnginfo": []"#, ""),
    (r#""extra_pnginfo": "text""#, ""),
    (r#""extra_pnginfo": 1.0"#, ""),
    (r#""extra_pnginfo": {"workflow": null}"#, r#""extra_pnginfo": {}"#),
    (
        r#""extra_pnginfo": { "a" : 1.0, "workflow":[1], "b": "\ud83d" }"#,
        r#""extra_pnginfo": { "a" : 1.0, "b": "\ud83d" }"#,
    ),
    (
        r#""extra_pnginfo": {"work\u0066low": false, "a": 2}"#,
        r#""extra_pnginfo": {"a": 2}"#,
    ),
    (
        r#""extra_pnginfo": {"workflow": {"id": null}}"#,
        r#""extra_pnginfo": {"workflow": {"id": null}}"#,
    ),
];

/// A prompt with this extra data.
pub fn body(extra_data: &str) -> String {
    format!(
        r#"{{"prompt" : {{"9": {{"class_type": "SaveImage", "inputs": {{"x": 1.0}}}}}}, "extra_data": {{{extra_data}}}, "client_id": "me"}}"#
    )
}
