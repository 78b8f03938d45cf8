//! One small function for each kind of value: from text to what the program trusts.

use super::{DialectChoice, ListenAddress, LogFormat, Surface};
use crate::trust::TrustedProxies;
use http::{Uri, uri::Authority};
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

/// A URL, or the Unix socket where a server is found that calls itself `localhost`.
pub fn server(text: &str) -> Result<(Uri, Option<PathBuf>), Wrong> {
    match text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        Some(path) => Ok((Uri::from_static("http://localhost"), Some(path.into()))),
        None => Ok((url(text)?, None)),
    }
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
        (Some("http" | "https"), Some(authority)) if !has_sound_port(authority) => {
            Err("a port from 1 to 65535 is expected after the colon".into())
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(url),
        _ => Err(EXPECTED.into()),
    }
}

/// Whether there is no colon after the host, or a port after the colon: what is none would mean the scheme's own.
pub fn has_sound_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    match text.rsplit_once(':') {
        // A colon within an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => true,
        Some((_, port)) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
        }
        None => true,
    }
}

/// A link for people: any absolute http URL.
pub fn optional_link(text: &str) -> Result<Option<Uri>, Wrong> {
    match text {
        "" => Ok(None),
        _ => match text.parse::<Uri>() {
            // Every client would read the password.
            Ok(url) if url.authority().is_some_and(|host| host.as_str().contains('@')) => {
                Err("a link for everybody carries no user name and no password".into())
            }
            Ok(url) if url.authority().is_some_and(|host| !has_sound_port(host)) => {
                Err("a port from 1 to 65535 is expected after the colon".into())
            }
            Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && !text.contains(['<', '>']) => {
                Ok(Some(url))
            }
            _ => Err("a URL is expected, such as https://example.org/migrate".into()),
        },
    }
}

/// A day as `2026-03-31` or a Unix time, in seconds since 1970; `off` for none.
pub fn day_or_off(text: &str) -> Result<Option<u64>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    let seconds = text.parse().ok().filter(|&seconds| seconds < LAST_SECOND);
    match seconds.or_else(|| day(text)) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err("a day such as 2026-03-31, a Unix time, or off is expected".into()),
    }
}

/// The end of the year 9999, after which an HTTP date cannot be written.
const LAST_SECOND: u64 = 253_402_300_800;

/// Midnight UTC of `YYYY-MM-DD`, from 1970 on: Howard Hinnant's `days_from_civil`.
fn day(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => 31,
    };
    let sound = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day);
    if !sound || parts.next().is_some() {
        return None;
    }
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    Some((before + day_of_year - 719_468) * 86_400)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_midnight_utc_and_other_days_are_none() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2025-12-01", 1_764_547_200),
            ("9999-12-31", 253_402_214_400),
            ("1764547200", 1_764_547_200),
        ] {
            assert_eq!(day_or_off(text), Ok(Some(seconds)), "{text}");
        }
        assert_eq!(day_or_off("off"), Ok(None));
        for text in [
            "",
            "true",
            "2025-02-29",
            "1969-12-31",
            "2025-13-01",
            "2025-1",
            "2025-01-01-01",
            "99999999999999",
        ] {
            assert!(day_or_off(text).is_err(), "{text}");
        }
    }
}
