//! What clients ask for by names: the ids in paths and in the bodies of writes, as the server knows them.

use super::{
    Legacy, json_string,
    names::{Names, ServerId},
};
use crate::{
    auth::scope::Scope,
    jobs_api::{Caller, Detail, DialectKind},
    mapping::json::{MemberPath, Scanner, Span, elements, find_spans, string_value},
    routes::{LegacyRoute, LegacyWrite},
};
use std::sync::Arc;

impl Names {
    /// `body` with the ids of the list at `path` as the server knows them; `None` where that changes nothing. Where it is not
    /// certain whether the server has a name, `both` has it and its UUID stand there.
    fn in_list(&self, scope: Scope, body: &[u8], path: &MemberPath, both: bool) -> Option<Vec<u8>> {
        let [list] = find_spans(body, [path]).ok()?;
        let list = list?;
        let mut changed = false;
        let mut items: Vec<String> = Vec::new();
        let read = elements(list.of(body), |item| {
            let as_sent = || String::from_utf8_lossy(item).into_owned();
            let id = string_value(item);
            match id.map_or(ServerId::Same, |id| self.at_server(scope, &id)) {
                ServerId::Same => items.push(as_sent()),
                ServerId::Uuid(uuid) => {
                    items.push(json_string(&uuid));
                    changed = true;
                }
                ServerId::UuidIfThere(uuid) => {
                    if both {
                        items.push(as_sent());
                    }
                    items.push(json_string(&uuid));
                    changed = true;
                }
            }
        });
        let is_list = Scanner::new(list.of(body)).peek() == Some(b'[');
        (read.is_ok() && is_list && changed).then(|| spliced(body, list, &format!("[{}]", items.join(", "))))
    }
}

impl Legacy {
    /// Notes that a job of this name is there, and gives its UUID. What was remembered of the job without the name is dropped.
    pub(super) fn learn_name(&self, scope: Scope, name: &str) -> Arc<str> {
        let (id, is_new) = self.names.hold(scope, name);
        let id: Arc<str> = id.into();
        if is_new {
            self.memory.forget(scope, &id);
        }
        id
    }

    /// What the server knows the job by that the caller calls `id`, where that is not the same: the server is asked where it is
    /// not certain.
    pub async fn id_at_server(&self, id: &str, caller: &Arc<Caller>) -> Option<Arc<str>> {
        if self.keeps_ids() {
            return None;
        }
        match self.names.at_server(caller.scope, id) {
            ServerId::Same => None,
            ServerId::Uuid(_) => Some(self.learn_name(caller.scope, id)),
            ServerId::UuidIfThere(uuid) => {
                let kind = self.jobs.dialect(caller).await.ok()?;
                let detail = self.jobs.on_behalf_of(caller, kind).detail(&uuid).await;
                // Nothing but this name has this UUID.
                matches!(detail, Ok(Detail::Found { .. })).then(|| self.learn_name(caller.scope, id))
            }
        }
    }

    /// Whether it is kept of each job what the server calls it, whatever its client does: the server of Comfy API v2 chooses ids.
    fn keeps_ids(&self) -> bool {
        self.jobs.known_dialect() == Some(DialectKind::V2)
    }

    /// The same, as far as it is known without asking.
    pub fn known_id_at_server(&self, id: &str, scope: Scope) -> Option<Arc<str>> {
        if self.keeps_ids() {
            return None;
        }
        match self.names.at_server(scope, id) {
            ServerId::Uuid(_) => Some(self.learn_name(scope, id)),
            ServerId::Same | ServerId::UuidIfThere(_) => None,
        }
    }

