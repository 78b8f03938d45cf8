//! What a table says of a request for a new job.

use super::{
    derive::{DroppedMember, gaps_below, parts_without},
    json::{HeldMember, MemberPath, ScanError, Span, find, find_spans, quoted, string_value},
};
use http::{HeaderMap, HeaderName, header::InvalidHeaderName};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;

/// What is done to a request on its way to the server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRules {
    #[serde(deserialize_with = "nested_members")]
    drop: Vec<DroppedMember>,
    id: Option<MemberPath>,
    /// Where the id that the client chose goes on, where it is not the id: a member of an object.
    #[serde(default, deserialize_with = "nested_member")]
    name: Option<MemberPath>,
    number: Option<MemberPath>,
    front: Option<MemberPath>,
    prompt: Option<MemberPath>,
    client: Option<MemberPath>,
    /// The query parameter by which a WebSocket says which client's it is.
    socket: Option<String>,
    /// Headers that rows read as `observed.*`, by the name that they have there.
    #[serde(default)]
    headers: BTreeMap<String, HeaderField>,
}

/// The name of a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct HeaderField(HeaderName);

impl TryFrom<String> for HeaderField {
    type Error = InvalidHeaderName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        HeaderName::try_from(name).map(Self)
    }
}

/// What a request for a new job says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The id that the client chose.
    pub id: Option<String>,
    /// The client chose the number, too.
    pub numbered: bool,
    /// It has no nodes: an empty object.
    pub hollow: bool,
    /// Whose WebSocket hears of it.
    pub client: Option<String>,
}

/// What a client wants of its job's place in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuePlace {
    /// The number that it chose, as JSON.
    pub number: Option<String>,
    /// In front of all others.
    pub front: bool,
}

impl Chosen {
    /// Of a request that is not read: it may say anything.
    pub fn unread() -> Self {
        Self {
            numbered: true,
            ..Self::default()
        }
    }
}

impl RequestRules {
    /// The stretches of `body`, in order, that are left of it without the members that never go on: all of it is one.
    pub fn kept(&self, body: &[u8]) -> Result<Vec<Span>, ScanError> {
        parts_without(body, &self.drop)
    }

    /// The members of the outermost object that something may be taken out of, and the one that names the client.
    pub fn outermost(&self) -> impl Iterator<Item = &str> {
        let client = self.client.iter().map(MemberPath::names);
        let names = self.drop.iter().map(|member| member.names()).chain(client);
        names.filter_map(|names| names.first()).map(String::as_str)
    }

    /// Writes blanks over what never goes on of a member of the outermost object, and says whether there was any of it.
    pub fn blank(&self, member: &mut HeldMember<'_>) -> bool {
        let gaps = gaps_below(member.value, member.key, &self.drop).unwrap_or_default();
        for gap in &gaps {
            member.value.get_mut(gap.clone()).unwrap_or_default().fill(b' ');
        }
        !gaps.is_empty()
    }

    /// The members that it is about.
    pub fn members(&self) -> impl Iterator<Item = &MemberPath> {
        self.drop.iter().map(|member| &member.path)
    }

    /// What `body` says of the job that it asks for; nothing where it is no JSON object.
    pub fn chosen(&self, body: &[u8]) -> Chosen {
        let paths = [&self.id, &self.number, &self.prompt, &self.client].map(Option::as_ref);
        let Ok([id, number, prompt, client]) = find(body, paths) else {
            return Chosen::default();
        };
        Chosen {
            id: id.and_then(string_value),
            numbered: number.is_some(),
            hollow: prompt.is_some_and(is_empty_object),
            client: client.and_then(string_value),
        }
    }

    /// Which place in the queue `body` asks for.
    pub fn place(&self, body: &[u8]) -> QueuePlace {
        let Ok([number, front]) = find(body, [self.number.as_ref(), self.front.as_ref()]) else {
            return QueuePlace::default();
        };
        let number = number.and_then(|text| str::from_utf8(text).ok());
        QueuePlace {
            number: number
                .filter(|text| text.parse().is_ok_and(f64::is_finite))
                .map(str::to_owned),
            front: front == Some(b"true"),
        }
    }

    /// The member by which the name that a client chose goes on.
    pub fn name_member(&self) -> Option<&str> {
        self.name.as_ref()?.names().last().map(String::as_str)
    }

