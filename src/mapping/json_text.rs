//! Values of a table file as JSON text.

use super::json::quoted;

/// A TOML value as JSON text, spaced as Python spaces it, as the legacy server is written in Python.
pub(crate) fn json_text(value: &toml::Value) -> String {
    match value {
        toml::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(json_text).collect();
            format!("[{}]", items.join(", "))
        }
        toml::Value::Table(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), json_text(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        toml::Value::String(text) => quoted(text),
        toml::Value::Datetime(time) => quoted(&time.to_string()),
        toml::Value::Float(number) if number.is_nan() => "NaN".to_owned(),
        toml::Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        toml::Value::Float(number) => format!("{number:?}"),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
    }
}
