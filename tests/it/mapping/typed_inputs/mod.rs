//! Inputs as the server queues them: values converted by the types that node classes declare, as Python converts them.
//!
//! `values.json` and `prompts.json` are what Python made of them: `record.py` wrote them.

mod served;

use jobshim::mapping::{ClassInputs, Classes, Tables};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Classes as a server describes them.
struct Described(BTreeMap<String, (bool, Option<ClassInputs>)>);

impl Described {
    fn new<'a>(tables: &Tables, classes: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let names = tables.comfyui.names.classes.inputs.as_ref().expect("names of inputs");
        let read = |(name, class): (&str, &Value)| {
            let inputs = ClassInputs::read(class.to_string().as_bytes(), names).expect("a description");
            (name.to_owned(), (class["output_node"] == true, inputs))
        };
        Self(classes.into_iter().map(read).collect())
    }
}

impl Classes for Described {
    fn is_output(&self, class: &str) -> Option<bool> {
        self.0.get(class).map(|(is_output, _)| *is_output)
    }

    fn inputs(&self, class: &str) -> Option<&ClassInputs> {
        self.0.get(class)?.1.as_ref()
    }
}

/// The prompt of a queued job that was `sent`, as `table` shows it, in bytes.
fn shown(tables: &Tables, classes: &Described, sent: &str, targets: Option<&Value>) -> String {
    let targets = targets.map_or(String::new(), |targets| format!(r#", "targets": {targets}"#));
    let note = format!(r#"{{"prompt": {sent}, "extra_data": {{}}{targets}}}"#);
    let job = br#"{"id": "a", "priority": 1, "create_time": 1}"#;
    let prepared = tables
        .answers
        .queue
        .table
        .prepare(job, Some(note.as_bytes()))
        .expect("JSON");
    let mut out = Vec::new();
    prepared.write(classes, &mut out).expect("an item");
    let out = String::from_utf8(out).expect("a text");
    let prompt = out.strip_prefix(r#"[1, "a", "#).expect("number and id");
    let end = prompt.rfind(r#", {"create_time": 1}"#).expect("extra_data");
    prompt[..end].to_owned()
}

#[test]
fn every_recorded_value_becomes_what_python_made_of_it() {
    let tables = Tables::load(None).expect("tables");
    let cases: Vec<(String, String, String)> =
        serde_json::from_str(include_str!("values.json")).expect("recorded values");
    assert!(cases.len() > 700, "{}", cases.len());
    let mut wrong = Vec::new();
    for (kind, sent, queued) in cases {
        let class = json!({"output_node": true, "input": {"required": {"x": [kind, {}]}}});
        let classes = Described::new(&tables, [("Save", &class)]);
        let prompt = |value: &str| format!(r#"{{"1":{{"class_type":"Save","inputs":{{"x":{value},"y":6}}}}}}"#);
        let shown = shown(&tables, &classes, &prompt(&sent), None);
        if shown != prompt(&queued) {
            wrong.push(format!("{kind} {sent:.80}: {shown:.200} instead of {queued:.80}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[derive(Deserialize)]
struct Recorded {
    classes: BTreeMap<String, Value>,
    prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
struct Prompt {
    sent: String,
    targets: Option<Value>,
    queued: String,
}

#[test]
fn every_recorded_prompt_is_shown_as_it_is_queued() {
    let tables = Tables::load(None).expect("tables");
    let recorded: Recorded = serde_json::from_str(include_str!("prompts.json")).expect("recorded prompts");
    let classes = recorded.classes.iter().map(|(name, class)| (name.as_str(), class));
    let classes = Described::new(&tables, classes);
    let mut converted = 0;
    for Prompt { sent, targets, queued } in recorded.prompts {
        let shown = shown(&tables, &classes, &sent, targets.as_ref());
        assert_eq!(shown, queued, "sent as {sent} for {targets:?}");
        converted += usize::from(shown != sent);
    }
    assert!(converted > 50, "{converted}");
}

#[test]
fn a_class_that_is_not_known_leaves_its_values_and_hides_no_other() {
    let tables = Tables::load(None).expect("tables");
    let save = json!({"output_node": true, "input": {"required": {"images": ["IMAGE"]}}});
    let numbers = json!({"output_node": false, "input": {"required": {"x": ["FLOAT"]}}});
    let classes = Described::new(&tables, [("Save", &save), ("Numbers", &numbers)]);
    let sent = r#"{"1": {"class_type": "Numbers", "inputs": {"x": 6}}, "2": {"class_type": "Strange", "inputs": {"x": 6, "y": ["1", 0]}}, "9": {"class_type": "Save", "inputs": {"images": ["2", 0]}}, "no node": 7}"#;
    let queued = sent.replacen("6", "6.0", 1);
    assert_eq!(shown(&tables, &classes, sent, None), queued);
    // The strange one may be the output.
    let alone = sent.replace("\"Save\"", "\"Numbers\"");
    assert_eq!(
        shown(&tables, &classes, &alone, None),
        queued.replace("\"Save\"", "\"Numbers\"")
    );
}

#[test]
fn every_byte_but_those_of_converted_values_stays() {
    let tables = Tables::load(None).expect("tables");
    let save = json!({"output_node": true, "input": {"required": {"x": ["FLOAT"], "\u{e9}": ["STRING"]}}});
    let classes = Described::new(&tables, [("Save", &save)]);
    let sent =
        "{ \"\\u0031\" :{\"inputs\" :{\"\\u0078\":\t6 , \"é\": 7,\"x2\":1.50 },\"class_type\":\"S\\u0061ve\"}\n}";
    let queued =
        "{ \"\\u0031\" :{\"inputs\" :{\"\\u0078\":\t6.0 , \"é\": \"7\",\"x2\":1.50 },\"class_type\":\"S\\u0061ve\"}\n}";
    assert_eq!(shown(&tables, &classes, sent, None), queued);
}

#[test]
fn a_description_of_more_than_can_be_remembered_is_not_believed_in_part() {
    let tables = Tables::load(None).expect("tables");
    let described = |count: usize| {
        let inputs: BTreeMap<String, Value> = (0..count)
            .map(|nth| (format!("x{nth}"), json!(["FLOAT", {}])))
            .collect();
        json!({"output_node": true, "input": {"required": inputs}})
    };
    let sent = r#"{"1": {"class_type": "Save", "inputs": {"x0": 6}}}"#;
    for (count, queued) in [(1_000, sent.replace('6', "6.0")), (100_000, sent.to_owned())] {
        let classes = Described::new(&tables, [("Save", &described(count))]);
        assert_eq!(shown(&tables, &classes, sent, None), queued, "{count} inputs");
    }
    // Inputs below inputs without end.
    let deep = (0..2_000).fold(r#"["FLOAT"]"#.to_owned(), |below, _| {
        format!(r#"["COMFY_DYNAMICSLOT_V3", {{"inputs": {{"required": {{"x": {below}}}}}}}]"#)
    });
    let deep = format!(r#"{{"output_node": true, "input": {{"required": {{"x": {deep}, "x0": ["FLOAT"]}}}}}}"#);
    let names = tables.comfyui.names.classes.inputs.as_ref().expect("names of inputs");
    let inputs = ClassInputs::read(deep.as_bytes(), names).expect("a description");
    let classes = Described(BTreeMap::from([("Save".to_owned(), (true, inputs))]));
    assert_eq!(shown(&tables, &classes, sent, None), sent.replace('6', "6.0"));
}