    /// `body` with `id` in the place of the id that its client chose, and that one beside it, where the table has a place for
    /// it. `None` where there is no id.
    pub fn under(&self, body: &[u8], id: &str, name: &str) -> Option<Vec<u8>> {
        let object = self.name.as_ref().map(MemberPath::head);
        let [sent, object] = find_spans(body, [self.id.as_ref(), object.as_ref()]).ok()?;
        let mut edits = vec![(sent?, quoted(id))];
        edits.extend(self.put_name(body, object, name));
        edits.sort_by_key(|(span, _)| span.start);
        let mut out = Vec::with_capacity(body.len() + edits.iter().map(|(_, text)| text.len()).sum::<usize>());
        let mut copied = 0;
        for (span, text) in edits {
            out.extend_from_slice(body.get(copied..span.start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            copied = span.end;
        }
        out.extend_from_slice(body.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// Where the name goes: last in its object, as the last of a repeated key counts. Where something else stands in the place
    /// of that object, the server would not take it with a name in it either.
    fn put_name(&self, body: &[u8], object: Option<Span>, name: &str) -> Option<(Span, String)> {
        let [around, member] = self.name.as_ref()?.names() else {
            return None;
        };
        let member = format!("{}: {}", quoted(member), quoted(name));
        let (object, member) = match object {
            Some(object) => (object, member),
            None => {
                let end = body.iter().rposition(|byte| *byte == b'}')? + 1;
                (Span { start: 0, end }, format!("{}: {{{member}}}", quoted(around)))
            }
        };
        let text = object.of(body).trim_ascii();
        let inside = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
        let comma = if inside.trim_ascii().is_empty() { "" } else { ", " };
        let end = object.end - 1;
        Some((Span { start: end, end }, format!("{comma}{member}")))
    }

    /// The client whose WebSocket is opened with this query; an empty name is none.
    pub fn client_of(&self, query: &str) -> Option<String> {
        let socket = self.socket.as_deref()?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut named = pairs.filter(|(name, value)| *name == socket && !value.is_empty());
        let value = named.next()?.1.replace('+', " ");
        Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
    }

    /// The client that the outermost `member` of a body is the name of, if it is that member.
    pub fn client_in(&self, member: &HeldMember<'_>) -> Option<String> {
        let [name] = self.client.as_ref()?.names() else {
            return None;
        };
        (name.as_bytes() == member.key)
            .then(|| string_value(member.value.trim_ascii()))
            .flatten()
    }

    /// What of a request's headers is kept, as a JSON object; `None` where there is nothing of it. An empty header is none,
    /// and of a repeated one the first counts.
    pub fn observed(&self, headers: &HeaderMap) -> Option<Vec<u8>> {
        let text = |field: &HeaderField| std::str::from_utf8(headers.get(&field.0)?.as_bytes()).ok();
        let kept: Vec<_> = self
            .headers
            .iter()
            .filter_map(|(name, field)| Some((name, text(field).filter(|text| !text.is_empty())?)))
            .map(|(name, text)| format!("{}: {}", quoted(name), quoted(text)))
            .collect();
        (!kept.is_empty()).then(|| format!("{{{}}}", kept.join(", ")).into_bytes())
    }
}

/// A prompt that is too long to be held goes on while it comes, without a place to put back the comma of a member that is
/// missing in the outermost object.
fn nested_members<'de, D: Deserializer<'de>>(table: D) -> Result<Vec<DroppedMember>, D::Error> {
    let members = Vec::<DroppedMember>::deserialize(table)?;
    match members.iter().find(|member| member.names().len() < 2) {
        Some(member) => Err(D::Error::custom(format!(
            "{} is no member of another one",
            member.names().join(".")
        ))),
        None => Ok(members),
    }
}

/// The name goes into an object of the prompt.
fn nested_member<'de, D: Deserializer<'de>>(table: D) -> Result<Option<MemberPath>, D::Error> {
    let member = MemberPath::deserialize(table)?;
    match member.names().len() {
        2 => Ok(Some(member)),
        _ => Err(D::Error::custom(format!("{member} is no member of a member"))),
    }
}

fn is_empty_object(value: &[u8]) -> bool {
    let inside = value.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_goes_on_beside_the_id_and_all_else_stays() {
        let rules: RequestRules = toml::from_str("drop = []\nid = \"id\"\nname = \"extra.name\"").expect("rules");
        let under = |body: &str| {
            let changed = rules.under(body.as_bytes(), "UUID", "a\"b")?;
            Some(String::from_utf8(changed).expect("text"))
        };
        for (body, changed) in [
            (
                r#"{"id" : "x", "p": {"id": 1.0}}"#,
                r#"{"id" : "UUID", "p": {"id": 1.0}, "extra": {"name": "a\"b"}}"#,
            ),
            (
                r#" {"extra":{} ,"id":"x"} "#,
                r#" {"extra":{"name": "a\"b"} ,"id":"UUID"} "#,
            ),
            (
                r#"{"id": "x", "extra": { "a": [1]}}"#,
                r#"{"id": "UUID", "extra": { "a": [1], "name": "a\"b"}}"#,
            ),
            (r#"{"extra": null, "id": 5}"#, r#"{"extra": null, "id": "UUID"}"#),
            (
                r#"{"id": "x", "extra": {"name": "of another"}}"#,
                r#"{"id": "UUID", "extra": {"name": "of another", "name": "a\"b"}}"#,
            ),
        ] {
            assert_eq!(under(body).as_deref(), Some(changed), "{body}");
        }
        for body in ["{}", "[]", r#"{"id": "x""#] {
            assert_eq!(under(body), None, "{body}");
        }
    }
}