    /// The body of a legacy write with the ids that the server knows; `None` where it says the same.
    pub async fn order_at_server(&self, write: &LegacyWrite, body: &[u8], caller: &Arc<Caller>) -> Option<Vec<u8>> {
        if self.keeps_ids() {
            return None;
        }
        let names = &self.tables.writes.request;
        match write {
            LegacyWrite::Queue { .. } | LegacyWrite::History => {
                self.names.in_list(caller.scope, body, &names.delete, true)
            }
            LegacyWrite::Interrupt => {
                let [span] = find_spans(body, [&names.id]).ok()?;
                let id = string_value(span?.of(body))?;
                let id = self.id_at_server(&id, caller).await?;
                Some(spliced(body, span?, &json_string(&id)))
            }
            LegacyWrite::JobCancel(_) => None,
        }
    }

    /// The same of a cancel of many by the Jobs API. Servers that have it refuse all of them for one that is no UUID.
    pub fn cancel_at_server(&self, body: &[u8], scope: Scope) -> Option<Vec<u8>> {
        let ids = MemberPath::parse(&self.jobs.known_names().names.cancel.ids).ok()?;
        self.names.in_list(scope, body, &ids, false)
    }
}

/// `text` with something else in the place of `span`.
fn spliced(text: &[u8], span: Span, other: &str) -> Vec<u8> {
    let before = text.get(..span.start).unwrap_or_default();
    let after = text.get(span.end..).unwrap_or_default();
    [before, other.as_bytes(), after].concat()
}

impl LegacyRoute {
    /// How many segments of its path stand behind the id.
    pub fn behind_id(&self) -> usize {
        match self {
            Self::JobStatus(_) => 1,
            _ => 0,
        }
    }

    /// The same of another job.
    pub fn of_job(&self, id: Arc<str>) -> Self {
        match self {
            Self::HistoryOne(_) => Self::HistoryOne(id),
            Self::HistoryV2One(_) => Self::HistoryV2One(id),
            Self::JobStatus(_) => Self::JobStatus(id),
            Self::History | Self::HistoryV2 | Self::Queue { .. } => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Ids, store::Store};

    fn list(names: &Names, body: &str, both: bool) -> Option<String> {
        let path = MemberPath::parse("delete").expect("a path");
        let changed = names.in_list(Scope([1; 32]), body.as_bytes(), &path, both)?;
        Some(String::from_utf8(changed).expect("text"))
    }

    #[test]
    fn names_in_a_list_become_uuids_and_all_else_stays() {
        let names = Names::new(Ids::Any, Arc::new(Store::in_memory().expect("a store")));
        let (uuid, _) = names.hold(Scope([1; 32]), "my job/1");
        let own = "00000000-0000-4000-8000-000000000001";
        let body = format!(r#" {{"clear" : false, "delete":["my job\/1" , 5,"{own}"], "x": NaN}}"#);
        let changed = format!(r#" {{"clear" : false, "delete":["{uuid}", 5, "{own}"], "x": NaN}}"#);
        assert_eq!(list(&names, &body, true).as_deref(), Some(&*changed));
        for same in [
            format!(r#"{{"delete": ["{own}"]}}"#),
            r#"{"delete": "my job/1"}"#.to_owned(),
            r#"{"clear": true}"#.to_owned(),
            r#"{"delete": ["a"#.to_owned(),
            "[]".to_owned(),
        ] {
            assert_eq!(list(&names, &same, true), None, "{same}");
        }
    }

    #[test]
    fn a_name_that_the_server_may_have_stays_beside_its_uuid() {
        let names = Names::new(Ids::Auto, Arc::new(Store::in_memory().expect("a store")));
        let (uuid, _) = names.hold(Scope([1; 32]), "a");
        names.forget(Scope([1; 32]), "a");
        let body = r#"{"delete": ["a"]}"#;
        let both = format!(r#"{{"delete": ["a", "{uuid}"]}}"#);
        assert_eq!(list(&names, body, true), Some(both));
        assert_eq!(list(&names, body, false), Some(format!(r#"{{"delete": ["{uuid}"]}}"#)));
        names.taken(Scope([1; 32]), "a");
        assert_eq!(list(&names, body, true), None);
    }
}
