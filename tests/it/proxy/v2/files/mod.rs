//! Files: uploads, their names in prompts, and what `/view` shows.

mod forms;
mod kept;
mod memory;
mod names;
mod uploads;
mod viewed;

use super::Setup;
use crate::support::Reply;
use http::Method;
use serde_json::{Value, json};

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX--XX");

/// A form with a file, and fields behind it.
fn form(disposition: &str, content: &[u8], fields: &[(&str, &str)]) -> Vec<u8> {
    let head = format!(
        "--XX--XX\r\nContent-Disposition: form-data; name=\"image\"; {disposition}\r\nContent-Type: image/png\r\n\r\n"
    );
    let mut form = [head.as_bytes(), content].concat();
    for (name, value) in fields {
        form.extend_from_slice(
            format!("\r\n--XX--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}").as_bytes(),
        );
    }
    form.extend_from_slice(b"\r\n--XX--XX--\r\n");
    form
}

/// What loads a file and saves it.
fn load(image: &str) -> Value {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    })
}

impl Setup {
    async fn upload_form(&self, path: &str, headers: &[(&str, &str)], form: Vec<u8>) -> Reply {
        let headers = [&[FORM], headers].concat();
        let sent = self
            .client
            .send(Method::POST, self.jobshim.address, path, &headers, form);
        sent.await.expect("an answer")
    }

    /// Uploads a file, and gives what its client is told.
    async fn upload(&self, headers: &[(&str, &str)], name: &str, content: &str, fields: &[(&str, &str)]) -> Value {
        let form = form(&format!("filename=\"{name}\""), content.as_bytes(), fields);
        let answer = self.upload_form("/upload/image", headers, form).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    async fn view(&self, headers: &[(&str, &str)], query: &str) -> Reply {
        let target = format!("/view?{query}");
        self.client.get_with(self.jobshim.address, &target, headers).await
    }

    /// The bytes of a file that is shown.
    async fn shown(&self, query: &str) -> String {
        let answer = self.view(&[], query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.text()
    }
}

/// The answer to an upload.
fn named(name: &str, subfolder: &str, place: &str) -> Value {
    json!({"name": name, "subfolder": subfolder, "type": place})
}
