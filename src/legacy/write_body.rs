//! What the body of a legacy write asks for.

use super::LegacyError;
use crate::mapping::{
    WriteRequest,
    json::{MemberPath, check, decode, elements, find, members, string_value},
};
use std::collections::HashSet;

/// The body of `POST /queue` or `POST /history`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WriteBody {
    /// All of them are meant.
    pub clear: bool,
    /// These are meant, each once; what is no text is no id.
    pub delete: Vec<String>,
}

impl WriteBody {
    /// Reads a body as the self-hosted server does. Neither member may be there, which does nothing.
    pub(super) fn parse(text: &[u8], names: &WriteRequest) -> Result<Self, LegacyError> {
        let found = find(text, [&names.clear, &names.delete]);
        let [clear, delete] = found.map_err(|error| wrong(error.to_string()))?;
        let mut body = Self {
            clear: clear.is_some_and(is_true),
            delete: Vec::new(),
        };
        if let Some(ids) = delete.filter(|ids| *ids != b"null") {
            let mut seen = HashSet::new();
            each(ids, &names.delete, |id| {
                if seen.insert(id.clone()) {
                    body.delete.push(id);
                }
            })?;
        }
        Ok(body)
    }
}

/// The ids in the value of the member `name`, as Python iterates it: the items of a list, the keys of an object, the
/// characters of a text.
fn each(ids: &[u8], name: &MemberPath, mut visit: impl FnMut(String)) -> Result<(), LegacyError> {
    let read = match ids.first() {
        Some(b'[') => elements(ids, |id| string_value(id).into_iter().for_each(&mut visit)),
        Some(b'{') => members(ids, |key, _| decode(key).into_iter().for_each(&mut visit)),
        Some(b'"') => {
            let text = string_value(ids).ok_or_else(|| wrong(format!("\"{name}\" is no Unicode text")))?;
            text.chars().for_each(|character| visit(character.to_string()));
            Ok(())
        }
        _ => return Err(wrong(format!("\"{name}\" is not a list"))),
    };
    read.map_err(|error| wrong(error.to_string()))
}

fn wrong(reason: String) -> LegacyError {
    LegacyError::Order { reason }
}

/// Whom `POST /interrupt` means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Whatever runs.
    Any,
    /// This job, if it runs.
    One(String),
    /// What can be no job's id.
    Nothing,
}

impl Target {
    /// Reads a body as the self-hosted server does: no body, or one that is not JSON, means whatever runs. JSON that is
    /// no object is refused, as nothing is stopped for it there.
    pub(super) fn parse(body: &[u8], names: &WriteRequest) -> Result<Self, LegacyError> {
        if check(body).is_err() {
            return Ok(Self::Any);
        }
        let [id] = find(body, [&names.id]).map_err(|error| wrong(error.to_string()))?;
        Ok(match id.filter(|id| is_true(id)) {
            None => Self::Any,
            Some(id) => string_value(id).map_or(Self::Nothing, Self::One),
        })
    }
}

/// Truth as Python has it: zeros and whatever is empty are false.
fn is_true(value: &[u8]) -> bool {
    let zero = || {
        let text = std::str::from_utf8(value).unwrap_or_default();
        text.parse::<f64>().is_ok_and(|number| number == 0.0)
    };
    let empty = || {
        let mut inside = value.iter().filter(|byte| !byte.is_ascii_whitespace());
        let (open, close) = (inside.next(), inside.next());
        matches!((open, close), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
    };
    !matches!(value, b"false" | b"null" | b"\"\"") && check(value).is_ok() && !zero() && !empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> WriteRequest {
        let path = |text| MemberPath::parse(text).expect("a path");
        WriteRequest {
            clear: path("clear"),
            delete: path("delete"),
            id: path("prompt_id"),
        }
    }

    #[test]
    fn clear_is_true_where_python_has_it_true() {
        for (value, truth) in [
            ("true", true),
            ("1", true),
            ("\"no\"", true),
            ("[0]", true),
            ("{\"a\": 1}", true),
            ("NaN", true),
            ("false", false),
            ("null", false),
            ("0", false),
            ("-0.0", false),
            ("\"\"", false),
            ("[ ]", false),
            ("{}", false),
        ] {
            let body = format!("{{\"clear\": {value}}}");
            let body = WriteBody::parse(body.as_bytes(), &names()).expect("body");
            assert_eq!(body.clear, truth, "{value}");
        }
        assert_eq!(WriteBody::parse(b"{}", &names()).expect("body"), WriteBody::default());
    }

    #[test]
    fn ids_are_taken_once_and_what_is_no_text_is_passed_over() {
        let body = br#"{"delete": ["a", 5, null, "b", "a", ["c"]]}"#;
        assert_eq!(WriteBody::parse(body, &names()).expect("body").delete, ["a", "b"]);
    }

    #[test]
    fn what_is_to_be_deleted_is_what_python_iterates() {
        for (delete, ids) in [
            (r#"{"a": 1, "b": null, "a": 2, "\u0063": []}"#, &["a", "b", "c"][..]),
            ("{}", &[]),
            (r#""abba""#, &["a", "b"]),
            (r#""\ud83c\udf88x""#, &["\u{1f388}", "x"]),
            (r#""""#, &[]),
            ("null", &[]),
        ] {
            let body = format!("{{\"delete\": {delete}}}");
            let body = WriteBody::parse(body.as_bytes(), &names()).expect("body");
            assert_eq!(body.delete, ids, "{delete}");
        }
        assert!(WriteBody::parse(br#"{"delete": "\ud83c"}"#, &names()).is_err());
    }

    #[test]
    fn a_body_that_is_no_object_or_lists_nothing_is_refused() {
        for body in [
            "",
            "nonsense",
            "[]",
            "5",
            "{\"delete\": 5}",
            "{\"delete\": true}",
            "{\"delete\": [}",
        ] {
            assert!(WriteBody::parse(body.as_bytes(), &names()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_interrupt_means_one_job_or_whatever_runs() {
        for (body, target) in [
            ("", Target::Any),
            ("nonsense", Target::Any),
            ("{}", Target::Any),
            ("{\"prompt_id\": null}", Target::Any),
            ("{\"prompt_id\": \"\"}", Target::Any),
            ("{\"prompt_id\": \"a\"}", Target::One("a".to_owned())),
            ("{\"prompt_id\": 7}", Target::Nothing),
        ] {
            assert_eq!(
                Target::parse(body.as_bytes(), &names()).expect("a target"),
                target,
                "{body}"
            );
        }
        assert!(Target::parse(b"[]", &names()).is_err());
    }
}
