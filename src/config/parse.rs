//! One small function for each kind of value: from text to what the program trusts.

use super::{DialectChoice, ListenAddress, LogFormat, Surface};
use crate::trust::TrustedProxies;
use http::Uri;
use std::{borrow::Cow, path::PathBuf, time::Duration};

/// What was expected instead.
pub type Wrong = Cow<'static, str>;

pub fn address(text: &str) -> Result<ListenAddress, Wrong> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(ListenAddress::Unix(path.into()));
    }
    text.parse().map(ListenAddress::Tcp).map_err(|_| {
        "an address and a port are expected, such as 127.0.0.1:8187 or [::1]:8187, or a Unix socket, such as \
         unix:/run/jobshim/socket"
            .into()
    })
}

pub fn trusted_proxies(text: &str) -> Result<TrustedProxies, Wrong> {
    text.parse().map_err(Cow::Owned)
}

pub fn address_or_off(text: &str) -> Result<Option<std::net::SocketAddr>, Wrong> {
    match text {
        "off" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| "an address and a port are expected, such as 127.0.0.1:8186, or off".into()),
    }
}

pub fn host_names(text: &str) -> Result<Vec<String>, Wrong> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let plain = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            match plain {
                true => Ok(name.to_ascii_lowercase()),
                false => Err(format!("{name:?} is no host name; ports do not belong to it").into()),
            }
        })
        .collect()
}

pub fn url(text: &str) -> Result<Uri, Wrong> {
    const EXPECTED: &str = "a URL is expected, such as http://127.0.0.1:8188 or https://example.org/base";
    if text.contains(['#', '?']) {
        return Err("an upstream URL has no query and no fragment".into());
    }
    let url: Uri = text.trim_end_matches('/').parse().map_err(|_| EXPECTED)?;
    match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("an upstream URL carries no user name and no password".into())
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(url),
        _ => Err(EXPECTED.into()),
    }
}

pub fn optional_url(text: &str) -> Result<Option<Uri>, Wrong> {
    match text {
        "" => Ok(None),
        _ => url(text).map(Some),
    }
}

/// Whether `url` is the listener's own address.
pub fn is_itself(listen: &ListenAddress, url: &Uri) -> bool {
    let ListenAddress::Tcp(listen) = listen else {
        return false;
    };
    let port = url
        .port_u16()
        .unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let same_host = match host.parse::<std::net::IpAddr>() {
        Ok(address) => address == listen.ip() || (listen.ip().is_unspecified() && address.is_loopback()),
        Err(_) => host == "localhost" && (listen.ip().is_loopback() || listen.ip().is_unspecified()),
    };
    same_host && port == listen.port()
}

pub fn dialect(text: &str) -> Result<DialectChoice, Wrong> {
    match text {
        "auto" => Ok(DialectChoice::Auto),
        "comfyui" => Ok(DialectChoice::Comfyui),
        "cloud" => Ok(DialectChoice::Cloud),
        _ => Err("auto, comfyui or cloud is expected".into()),
    }
}

pub fn surface(text: &str) -> Result<Surface, Wrong> {
    match text {
        "auto" => Ok(Surface::Auto),
        "comfyui" => Ok(Surface::Comfyui),
        "cloud" => Ok(Surface::Cloud),
        _ => Err("auto, comfyui or cloud is expected".into()),
    }
}

pub fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json is expected".into()),
    }
}

/// A number and a unit, without which a number would mean something else to every reader.
fn with_unit<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(known, _)| *known == unit)?;
    Some((number.parse::<u64>().ok()?.checked_mul(*factor)?, unit))
}

pub fn duration(text: &str) -> Result<Duration, Wrong> {
    match with_unit(text, &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]) {
        Some((ms, _)) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("a time above zero is expected, such as 500ms, 5s or 2m".into()),
    }
}

pub fn duration_or_none(text: &str) -> Result<Duration, Wrong> {
    match with_unit(
        text,
        &[("", 0), ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)],
    ) {
        Some((ms, unit)) if !unit.is_empty() || text == "0" => Ok(Duration::from_millis(ms)),
        _ => Err("a time is expected, such as 0s, 500ms or 2m".into()),
    }
}

pub fn size(text: &str) -> Result<usize, Wrong> {
    let bytes = with_unit(text, &[("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]);
    match bytes.and_then(|(bytes, _)| usize::try_from(bytes).ok()) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("a size above zero is expected, such as 65536, 64KiB or 256MiB".into()),
    }
}

pub fn size_or_none(text: &str) -> Result<usize, Wrong> {
    if text == "0" { Ok(0) } else { size(text) }
}

pub fn flag(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false is expected".into()),
    }
}

pub fn on_off(text: &str) -> Result<bool, Wrong> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off is expected".into()),
    }
}

pub fn concurrency(text: &str) -> Result<usize, Wrong> {
    match text.parse() {
        Ok(number) if (1..=256).contains(&number) => Ok(number),
        _ => Err("a whole number from 1 to 256 is expected".into()),
    }
}

pub fn count(text: &str) -> Result<usize, Wrong> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a whole number above zero is expected".into()),
    }
}

pub fn count_or_none(text: &str) -> Result<usize, Wrong> {
    if text == "0" { Ok(0) } else { count(text) }
}

/// A map of headers has room for some thirty thousand; nobody sends as many.
pub fn headers(text: &str) -> Result<usize, Wrong> {
    match text.parse() {
        Ok(number) if (1..=1000).contains(&number) => Ok(number),
        _ => Err("a whole number from 1 to 1000 is expected".into()),
    }
}

/// hyper takes no longer ones than 65534 bytes.
pub fn uri_size(text: &str) -> Result<usize, Wrong> {
    match size(text)? {
        size if size <= 60 << 10 => Ok(size),
        _ => Err("a size of at most 60KiB is expected".into()),
    }
}

pub fn verbosity(text: &str) -> Result<u8, Wrong> {
    text.parse().map_err(|_| "0, 1 or 2 is expected".into())
}

/// A folder that is made when it is needed.
pub fn folder_to_be(text: &str) -> Result<Option<PathBuf>, Wrong> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if path.exists() && !path.is_dir() => Err("it is no folder".into()),
        _ => Ok(path),
    }
}

pub fn optional_file(text: &str) -> Result<Option<PathBuf>, Wrong> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if !path.is_file() => Err("there is no such file".into()),
        _ => Ok(path),
    }
}

pub fn optional_folder(text: &str) -> Result<Option<PathBuf>, Wrong> {
    let path = (!text.is_empty()).then(|| PathBuf::from(text));
    match &path {
        Some(path) if !path.is_dir() => Err("there is no such folder".into()),
        _ => Ok(path),
    }
}
