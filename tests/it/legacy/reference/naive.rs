//! The legacy entries of a job, worked out on a tree as slowly and plainly as the contract says it.

use super::tree::{PYTHON, Tree, leaf, list, object};
use jobshim::mapping::Classes;
use std::collections::BTreeSet;

/// What the server knows of the classes that prompts here name.
pub struct KnownClasses;

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
pub struct Reference<'a> {
    pub job: &'a Tree,
    /// What was seen in `POST /prompt`.
    pub seen: Option<&'a Tree>,
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

    pub fn classes(&self) -> BTreeSet<String> {
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

    pub fn history(&self) -> Tree {
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

    pub fn history_v2(&self) -> Tree {
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

    pub fn queue_cloud(&self) -> Tree {
        list(vec![
            leaf("1"),
            self.or("id", leaf("null")),
            self.prompt().cloned().unwrap_or_else(|| object(vec![])),
            self.outputs_to_execute(),
            object(vec![("create_time", self.time(&["create_time"]))]),
        ])
    }
}
