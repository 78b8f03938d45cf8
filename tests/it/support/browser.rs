//! A real Chromium without a window, driven through chromedriver by the WebDriver protocol.

use super::{
    Client, Reply,
    needs::{is_left_out, missing},
    wait::PATIENCE,
};
use http::Method;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

const DRIVER: &str = "chromedriver";

/// One window; the browser ends when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    client: Client,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // chromedriver leaves its browser behind, unless the session is ended first.
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let (session, address) = (&self.session, self.address);
            let end = format!("DELETE /session/{session} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(end.as_bytes());
            // The answer comes when the browser has ended; the connection may stay.
            let _ = stream.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Opens a window; `None` where tests shall do without.
    pub async fn open() -> Option<Self> {
        if is_left_out(DRIVER) {
            return None;
        }
        let spawned = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = spawned.unwrap_or_else(|error| panic!("{}: {error}", missing(DRIVER, "chromium-driver")));
        let said = BufReader::new(driver.stdout.take().expect("stdout"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let mut browser = Self {
            driver,
            address: ([127, 0, 0, 1], port.expect("chromedriver says its port")).into(),
            client: Client::new(),
            session: String::new(),
        };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.send("/session", &wanted).await;
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    async fn send(&self, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let sending = self
            .client
            .send(Method::POST, self.address, path, &headers, body.to_string());
        let reply: Reply = tokio::time::timeout(PATIENCE, sending)
            .await
            .expect("chromedriver answers")
            .expect("an answer");
        let mut answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(reply.status, 200, "{path}: {answer:#}");
        answer["value"].take()
    }

    async fn command(&self, command: &str, body: &Value) -> Value {
        self.send(&format!("/session/{}/{command}", self.session), body).await
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
            .await
    }

    pub async fn go(&self, url: &str) {
        self.command("url", &json!({"url": url})).await;
    }

    /// What the body of a function gives.
    pub async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({"script": script, "args": []}))
            .await
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let waiting = async {
            while self.run(&format!("return Boolean({expression})")).await != Value::Bool(true) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let text = self.run("return document.body.innerText").await;
            panic!("never: {expression}\n{text}\n{:#}", self.complaints().await);
        }
    }

    /// What the console says.
    pub async fn complaints(&self) -> Value {
        self.command("se/log", &json!({"type": "browser"})).await
    }

    /// A picture of the whole page, kept as `name` beside other build output.
    pub async fn picture(&self, name: &str) -> PathBuf {
        // What was never drawn has no size yet.
        self.run("return new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn())))")
            .await;
        let picture = self.png(json!({"captureBeyondViewport": true})).await;
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, picture).expect("a file");
        path
    }

    /// A picture as `parameters` of the DevTools command say.
    pub async fn png(&self, parameters: Value) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", parameters).await;
        base64_decode(shot["data"].as_str().expect("a picture"))
    }
}

/// RFC 4648 section 4.
fn base64_decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = text.bytes().filter(|&byte| byte != b'=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - chunk.len()));
        let all = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        all.into_iter().take(chunk.len() - 1)
    });
    bytes.collect()
}
