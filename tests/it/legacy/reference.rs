//! The plan against a naive reference: the same entry, worked out on a tree by the words of docs/contract.md section 3.

use bytes::Bytes;
use jobshim::mapping::{Classes, PreparedEntry, Tables, View, json::ScanError};
use proptest::{prelude::*, sample::select};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// A JSON value as a tree that still knows how it is written.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Leaf(String),
    List(Vec<Tree>, Spacing),
    Object(Vec<(Key, Tree)>, Spacing),
}

/// A key as written (without quotes), and what it spells.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    raw: String,
    name: String,
}

/// What stands after an opening bracket, between members, between key and value, before a closing bracket.
type Spacing = [&'static str; 4];

const PYTHON: Spacing = ["", ", ", ": ", ""];
const SPACINGS: [Spacing; 3] = [PYTHON, ["", ",", ":", ""], ["\n ", " ,\t", " : ", "\r\n"]];

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List(items, [open, comma, _, close]) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{open}{}{close}]", items.join(comma))
            }
            Self::Object(members, [open, comma, colon, close]) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("\"{}\"{colon}{}", key.raw, value.text()))
                    .collect();
                format!("{{{open}{}{close}}}", members.join(comma))
            }
        }
    }

    fn members(&self) -> &[(Key, Tree)] {
        match self {
            Self::Object(members, _) => members,
            _ => &[],
        }
    }

    fn items(&self) -> &[Tree] {
        match self {
            Self::List(items, _) => items,
            _ => &[],
        }
    }

    /// The value at a dotted path: of repeated keys the last one, and null is as good as nothing.
    fn at(&self, path: &str) -> Option<&Tree> {
        let found = path.split('.').try_fold(self, |value, name| {
            let members = value.members().iter();
            members.rev().find(|(key, _)| key.name == name).map(|(_, value)| value)
        });
        found.filter(|value| **value != leaf("null"))
    }

    /// What a string spells; half a surrogate pair spells nothing.
    fn string(&self) -> Option<String> {
        match self {
            Self::Leaf(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// Without what stands at `path`, when it is `is`.
    fn without(&self, path: &str, is: Option<&str>) -> Tree {
        let Self::Object(members, spacing) = self else {
            return self.clone();
        };
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let members = members.iter().filter_map(|(key, value)| {
            if key.name != head {
                return Some((key.clone(), value.clone()));
            }
            if !rest.is_empty() {
                return Some((key.clone(), value.without(rest, is)));
            }
            let goes = is.is_none_or(|is| value.string().as_deref() == Some(is));
            (!goes).then(|| (key.clone(), value.clone()))
        });
        Self::Object(members.collect(), *spacing)
    }

    fn map(&self, change: impl Fn(&Tree) -> Tree) -> Tree {
        match self {
            Self::List(items, spacing) => Self::List(items.iter().map(change).collect(), *spacing),
            Self::Object(members, spacing) => {
                let members = members.iter().map(|(key, value)| (key.clone(), change(value)));
                Self::Object(members.collect(), *spacing)
            }
            Self::Leaf(_) => self.clone(),
        }
    }
}

fn leaf(text: &str) -> Tree {
    Tree::Leaf(text.to_owned())
}

fn plain(name: &str) -> Key {
    Key {
        raw: name.to_owned(),
        name: name.to_owned(),
    }
}

/// An object as the legacy server spaces it.
fn object(members: Vec<(&str, Tree)>) -> Tree {
    let members = members.into_iter().map(|(name, value)| (plain(name), value));
    Tree::Object(members.collect(), PYTHON)
}

fn list(items: Vec<Tree>) -> Tree {
    Tree::List(items, PYTHON)
}

/// What the server knows of the classes that prompts here name.
struct KnownClasses;

impl Classes for KnownClasses {
    fn is_output(&self, class: &str) -> Option<bool> {
        match class {
            "Save" | "Preview" => Some(true),
            "Load" => Some(false),
            _ => None,
        }
    }
}

/// The legacy fields of one job, by docs/contract.md section 3.
struct Reference<'a> {
    job: &'a Tree,
    /// What was seen in `POST /prompt`.
    seen: Option<&'a Tree>,
}

impl Reference<'_> {
    fn or(&self, path: &str, otherwise: Tree) -> Tree {
        self.job.at(path).cloned().unwrap_or(otherwise)
    }

    fn seen(&self, path: &str) -> Option<&Tree> {
        self.seen.and_then(|seen| seen.at(path))
    }

    /// As [`Self::seen`], where null is a value.
    fn seen_verbatim(&self, name: &str) -> Option<&Tree> {
        let members = self.seen?.members().iter();
        members.rev().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// The first of these times that is one, in ms, else 0.
    fn time(&self, paths: &[&str]) -> Tree {
        let times = paths.iter().filter_map(|path| match self.job.at(path)? {
            Tree::Leaf(text) => {
                let number: f64 = text.parse().ok()?;
                let seconds = number.abs() < 1e11;
                number.is_finite().then(|| match seconds {
                    true => format!("{:.0}", number * 1000.0),
                    false => text.clone(),
                })
            }
            _ => None,
        });
        Tree::Leaf(times.into_iter().next().unwrap_or_else(|| "0".to_owned()))
    }

    fn prompt(&self) -> Option<&Tree> {
        self.job.at("workflow.prompt").or_else(|| self.seen("prompt"))
    }

    fn extra_data(&self, dropped: &[(&str, Option<&str>)]) -> Tree {
        let gone = |tree: &Tree| {
            let each = dropped.iter();
            each.fold(tree.clone(), |tree, (path, is)| tree.without(path, *is))
        };
        let own = self.job.at("workflow.extra_data").map(gone);
        own.or_else(|| self.seen_extra_data())
            .unwrap_or_else(|| object(vec![("create_time", self.time(&["create_time"]))]))
    }

    fn seen_extra_data(&self) -> Option<Tree> {
        let Tree::Object(members, spacing) = self.seen("extra_data")? else {
            return None;
        };
        let (mut members, mut added) = (members.clone(), Vec::new());
        for (name, value, replaces) in [
            ("client_id", self.seen_verbatim("client_id"), true),
            ("comfy_usage_source", self.seen_verbatim("usage_source"), false),
            ("create_time", self.job.at("create_time"), true),
        ] {
            let Some(value) = value else { continue };
            match members.iter_mut().find(|(key, _)| key.name == name) {
                Some(_) if !replaces => {}
                Some((_, place)) => *place = value.clone(),
                None => added.push(format!("\"{name}\": {}", value.text())),
            }
        }
        // What is added is spaced as the legacy server spaces it.
        let comma = if members.is_empty() || added.is_empty() {
            ""
        } else {
            ", "
        };
        let own = Tree::Object(members, *spacing).text();
        Some(Tree::Leaf(format!(
            "{}{comma}{}}}",
            own.strip_suffix('}').unwrap_or_default(),
            added.join(", ")
        )))
    }

    /// `None` when a class is not known.
    fn output_nodes(&self, prompt: &Tree) -> Option<Tree> {
        let targets = self.seen("targets").map(Tree::items);
        let mut nodes = Vec::new();
        for (id, node) in prompt.members() {
            let class = node.members().iter().rev().find(|(key, _)| key.name == "class_type");
            let is_output = KnownClasses.is_output(&class?.1.string()?)?;
            let wanted =
                targets.is_none_or(|targets| targets.iter().any(|target| target.string().as_ref() == Some(&id.name)));
            if is_output && wanted {
                nodes.push(Tree::Leaf(format!("\"{}\"", id.raw)));
            }
        }
        Some(list(nodes))
    }

    fn outputs_to_execute(&self) -> Tree {
        let prompts = [self.job.at("workflow.prompt"), self.seen("prompt")];
        let mut known = prompts.into_iter().flatten().map(|prompt| self.output_nodes(prompt));
        let nodes = self.job.at("outputs").into_iter().flat_map(Tree::members);
        let with_outputs = || nodes.map(|(id, _)| Tree::Leaf(format!("\"{}\"", id.raw))).collect();
        known.find_map(|nodes| nodes).unwrap_or_else(|| list(with_outputs()))
    }

    fn classes(&self) -> BTreeSet<String> {
        let nodes = self.prompt().into_iter().flat_map(Tree::members);
        let classes = nodes.filter_map(|(_, node)| {
            let named = node.members().iter().rev().find(|(key, _)| key.name == "class_type");
            named.and_then(|(_, class)| class.string())
        });
        classes.collect()
    }

    fn outputs(&self) -> Tree {
        let item = |item: &Tree| {
            let names: Vec<_> = item.members().iter().map(|(key, _)| key.name.as_str()).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            let exact = sorted == ["filename", "mediaType", "subfolder", "type"];
            let text = item.at("mediaType").and_then(Tree::string).as_deref() == Some("3d");
            let filename = item.members().iter().find(|(key, _)| key.name == "filename");
            match filename {
                Some((_, filename)) if exact && text => filename.clone(),
                _ => item.clone(),
            }
        };
        let items = |items: &Tree| match items {
            Tree::List(..) => items.map(item),
            _ => items.clone(),
        };
        let node = |node: &Tree| match node {
            Tree::Object(..) => node.map(items),
            _ => node.clone(),
        };
        match self.job.at("outputs") {
            Some(outputs @ Tree::Object(..)) => outputs.map(node),
            Some(outputs) => outputs.clone(),
            None => object(vec![]),
        }
    }

    /// The message of a failure, with all that clients read of it.
    fn error(&self, id: &Tree, ended: Tree) -> Tree {
        let of = |name: &str| self.job.at(&format!("execution_error.{name}")).cloned();
        let text = |name: &str| of(name).unwrap_or_else(|| leaf("\"\""));
        let items = |name: &str| of(name).filter(|value| matches!(value, Tree::List(..)));
        let plain = self
            .job
            .at("execution_error")
            .filter(|error| error.text().starts_with('"'));
        let unknown = || leaf("\"The server did not say why the job failed.\"");
        let message = of("exception_message")
            .or_else(|| plain.cloned())
            .unwrap_or_else(unknown);
        let mut members = vec![
            ("prompt_id", id.clone()),
            ("node_id", text("node_id")),
            ("node_type", text("node_type")),
            ("executed", items("executed").unwrap_or_else(|| list(vec![]))),
            ("exception_message", message),
            ("exception_type", text("exception_type")),
            ("traceback", items("traceback").unwrap_or_else(|| list(vec![]))),
        ];
        for name in ["current_inputs", "current_outputs"] {
            members.extend(of(name).map(|value| (name, value)));
        }
        members.push(("timestamp", of("timestamp").unwrap_or(ended)));
        object(members)
    }

    fn status(&self) -> Tree {
        if let Some(status) = self.job.at("execution_status") {
            return status.clone();
        }
        let id = self.or("id", leaf("null"));
        let status = self.job.at("status").and_then(Tree::string);
        let (word, done, last) = match status.as_deref() {
            Some("completed") => ("\"success\"", "true", "\"execution_success\""),
            Some("cancelled") => ("\"error\"", "false", "\"execution_interrupted\""),
            _ => ("\"error\"", "false", "\"execution_error\""),
        };
        let moment = |time| object(vec![("prompt_id", id.clone()), ("timestamp", time)]);
        let start = moment(self.time(&["execution_start_time", "create_time"]));
        let ended = self.time(&["execution_end_time", "update_time", "create_time"]);
        let end = match status.as_deref() {
            Some("completed" | "cancelled") => moment(ended),
            _ => self.error(&id, ended),
        };
        let messages = vec![
            list(vec![leaf("\"execution_start\""), start]),
            list(vec![leaf(last), end]),
        ];
        object(vec![
            ("status_str", leaf(word)),
            ("completed", leaf(done)),
            ("messages", list(messages)),
        ])
    }

    fn meta(&self) -> Tree {
        if let Some(meta) = self.job.at("execution_meta") {
            return meta.clone();
        }
        let nodes = self.job.at("outputs").into_iter().flat_map(Tree::members);
        let known = match self.job.at("workflow.prompt") {
            Some(prompt @ Tree::Object(..)) => Some(prompt.members()),
            _ => None,
        };
        let meta = nodes.map(|(id, _)| {
            let text = |text: &str| Tree::Leaf(format!("\"{text}\""));
            let is_known = |name: &str| known.is_some_and(|known| known.iter().any(|(key, _)| key.name == name));
            // No id here was made by a node that was made itself, and none has an escape behind its first letter.
            let mut dots = id.name.match_indices('.').map(|(dot, _)| id.name.len() - dot);
            let made_by = match known {
                _ if is_known(&id.name) => None,
                Some(_) => dots.rev().find(|left| is_known(&id.name[..id.name.len() - left])),
                None => dots.next(),
            };
            let origin = made_by.map_or(id.raw.as_str(), |left| &id.raw[..id.raw.len() - left]);
            let parent = match made_by {
                Some(_) => text(origin),
                None => leaf("null"),
            };
            let about = vec![
                ("node_id", text(&id.raw)),
                ("display_node", text(origin)),
                ("parent_node", parent),
                ("real_node_id", text(origin)),
            ];
            (id.clone(), object(about))
        });
        Tree::Object(meta.collect(), PYTHON)
    }

    fn history(&self) -> Tree {
        let prompt = vec![
            self.or("priority", leaf("0")),
            self.or("id", leaf("null")),
            self.prompt().cloned().unwrap_or_else(|| object(vec![])),
            self.extra_data(&[("api_key_comfy_org", Some("[REDACTED]"))]),
            self.outputs_to_execute(),
        ];
        object(vec![
            ("prompt", list(prompt)),
            ("outputs", self.outputs()),
            ("status", self.status()),
            ("meta", self.meta()),
        ])
    }

    fn history_v2(&self) -> Tree {
        let id = self.or("id", leaf("null"));
        let redacted = ("api_key_comfy_org", Some("[REDACTED]"));
        let extra_data = self.extra_data(&[("extra_pnginfo.workflow", None), redacted]);
        let mut entry = vec![("prompt_id", id.clone()), ("create_time", self.time(&["create_time"]))];
        entry.extend(self.job.at("workflow_id").map(|id| ("workflow_id", id.clone())));
        let prompt = vec![
            ("priority", self.or("priority", leaf("0"))),
            ("prompt_id", id),
            ("extra_data", extra_data),
        ];
        entry.extend([
            ("prompt", object(prompt)),
            ("outputs", self.outputs()),
            ("status", self.status()),
            ("meta", self.meta()),
        ]);
        object(entry)
    }

    fn queue_cloud(&self) -> Tree {
        list(vec![
            leaf("1"),
            self.or("id", leaf("null")),
            self.prompt().cloned().unwrap_or_else(|| object(vec![])),
            self.outputs_to_execute(),
            object(vec![("create_time", self.time(&["create_time"]))]),
        ])
    }
}

fn rendered(prepared: &PreparedEntry<'_>) -> Result<(String, BTreeSet<String>), TestCaseError> {
    let needed = prepared.classes_needed();
    let classes: BTreeSet<String> = needed.iter().cloned().collect();
    prop_assert_eq!(needed.len(), classes.len(), "a class is asked for twice: {:?}", needed);
    let mut out = Vec::new();
    let place = prepared.write(&KnownClasses, &mut out);
    // A place is left open; these are the first of their lists.
    if let Some(place) = place.map_err(|error| TestCaseError::fail(error.to_string()))? {
        out.insert(place, b'1');
    }
    Ok((String::from_utf8_lossy(&out).into_owned(), classes))
}

fn spacing() -> impl Strategy<Value = Spacing> {
    select(SPACINGS.to_vec())
}

/// A key that spells `name`, now and then with an escape.
fn key(name: &'static str) -> impl Strategy<Value = Key> {
    prop::bool::weighted(0.1).prop_map(move |escaped| {
        let escape = |first: char| format!("\\u{:04x}{}", u32::from(first), &name[first.len_utf8()..]);
        let raw = match (escaped, name.chars().next()) {
            (true, Some(first)) => escape(first),
            _ => name.to_owned(),
        };
        Key {
            raw,
            name: name.to_owned(),
        }
    })
}

/// Members in any order, some of them missing and some repeated.
fn object_of(members: Vec<(&'static str, BoxedStrategy<Tree>)>) -> BoxedStrategy<Tree> {
    let most = members.len();
    let each: Vec<_> = members
        .into_iter()
        .map(|(name, value)| (key(name), value, prop::bool::weighted(0.15)))
        .collect();
    let repeated = prop::collection::vec(any::<prop::sample::Index>(), 0..2);
    let order = any::<u64>();
    (each, repeated, order, spacing())
        .prop_map(move |(each, repeated, order, spacing)| {
            let mut members: Vec<_> = each
                .into_iter()
                .filter(|(_, _, missing)| !missing)
                .map(|(key, value, _)| (key, value))
                .collect();
            for index in repeated {
                if !members.is_empty() {
                    let (key, _) = members[index.index(members.len())].clone();
                    let (_, value) = members[(index.index(members.len()) + 1) % members.len()].clone();
                    members.push((key, value));
                }
            }
            if !members.is_empty() {
                let middle = (order as usize + most) % members.len();
                members.rotate_left(middle);
            }
            Tree::Object(members, spacing)
        })
        .boxed()
}

/// Objects whose keys are among `names`, each as often as it likes.
fn map_of(names: &[&'static str], value: BoxedStrategy<Tree>, most: usize) -> BoxedStrategy<Tree> {
    let key = select(names.to_vec()).prop_flat_map(key);
    (prop::collection::vec((key, value), 0..most), spacing())
        .prop_map(|(members, spacing)| Tree::Object(members, spacing))
        .boxed()
}

fn leaf_of(texts: &[&str]) -> BoxedStrategy<Tree> {
    select(texts.iter().map(|text| leaf(text)).collect::<Vec<_>>()).boxed()
}

fn anything() -> BoxedStrategy<Tree> {
    let leaves = leaf_of(&[
        "null",
        "true",
        "0",
        "-0.0",
        "1e-07",
        "NaN",
        "-Infinity",
        "123456789012345678901234567890",
        r#""""#,
        r#""\ud83d""#,
        r#""a \"quoted\" \\ {word}: [1,2]""#,
        r#""é世😀""#,
    ]);
    let names = ["a", "id", "class_type", "workflow", "extra_pnginfo", "mediaType", "1.2"];
    leaves
        .prop_recursive(3, 12, 3, move |inner| {
            let items = (prop::collection::vec(inner.clone(), 0..3), spacing());
            let lists = items.prop_map(|(items, spacing)| Tree::List(items, spacing));
            prop_oneof![lists, map_of(&names, inner, 3)]
        })
        .boxed()
}

/// Mostly `usual`, now and then whatever.
fn mostly(usual: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    prop_oneof![9 => usual, 1 => anything()].boxed()
}

fn list_of(item: BoxedStrategy<Tree>) -> BoxedStrategy<Tree> {
    (prop::collection::vec(item, 0..4), spacing())
        .prop_map(|(items, spacing)| Tree::List(items, spacing))
        .boxed()
}

const NODES: [&str; 6] = ["1", "2", "10", "5.0.0.2", "7.1", "x"];

fn prompt() -> BoxedStrategy<Tree> {
    let classes = leaf_of(&[r#""Save""#, r#""Preview""#, r#""Load""#, r#""Load""#, r#""Strange""#]);
    let node = object_of(vec![
        ("inputs", anything()),
        ("class_type", mostly(classes)),
        ("_meta", anything()),
    ]);
    mostly(map_of(&NODES, mostly(node), 5))
}

fn extra_data() -> BoxedStrategy<Tree> {
    let keys = leaf_of(&[r#""[REDACTED]""#, r#""[REDACTED]""#, r#""a real key""#, "7"]);
    let image = object_of(vec![("workflow", anything()), ("other", anything())]);
    mostly(object_of(vec![
        ("extra_pnginfo", mostly(image)),
        ("api_key_comfy_org", keys),
        ("client_id", anything()),
        ("comfy_usage_source", anything()),
        ("create_time", anything()),
    ]))
}

fn outputs() -> BoxedStrategy<Tree> {
    let texts = leaf_of(&[r#""a.glb""#, r#""output""#]);
    let file = object_of(vec![
        ("filename", texts.clone()),
        ("type", texts.clone()),
        ("subfolder", texts),
        ("mediaType", leaf_of(&[r#""3d""#, r#""3d""#, r#""images""#])),
    ]);
    let node = map_of(&["images", "3d", "text"], mostly(list_of(mostly(file))), 3);
    mostly(map_of(&NODES, mostly(node), 3))
}

fn time() -> BoxedStrategy<Tree> {
    mostly(leaf_of(&[
        "1795461653499",
        "1795461653",
        "1795461653.5",
        "1.5e12",
        "0",
        "-3",
    ]))
}

fn error() -> BoxedStrategy<Tree> {
    object_of(vec![
        ("node_id", mostly(leaf_of(&[r#""4""#]))),
        ("exception_message", mostly(leaf_of(&[r#""boom\n""#]))),
        ("exception_type", anything()),
        ("traceback", list_of(anything())),
        ("executed", anything()),
        ("current_inputs", anything()),
        ("timestamp", time()),
    ])
}

fn job() -> BoxedStrategy<Tree> {
    let workflow = object_of(vec![("prompt", prompt()), ("extra_data", extra_data())]);
    let words = leaf_of(&[r#""completed""#, r#""failed""#, r#""cancelled""#, r#""strange""#]);
    let rest = object_of(vec![
        ("status", mostly(words)),
        ("priority", mostly(leaf_of(&["3", "-1.5"]))),
        ("create_time", time()),
        ("update_time", time()),
        ("execution_start_time", time()),
        ("execution_end_time", time()),
        ("execution_error", prop_oneof![anything(), error()].boxed()),
        ("execution_status", anything()),
        ("execution_meta", anything()),
        ("workflow_id", anything()),
        ("outputs", outputs()),
        ("workflow", mostly(workflow)),
        ("preview_output", anything()),
    ]);
    let absent = prop::collection::btree_set(
        select(vec![
            "execution_status",
            "execution_meta",
            "execution_error",
            "workflow",
        ]),
        0..4,
    );
    (leaf_of(&[r#""an-id""#, r#""\u0061n-id""#, "17"]), rest, absent)
        .prop_map(|(id, rest, absent)| {
            let Tree::Object(members, spacing) = rest else {
                return rest;
            };
            let mut members: Vec<_> = members
                .into_iter()
                .filter(|(key, _)| !absent.contains(key.name.as_str()))
                .collect();
            members.insert(members.len() / 2, (plain("id"), id));
            Tree::Object(members, spacing)
        })
        .boxed()
}

fn note() -> BoxedStrategy<Tree> {
    let targets = list_of(mostly(leaf_of(&[r#""1""#, r#""2""#, r#""10""#, r#""5.0.0.2""#])));
    object_of(vec![
        ("prompt", prompt()),
        ("extra_data", extra_data()),
        ("client_id", anything()),
        ("usage_source", anything()),
        ("targets", mostly(targets)),
    ])
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::load(None).expect("good tables"));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_entry_is_what_the_contract_says_byte_for_byte(job in job(), seen in prop::option::of(note())) {
        let tables = &*TABLES;
        let reference = Reference { job: &job, seen: seen.as_ref() };
        let (text, seen_text) = (job.text(), seen.as_ref().map(Tree::text));
        let expected = BTreeMap::from([
            ("history", (View::History, reference.history())),
            ("history_v2", (View::HistoryV2, reference.history_v2())),
            ("queue_cloud", (View::QueueCloud, reference.queue_cloud())),
        ]);
        let fail = |error: ScanError| TestCaseError::fail(format!("{error}: {text}"));
        let seen_bytes = seen_text.as_deref().map(str::as_bytes);
        for (name, (view, expected)) in expected {
            // Searched once for all tables, and by the table itself.
            let parsed = tables.comfyui.parse_job(Bytes::copy_from_slice(text.as_bytes())).map_err(fail)?;
            let (entry, classes) = rendered(&parsed.prepare(view, seen_bytes).map_err(fail)?)?;
            let table = tables.answers.table(view);
            let other = rendered(&table.prepare(text.as_bytes(), seen_bytes).map_err(fail)?)?;
            prop_assert_eq!(&other, &(entry.clone(), classes.clone()), "table {}, job {}", name, text);
            prop_assert_eq!(&entry, &expected.text(), "table {}, job {}, seen {:?}", name, text, seen_text);
            let needed = if name == "history_v2" { BTreeSet::new() } else { reference.classes() };
            prop_assert_eq!(&classes, &needed, "table {}, job {}, seen {:?}", name, text, seen_text);
        }
    }
}

#[test]
fn an_output_item_with_a_repeated_member_is_no_plain_string() {
    let item = r#"{"filename": "a.glb", "filename": "b.glb", "type": "output", "subfolder": ""}"#;
    let outputs = format!(r#"{{"1": {{"3d": [{item}]}}}}"#);
    let job = format!(r#"{{"id": "x", "outputs": {outputs}}}"#);
    let prepared = TABLES
        .answers
        .history
        .table
        .prepare(job.as_bytes(), None)
        .expect("a job");
    let (entry, _) = rendered(&prepared).expect("an entry");
    assert!(entry.contains(&format!(r#""outputs": {outputs}"#)), "{entry}");
}
