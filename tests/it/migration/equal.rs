//! Equal pairs that are written differently give no false alarm: the legacy text is by another writer, with keys in
//! another order, other spacing and other escapes.

use super::compare::{findings, jobshim};
use crate::support::{
    Client,
    seeded::Seeded,
    server::board,
    surfaces::{Surfaces, legacy},
};
use jobshim::{
    config::settings::{LEGACY, SHADOW},
    demo::{Job, Rules},
    routes::Endpoint,
    telemetry::Compared,
};
use serde_json::{Map, Value, json};

impl Seeded {
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A value as another program writes it.
    fn write(&mut self, value: &Value, out: &mut String) {
        let [space, comma, colon] = self.one_of(&[["", ", ", ": "], ["", ",", ":"], ["\n  ", " ,\t", " :\r\n"]]);
        match value {
            Value::Object(members) => {
                let mut members: Vec<(&String, &Value)> = members.iter().collect();
                self.shuffle(&mut members);
                out.push('{');
                for (nth, (key, value)) in members.into_iter().enumerate() {
                    out.push_str(if nth == 0 { space } else { comma });
                    self.write_text(key, out);
                    out.push_str(colon);
                    self.write(value, out);
                }
                out.push_str(space);
                out.push('}');
            }
            Value::Array(items) => {
                out.push('[');
                for (nth, item) in items.iter().enumerate() {
                    out.push_str(if nth == 0 { space } else { comma });
                    self.write(item, out);
                }
                out.push_str(space);
                out.push(']');
            }
            Value::String(text) => self.write_text(text, out),
            other => out.push_str(&other.to_string()),
        }
    }

    fn write_text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for letter in text.chars() {
            let must = matches!(letter, '"' | '\\') || letter.is_control();
            match (letter, must || self.below(12) == 0) {
                ('/', true) => out.push_str("\\/"),
                (_, true) => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                (_, false) => out.push(letter),
            }
        }
        out.push('"');
    }
}

/// A job, and its fields as the contract has them (docs/contract.md section 3).
struct Pair {
    id: String,
    detail: Value,
    prompt: Value,
    extra_data: Value,
    output_nodes: Vec<Value>,
    outputs: Value,
    status: Value,
    meta: Value,
}

fn pair(nth: usize, state: &str, seeded: &mut Seeded) -> Pair {
    let id = format!("{nth:08}-2222-4000-8000-000000000000");
    let texts = [
        "a \"quoted\" word",
        "é世😀",
        "C:\\models/x.safetensors",
        "line\nline",
        "",
        "7",
    ];
    let (mut prompt, mut outputs, mut meta, mut output_nodes) = (Map::new(), Map::new(), Map::new(), Vec::new());
    for node in 1..=1 + seeded.below(4) {
        let node = (node * 3).to_string();
        let saves = seeded.below(2) == 0;
        let class = if saves { "SaveImage" } else { "KSampler" };
        let inputs = json!({
            "text": seeded.one_of(&texts), "seed": seeded.below(1 << 30), "cfg": 7.5, "mask": null,
            "model": ["4", seeded.below(3)], "tiled": seeded.below(2) == 0,
        });
        prompt.insert(
            node.clone(),
            json!({"class_type": class, "inputs": inputs, "_meta": {"title": seeded.one_of(&texts)}}),
        );
        if saves {
            let name = format!("{}_{nth}.png", seeded.one_of(&texts));
            output_nodes.push(json!(node));
            outputs.insert(
                node.clone(),
                json!({"images": [{"filename": name, "subfolder": "", "type": "output"}], "animated": [false]}),
            );
            meta.insert(
                node.clone(),
                json!({"node_id": node, "display_node": node, "parent_node": null, "real_node_id": node}),
            );
        }
    }
    let created = 1_700_000_000_000_u64 + nth as u64 * 1000;
    let extra_data = json!({
        "client_id": seeded.one_of(&texts), "create_time": created,
        "extra_pnginfo": {"workflow": {"nodes": [null, seeded.one_of(&texts)], "version": 0.4}},
    });
    let moment = |ms| json!({"prompt_id": id, "timestamp": created + ms});
    let status = json!({
        "status_str": "success", "completed": true,
        "messages": [["execution_start", moment(1)], ["execution_cached", {"nodes": [], "prompt_id": id}], ["execution_success", moment(9)]],
    });
    let mut detail = json!({
        "id": id, "status": state, "priority": nth, "create_time": created,
        "workflow": {"prompt": prompt, "extra_data": extra_data},
    });
    if state == "completed" {
        let ended = json!({
            "execution_start_time": created + 1, "execution_end_time": created + 9,
            "outputs": outputs, "execution_status": status, "execution_meta": meta,
        });
        detail
            .as_object_mut()
            .expect("an object")
            .extend(ended.as_object().expect("an object").clone());
    }
    Pair {
        id,
        detail,
        prompt: prompt.into(),
        extra_data,
        output_nodes,
        outputs: outputs.into(),
        status,
        meta: meta.into(),
    }
}

