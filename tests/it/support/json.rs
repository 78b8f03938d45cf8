//! JSON with numbers as text and keys in order, and where two of them differ.

use jobshim::mapping::json::{check, decode, elements, members};

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// A number, `true`, `false`, `null`, `NaN`: as written.
    Word(String),
    /// Decoded; half surrogates as written.
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let span = check(text).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(text)))?;
        Ok(Self::of(span.of(text)))
    }

    fn of(text: &[u8]) -> Self {
        match text.first() {
            Some(b'{') => {
                let mut object = Vec::new();
                members(text, |key, value| object.push((unquoted(key), Self::of(value)))).expect("checked");
                Self::Object(object)
            }
            Some(b'[') => {
                let mut list = Vec::new();
                elements(text, |item| list.push(Self::of(item))).expect("checked");
                Self::List(list)
            }
            Some(b'"') => Self::Text(unquoted(&text[1..text.len() - 1])),
            _ => Self::Word(String::from_utf8_lossy(text).into_owned()),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn at(&self, index: usize) -> Option<&Self> {
        match self {
            Self::List(items) => items.get(index),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Object(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Word(text) => text,
            _ => "",
        }
    }

    /// Sorts what a real server leaves in any order: the output nodes of every item, and the pending list.
    pub fn settle(&mut self) {
        match self {
            Self::Object(members) => {
                for (name, value) in members.iter_mut() {
                    match name.as_str() {
                        "prompt" => value.settle_nodes(),
                        "queue_running" => value.settle_queue(),
                        "queue_pending" => {
                            value.settle_queue();
                            value.sort_pending();
                        }
                        "outputs" | "status" | "meta" => {}
                        _ => value.settle(),
                    }
                }
            }
            Self::List(items) => items.iter_mut().for_each(Self::settle),
            _ => {}
        }
    }

    fn settle_queue(&mut self) {
        if let Self::List(items) = self {
            items.iter_mut().for_each(Self::settle_nodes);
        }
    }

    fn sort_pending(&mut self) {
        if let Self::List(items) = self {
            let number = |item: &Self| {
                item.at(0)
                    .and_then(|number| number.text().parse::<f64>().ok())
                    .unwrap_or(0.0)
            };
            items.sort_by(|one, other| number(one).total_cmp(&number(other)));
        }
    }

    /// A history entry's prompt and a self-hosted queue item have their output nodes at 4, a cloud item at 3.
    fn settle_nodes(&mut self) {
        if let Self::List(items) = self {
            for index in [3, 4] {
                if let Some(Self::List(nodes)) = items.get_mut(index) {
                    nodes.sort_by(|one, other| one.text().cmp(other.text()));
                }
            }
        }
        if let Self::Object(members) = self
            && let Some((_, Self::List(nodes))) = members.iter_mut().find(|(name, _)| name == "outputs_to_execute")
        {
            nodes.sort_by(|one, other| one.text().cmp(other.text()));
        }
    }

    fn show(&self) -> String {
        let shown = match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(items) => format!("[{}]", items.iter().map(Self::show).collect::<Vec<_>>().join(", ")),
            Self::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{key:?}: {}", value.show()))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        };
        match shown.char_indices().nth(300) {
            Some((end, _)) => format!("{}...", &shown[..end]),
            None => shown,
        }
    }
}

fn unquoted(raw: &[u8]) -> String {
    decode(raw).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())
}

/// Where two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub path: String,
    pub wanted: String,
    pub given: String,
}

/// All differences, key order included.
pub fn differences(wanted: &Json, given: &Json) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("$", wanted, given, &mut found);
    found
}

fn compare(path: &str, wanted: &Json, given: &Json, found: &mut Vec<Difference>) {
    match (wanted, given) {
        (Json::Object(one), Json::Object(other)) if wanted.keys() == given.keys() => {
            for ((key, one), (_, other)) in one.iter().zip(other) {
                compare(&format!("{path}.{key}"), one, other, found);
            }
        }
        (Json::List(one), Json::List(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, found);
            }
        }
        _ if wanted == given => {}
        _ => found.push(Difference {
            path: path.to_owned(),
            wanted: wanted.show(),
            given: given.show(),
        }),
    }
}
