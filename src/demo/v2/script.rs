//! What a workflow does when it runs: which nodes in which order, how many steps each, what they save, where it fails.

use super::super::prompts::{PICTURE, file_of};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The most steps that a node may have.
const MAX_STEPS: u32 = 200;

/// A file that a node saves.
#[derive(Clone, Debug)]
pub(super) struct SavedFile {
    pub node: String,
    pub name: String,
    /// `image`, `video`, ...
    pub kind: &'static str,
    pub content_type: &'static str,
    pub bytes: Bytes,
}

/// One node of a run.
#[derive(Clone, Debug)]
pub(super) struct NodeRun {
    pub node: String,
    pub class: String,
    /// At least one.
    pub steps: u32,
    pub makes: Vec<SavedFile>,
    /// With which message it ends the job.
    pub fails: Option<String>,
}

/// Why a workflow is refused.
pub(super) struct Invalid {
    pub message: String,
    /// By node, as ComfyUI says it.
    pub node_errors: Map<String, Value>,
}

/// What is known of the server that a workflow is for.
pub(super) struct ServerFacts<'a> {
    /// Classes besides the built-in ones.
    pub classes: &'a [(String, bool)],
    /// Whether a file of this name was uploaded.
    pub has_file: &'a dyn Fn(&str) -> bool,
}

/// Names of saved files are numbered, whoever saves them.
#[derive(Default)]
pub(super) struct Counter(i64);

impl Counter {
    fn next(&mut self) -> i64 {
        self.0 += 1;
        self.0
    }
}

/// Whether a class is an output node; `None` where there is no such class.
fn is_output(class: &str, around: &ServerFacts<'_>) -> Option<bool> {
    match class {
        "EmptyImage" | "LoadImage" | "LoadImageMask" | "KSampler" | "LabFail" | "LabSleep" => Some(false),
        "SaveImage" | "PreviewImage" | "LabMedia" | "LabExpand" => Some(true),
        _ => around
            .classes
            .iter()
            .find(|(name, _)| name == class)
            .map(|(_, output)| *output),
    }
}

/// The run of a workflow; only what its output nodes need runs.
pub(super) fn compile(
    workflow: &Map<String, Value>,
    around: &ServerFacts<'_>,
    counter: &mut Counter,
) -> Result<Vec<NodeRun>, Invalid> {
    let invalid = |message: String| Invalid {
        message,
        node_errors: Map::new(),
    };
    let mut outputs = Vec::new();
    for (node, asked) in workflow {
        let Some(class) = class_of(asked) else {
            return Err(invalid(
                "Cannot execute because a node is missing the class_type property.".to_owned(),
            ));
        };
        match is_output(class, around) {
            None => {
                let reason = format!("Node '{class}' not found. The custom node may not be installed.");
                return Err(invalid(reason));
            }
            Some(true) => outputs.push(node),
            Some(false) => {}
        }
    }
    if outputs.is_empty() {
        return Err(invalid("Prompt has no outputs".to_owned()));
    }
    // Outputs that can be made are made, whatever is wrong with others.
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    let mut errors = BTreeMap::new();
    for output in &outputs {
        let needed = needed_by(workflow, output);
        let wrong = needed.iter().filter_map(|node| {
            let errors = errors_of(workflow.get(*node)?, around);
            (!errors.is_empty()).then(|| ((*node).clone(), errors))
        });
        let wrong: Vec<(String, Vec<Value>)> = wrong.collect();
        if wrong.is_empty() {
            order.extend(needed.into_iter().filter(|node| seen.insert(*node)));
        }
        for (node, reasons) in wrong {
            let (_, dependent) = errors.entry(node).or_insert((reasons, Vec::new()));
            dependent.push((*output).clone());
        }
    }
    if order.is_empty() {
        let told = |(node, (reasons, dependent)): (String, (Vec<Value>, Vec<String>))| {
            let class = workflow.get(&node).and_then(class_of).unwrap_or_default();
            let error = json!({"errors": reasons, "dependent_outputs": dependent, "class_type": class});
            (node, error)
        };
        return Err(Invalid {
            message: "Prompt outputs failed validation".to_owned(),
            node_errors: errors.into_iter().map(told).collect(),
        });
    }
    let run = |node: &String| Some(run_of(node, workflow.get(node)?, counter));
    Ok(order.into_iter().filter_map(run).collect())
}

fn class_of(node: &Value) -> Option<&str> {
    node.get("class_type")?.as_str()
}

fn input<'n>(node: &'n Value, name: &str) -> Option<&'n Value> {
    node.get("inputs")?.get(name)
}

