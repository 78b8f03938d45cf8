//! Words of which one is chosen.

use super::invalid_value::InvalidValue;
use strum::EnumString;

/// `upstream.dialect`: `auto` asks the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum DialectChoice {
    /// Found out by asking.
    Auto,
    /// Self-hosted ComfyUI.
    Comfyui,
    /// The cloud.
    Cloud,
    /// Comfy API v2.
    V2,
}

/// `legacy.surface`: `auto` is the upstream's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum Surface {
    /// The upstream's dialect.
    Auto,
    /// Self-hosted queue items.
    Comfyui,
    /// Cloud queue items.
    Cloud,
}

impl Surface {
    /// Whether it is the cloud's, before a server that is or is not the cloud.
    pub fn is_cloud(self, server_is_cloud: bool) -> bool {
        match self {
            Self::Auto => server_is_cloud,
            Self::Comfyui => false,
            Self::Cloud => true,
        }
    }
}

/// `legacy.ids`: what becomes of ids that are no UUIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum Ids {
    /// The job is submitted under a UUID where the server refuses its id.
    Auto,
    /// It is submitted under a UUID.
    Any,
    /// Ids pass as they are.
    Off,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors, one object a line.
    Json,
}

pub(crate) fn dialect(text: &str) -> Result<DialectChoice, InvalidValue> {
    text.parse()
        .map_err(|_| "auto, comfyui, cloud or v2 is expected".into())
}

pub(crate) fn surface(text: &str) -> Result<Surface, InvalidValue> {
    text.parse().map_err(|_| "auto, comfyui or cloud is expected".into())
}

pub(crate) fn ids(text: &str) -> Result<Ids, InvalidValue> {
    text.parse().map_err(|_| "auto, any or off is expected".into())
}

pub(crate) fn log_format(text: &str) -> Result<LogFormat, InvalidValue> {
    text.parse().map_err(|_| "text or json is expected".into())
}

/// Whether something is to be; `true` and `false` are what TOML calls it, `on` and `off` mean the same.
pub(crate) fn flag(text: &str) -> Result<bool, InvalidValue> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err("true, false, on or off is expected".into()),
    }
}

/// Whether a value that may be none is none.
pub(super) fn is_off(text: &str) -> bool {
    flag(text) == Ok(false)
}