impl Pair {
    fn job(&self) -> Job {
        let text = self.detail.to_string();
        Job::new(&text, &text).expect("a job")
    }

    /// The legacy queue's item: the nodes are a set there, in any order.
    fn item(&self, seeded: &mut Seeded) -> Value {
        let mut nodes = self.output_nodes.clone();
        seeded.shuffle(&mut nodes);
        json!([self.detail["priority"], self.id, self.prompt, self.extra_data, nodes])
    }

    fn entry(&self, seeded: &mut Seeded) -> Value {
        json!({"prompt": self.item(seeded), "outputs": self.outputs, "status": self.status, "meta": self.meta})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_equal_pairs_that_are_written_differently_give_no_false_alarm() {
    const FINISHED: usize = 1_000;
    const WAITING: usize = 20;
    let mut seeded = Seeded(4);
    let finished: Vec<Pair> = (0..FINISHED).map(|nth| pair(nth, "completed", &mut seeded)).collect();
    let waiting = FINISHED..FINISHED + WAITING;
    let waiting: Vec<Pair> = waiting.map(|nth| pair(nth, "pending", &mut seeded)).collect();
    let mut jobs = board(Rules::Comfyui);
    jobs.jobs = finished.iter().chain(&waiting).map(Pair::job).collect();
    for (class, is_output) in [("SaveImage", true), ("KSampler", false)] {
        jobs.classes
            .insert(class.to_owned(), json!({"output_node": is_output}).to_string());
    }
    let server = Surfaces::start(jobs, vec![legacy("/history", ""), legacy("/queue", "")]).await;
    let shadow = [(&LEGACY.mode.key, "shadow"), (&SHADOW.max_in_flight.key, "64")];
    let jobshim = jobshim(&server.url(), &shadow).await;
    let client = Client::new();
    for round in 0..100 {
        let offset = round * 100 % FINISHED;
        let target = format!("/history?max_items=100&offset={offset}");
        // Its writer does not sort: the order of entries is the order in which they ended.
        let mut history = String::from("{");
        for (nth, pair) in finished[offset..offset + 100].iter().enumerate() {
            history.push_str(if nth == 0 { "" } else { ", " });
            history.push_str(&format!("\"{}\": ", pair.id));
            let entry = pair.entry(&mut seeded);
            seeded.write(&entry, &mut history);
        }
        history.push('}');
        let items: Vec<Value> = waiting.iter().map(|pair| pair.item(&mut seeded)).collect();
        let mut queue = String::new();
        seeded.write(&json!({"queue_running": [], "queue_pending": items}), &mut queue);
        server.with(|surfaces| surfaces.legacy = vec![legacy(&target, &history), legacy("/queue", &queue)]);
        for (nth, target) in [target.as_str(), "/queue"].into_iter().enumerate() {
            assert_eq!(client.get(jobshim.address, target).await.status, 200, "{target}");
            findings(&jobshim, 2 * round as u64 + nth as u64 + 1).await;
        }
    }
    let found = jobshim.observer().findings().by_route();
    for (route, pairs) in [(Endpoint::History, FINISHED), (Endpoint::Queue, WAITING)] {
        let found = &found[&route];
        assert!(found.fields.is_empty(), "{found:#?}");
        assert_eq!(
            (found.count(Compared::Same), found.jobs.total()),
            (100, pairs as u64),
            "{found:#?}"
        );
    }
}