/// A node and all that it needs, each after what it needs itself.
fn needed_by<'w>(workflow: &'w Map<String, Value>, output: &'w String) -> Vec<&'w String> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open = vec![(output, false)];
    while let Some((node, entered)) = open.pop() {
        if entered {
            order.push(node);
            continue;
        }
        if !seen.insert(node) {
            continue;
        }
        open.push((node, true));
        let inputs = workflow.get(node).and_then(|node| node.get("inputs")?.as_object());
        let links = inputs.into_iter().flatten().filter_map(|(_, value)| {
            let from = value.as_array().filter(|link| link.len() == 2)?.first()?.as_str()?;
            workflow.get_key_value(from)
        });
        open.extend(links.map(|(from, _)| (from, false)));
    }
    order
}

fn errors_of(node: &Value, around: &ServerFacts<'_>) -> Vec<Value> {
    let wanted = match class_of(node).unwrap_or_default() {
        "SaveImage" | "PreviewImage" | "LabFail" | "LabSleep" | "LabExpand" => "images",
        "LoadImage" | "LoadImageMask" => "image",
        _ => return Vec::new(),
    };
    let error = |kind: &str, message: &str, details: String, more: Value| {
        let mut extra_info = json!({"input_name": wanted});
        if let (Some(info), Value::Object(more)) = (extra_info.as_object_mut(), more) {
            info.extend(more);
        }
        json!({"type": kind, "message": message, "details": details, "extra_info": extra_info})
    };
    match input(node, wanted) {
        None => vec![error(
            "required_input_missing",
            "Required input is missing",
            wanted.to_owned(),
            json!({}),
        )],
        Some(Value::String(name)) if wanted == "image" => {
            let known = (around.has_file)(name.strip_suffix(" [input]").unwrap_or(name));
            let details = format!("image - Invalid image file: {name}");
            let unknown = || {
                error(
                    "custom_validation_failed",
                    "Custom validation failed for node",
                    details,
                    json!({"received_value": name}),
                )
            };
            (!known).then(unknown).into_iter().collect()
        }
        Some(_) => Vec::new(),
    }
}

fn run_of(node: &str, asked: &Value, counter: &mut Counter) -> NodeRun {
    let class = class_of(asked).unwrap_or_default();
    let number = |name: &str| input(asked, name).and_then(Value::as_f64);
    let text = |name: &str| input(asked, name).and_then(Value::as_str);
    let mut temporary = |node: String| {
        let name = format!("ComfyUI_temp_demov_{:05}_.png", counter.next());
        file(node, name, "images")
    };
    let mut run = NodeRun {
        node: node.to_owned(),
        class: class.to_owned(),
        steps: 1,
        makes: Vec::new(),
        fails: None,
    };
    match class {
        "EmptyImage" | "LoadImage" | "LoadImageMask" => {}
        "KSampler" => run.steps = count(number("steps").unwrap_or(20.0)),
        "LabSleep" => run.steps = count(number("seconds").unwrap_or(1.0) * 10.0),
        "LabFail" => run.fails = Some(format!("{}\n", text("message").unwrap_or("it failed"))),
        "PreviewImage" => run.makes = vec![temporary(node.to_owned())],
        // Nodes that it is expanded to: of each copy the second one shows a picture.
        "LabExpand" => {
            let copies = count(number("copies").unwrap_or(1.0));
            run.makes = (1..=copies)
                .map(|copy| temporary(format!("{node}.0.0.{}", 2 * copy)))
                .collect();
        }
        "LabMedia" => run.makes = media(node, text("ui_json").unwrap_or_default()),
        // What saves a picture, by the prefix that it was given.
        _ => {
            let (_, name) = file_of(text("filename_prefix").unwrap_or("ComfyUI"), counter.next());
            run.makes = vec![file(node.to_owned(), name, "images")];
        }
    }
    run
}

/// A number of steps or copies.
fn count(asked: f64) -> u32 {
    let fits = (1..=MAX_STEPS).rev().find(|&steps| f64::from(steps) <= asked);
    fits.unwrap_or(1)
}

/// What a node says that it shows, `{key: [file]}`: only files under the keys that the server knows come out.
fn media(node: &str, text: &str) -> Vec<SavedFile> {
    let shown: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let files = shown.iter().flat_map(|(key, items)| {
        let items = items.as_array().into_iter().flatten();
        let names = items.filter_map(|item| item.get("filename")?.as_str());
        names
            .filter(|_| kind_of(key).is_some())
            .map(|name| file(node.to_owned(), name.to_owned(), key))
    });
    files.collect()
}

fn kind_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "images" => "image",
        "gifs" => "video",
        "audio" => "audio",
        "text" => "text",
        "files" => "file",
        "latents" => "latent",
        _ => return None,
    })
}

fn file(node: String, name: String, key: &str) -> SavedFile {
    let content_type = match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "flac" => "audio/flac",
        "mp3" => "audio/mpeg",
        "wav" => "audio/x-wav",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    };
    let bytes = match content_type {
        "image/png" => Bytes::from_static(PICTURE),
        _ => Bytes::from(format!("what {name} holds\n")),
    };
    SavedFile {
        node,
        name,
        kind: kind_of(key).unwrap_or("file"),
        content_type,
        bytes,
    }
}
