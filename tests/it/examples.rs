//! The scripts in `examples/`: what ran on an old server breaks on a new one, runs again through jobshim with another
//! address, and runs without jobshim once it is moved.

use crate::support::{
    StateFolder,
    documents::root,
    needs::{is_left_out, missing},
    program::Program,
    upstream::{Arrived, Scripted, TestBody, reply},
};
use http::{Method, Response};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Where the scripts find ComfyUI, and where jobshim.
const SERVER: &str = "http://127.0.0.1:8188";
const JOBSHIM: &str = "http://127.0.0.1:8187";
/// What they print where they work.
const WORKS: &str = "success\nexample_00001_.png: 87 bytes\n";

/// Scripts in one language.
struct Language {
    folder: &'static str,
    ending: &'static str,
    /// What runs a script.
    command: &'static [&'static str],
    /// The programs that it takes, and Debian's packages of them.
    needs: &'static [(&'static str, &'static str)],
}

const PYTHON: Language = Language {
    folder: "python",
    ending: "py",
    command: &["python3"],
    needs: &[],
};
const JAVASCRIPT: Language = Language {
    folder: "javascript",
    ending: "mjs",
    command: &["node"],
    needs: &[("node", "nodejs")],
};
const GO: Language = Language {
    folder: "go",
    ending: "go",
    command: &["go", "run"],
    needs: &[("go", "golang-go")],
};
const CURL: Language = Language {
    folder: "curl",
    ending: "sh",
    command: &["sh"],
    needs: &[("curl", "curl"), ("jq", "jq")],
};
const ALL: [Language; 4] = [PYTHON, JAVASCRIPT, GO, CURL];

impl Language {
    fn script(&self, name: &str) -> String {
        let path = format!("examples/{}/{name}.{}", self.folder, self.ending);
        fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Runs a script in `folder`, with another server in the place of the one that it names.
    fn run(&self, name: &str, folder: &Path, (named, there): (&str, &str)) -> Output {
        let script = self.script(name).replace(named, there);
        assert!(script.contains(there), "{name}: no {named}");
        fs::create_dir_all(folder).expect("a folder");
        let file = format!("{name}.{}", self.ending);
        fs::write(folder.join(&file), script).expect("a script");
        // Go compiles it first, and the first time what it needs too.
        let mut command = Command::new("timeout");
        command.arg("300").args(self.command).arg(&file).current_dir(folder);
        command
            .env_clear()
            .env("GO111MODULE", "off")
            .env("GOTOOLCHAIN", "local");
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var(name).unwrap_or_default());
        }
        command.output().expect("timeout")
    }
}

/// ComfyUI as it was: the second look at a job finds it ended.
async fn old_server() -> Scripted<u32> {
    let json = [("content-type", "application/json; charset=utf-8")];
    Scripted::with_state(0, move |looks: &mut u32, arrived: &Arrived| -> Response<TestBody> {
        match (&arrived.method, arrived.path()) {
            (&Method::POST, "/prompt") if arrived.body.starts_with(b"{\"prompt\":") => {
                reply(200, &json, r#"{"prompt_id": "an-id", "number": 0, "node_errors": {}}"#)
            }
            (&Method::GET, "/history/an-id") => {
                *looks += 1;
                let entry = r#"{"an-id": {"prompt": [0, "an-id", {}, {}, ["2"]], "outputs": {"2": {"images": [
                    {"filename": "example_00001_.png", "subfolder": "", "type": "output"}]}},
                    "status": {"status_str": "success", "completed": true, "messages": []}, "meta": {}}}"#;
                reply(200, &json, if *looks == 1 { "{}" } else { entry })
            }
            (&Method::GET, "/view") if arrived.query().contains("filename=example_00001_.png") => {
                reply(200, &[("content-type", "image/png")], vec![7; 87])
            }
            _ => reply(404, &[], "404: Not Found"),
        }
    })
    .await
}

/// `jobshim demo`, and the URLs of jobshim and of the simulated server behind it.
fn demo() -> (Program, String, String) {
    let mut program = Program::start(&["demo", "--listen", "127.0.0.1:0", "--admin", "off"], &[]);
    program.line_with("Ctrl-C ends it");
    let url = |what: &str| {
        let line = program.log.iter().find(|line| line.contains(what));
        let url = line.and_then(|line| line.split_whitespace().nth(1)).expect("a URL");
        url.to_owned()
    };
    let (jobshim, server) = (url("which old clients talk to"), url("a simulated ComfyUI"));
    (program, jobshim, server)
}

async fn try_scripts(language: &Language) {
    for (program, package) in language.needs {
        if is_left_out(program) {
            return;
        }
        let there = Command::new(program).arg("--help").output();
        assert!(there.is_ok(), "{}", missing(program, package));
    }
    let folder = StateFolder::new(&format!("example-{}", language.folder));
    let old = old_server().await;
    assert_works(language, "before", &folder.path.join("old"), (SERVER, &old.url()));
    // A demo each: pictures are numbered.
    let (_running, _, server) = demo();
    let output = language.run("before", &folder.path.join("new"), (SERVER, &server));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaints.contains("404"), "{complaints}");
    let (_running, jobshim, _) = demo();
    assert_works(language, "after", &folder.path.join("after"), (JOBSHIM, &jobshim));
    let (_running, _, server) = demo();
    assert_works(language, "moved", &folder.path.join("moved"), (SERVER, &server));
}

fn assert_works(language: &Language, name: &str, folder: &Path, server: (&str, &str)) {
    let output = language.run(name, folder, server);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}{complaints}");
    assert_eq!(said, WORKS, "{name}");
    let picture = fs::metadata(folder.join("example_00001_.png")).expect("a picture");
    assert_eq!(picture.len(), 87, "{name}");
}

#[test]
fn what_jobshim_changes_in_a_script_is_its_address() {
    for language in ALL {
        let (before, after) = (language.script("before"), language.script("after"));
        let pairs = before.lines().zip(after.lines());
        let changed: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
        assert_eq!(before.lines().count(), after.lines().count(), "{}", language.folder);
        assert_eq!(changed.len(), 1, "{}: {changed:#?}", language.folder);
        assert_eq!(changed[0].0.replace(SERVER, JOBSHIM), changed[0].1);
    }
}

#[test]
fn a_script_that_was_moved_asks_no_legacy_endpoint_and_does_not_need_jobshim() {
    for language in ALL {
        let moved = language.script("moved");
        assert!(moved.contains("/api/jobs/") && moved.contains(SERVER), "{moved}");
        assert!(!moved.contains("/history") && !moved.contains("/queue"), "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_scripts_do_what_their_names_say() {
    try_scripts(&PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_scripts_do_what_their_names_say() {
    try_scripts(&JAVASCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_scripts_do_what_their_names_say() {
    try_scripts(&GO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_scripts_do_what_their_names_say() {
    try_scripts(&CURL).await;
}
