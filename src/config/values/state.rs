//! Where the state is kept.

use super::{invalid_value::InvalidValue, url::is_host_and_port};
use std::{fmt, path::PathBuf};

/// Where what must outlive a request is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StatePlace {
    /// In the process, which it ends with.
    #[default]
    Memory,
    /// In a folder, for one jobshim.
    Folder(PathBuf),
    /// In a Valkey or Redis, for any number of them.
    Valkey(ValkeyUrl),
}

impl StatePlace {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Memory | Self::Valkey(_) => None,
        }
    }
}

/// Where a Valkey is found. It holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValkeyUrl {
    /// How its servers stand together.
    pub layout: ValkeyLayout,
    /// Host and port of each that is named: at least one.
    pub hosts: Vec<(String, u16)>,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// The user of its access list.
    pub user: Option<String>,
    /// The number of the database.
    pub database: i64,
}

/// How the servers of a Valkey stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValkeyLayout {
    /// There is one.
    Single,
    /// Sentinels say which one is the primary of this name.
    Sentinel(String),
    /// They are a cluster.
    Cluster,
}

impl fmt::Display for ValkeyUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let scheme = if self.tls { "valkeys" } else { "valkey" };
        let (layout, service) = match &self.layout {
            ValkeyLayout::Single => ("", None),
            ValkeyLayout::Sentinel(service) => ("-sentinel", Some(service)),
            ValkeyLayout::Cluster => ("-cluster", None),
        };
        write!(out, "{scheme}{layout}://{}", hosts.join(","))?;
        if let Some(service) = service {
            write!(out, "/{service}")?;
        }
        if self.database != 0 {
            write!(out, "/{}", self.database)?;
        }
        Ok(())
    }
}

const EXPECTED: &str = "memory, a folder, or a URL is expected, such as valkey://10.0.0.5:6379/0, valkeys://user@host (with TLS), \
                        valkey-sentinel://one:26379,two:26379/primary-name or valkey-cluster://one,two,three";

/// `memory`, a folder, or the URL of a Valkey.
pub(crate) fn state(text: &str) -> Result<StatePlace, InvalidValue> {
    match text.split_once("://") {
        None if text == "memory" => Ok(StatePlace::Memory),
        // A word or an address is more likely a mistake than a folder beside where jobshim was started.
        None if !text.contains(['/', '\\', '.']) || is_host_and_port(text) => Err(EXPECTED.into()),
        None => match super::path::folder_to_be(text)? {
            Some(folder) => Ok(StatePlace::Folder(folder)),
            None => Ok(StatePlace::Memory),
        },
        Some((scheme, rest)) => valkey(scheme, rest).map(StatePlace::Valkey),
    }
}

fn valkey(scheme: &str, rest: &str) -> Result<ValkeyUrl, InvalidValue> {
    let (base, layout) = scheme.split_once('-').unwrap_or((scheme, ""));
    let tls = match base {
        "valkey" | "redis" => false,
        "valkeys" | "rediss" => true,
        _ => return Err(EXPECTED.into()),
    };
    if rest.contains(['?', '#']) {
        return Err("the URL of a store has no query and no fragment".into());
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        // It would be in the list of processes, and in the file that everybody reads.
        Some((user, _)) if user.contains(':') => {
            return Err("the URL of a store carries no password: state.password takes a reference to it".into());
        }
        Some((user, hosts)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), hosts),
        None => (None, authority),
    };
    let mut path = path.trim_end_matches('/').split('/').filter(|part| !part.is_empty());
    let (layout, port) = match layout {
        "" => (ValkeyLayout::Single, 6379),
        "cluster" => (ValkeyLayout::Cluster, 6379),
        "sentinel" => {
            let name = path.next();
            let name = name.ok_or("the name by which the sentinels know the primary is expected after the hosts")?;
            (ValkeyLayout::Sentinel(name.to_owned()), 26379)
        }
        _ => return Err(EXPECTED.into()),
    };
    let database = match path.next() {
        None => 0,
        Some(number) => {
            let number: u16 = number
                .parse()
                .map_err(|_| "the number of a database is expected after the host")?;
            number.into()
        }
    };
    if path.next().is_some() || (layout == ValkeyLayout::Cluster && database != 0) {
        return Err(EXPECTED.into());
    }
    let hosts = hosts
        .split(',')
        .map(|host| host_and_port(host, port))
        .collect::<Option<Vec<_>>>();
    let hosts = hosts.ok_or(EXPECTED)?;
    if layout == ValkeyLayout::Single && hosts.len() > 1 {
        return Err("several hosts are a cluster (valkey-cluster://) or sentinels (valkey-sentinel://)".into());
    }
    Ok(ValkeyUrl {
        layout,
        hosts,
        tls,
        user,
        database,
    })
}

fn host_and_port(text: &str, otherwise: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        // A colon within an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => (text, otherwise),
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (text, otherwise),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?,
        None => host,
    };
    let is_sound = !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace() || letter == '@');
    is_sound.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_a_folder_or_a_url() {
        assert!(matches!(state("memory"), Ok(StatePlace::Memory)));
        for folder in ["/var/lib/jobshim", "./state", "state/", "C:\\state", "a.b"] {
            let found = state(folder);
            assert!(matches!(&found, Ok(StatePlace::Folder(path)) if path == std::path::Path::new(folder)));
        }
        for (text, shown) in [
            ("valkey://localhost", "valkey://localhost:6379"),
            ("redis://[::1]:7000/3", "valkey://::1:7000/3"),
            ("rediss://ann@example.org", "valkeys://example.org:6379"),
            ("valkey-sentinel://a,b:1/main/2", "valkey-sentinel://a:26379,b:1/main/2"),
            ("rediss-cluster://a,b,c", "valkeys-cluster://a:6379,b:6379,c:6379"),
        ] {
            match state(text) {
                Ok(StatePlace::Valkey(url)) => assert_eq!(url.to_string(), shown),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_none_is_refused_and_a_password_is_not_said_again() {
        for text in [
            "",
            "memroy",
            "localhost:6379",
            "http://a",
            "valkey://",
            "valkey://a,b",
            "valkey://a:0",
            "valkey://a:99999",
            "valkey://a/x",
            "valkey://a/1/2",
            "valkey://a?db=1",
            "valkey-sentinel://a",
            "valkey-cluster://a/1",
            "valkey-ring://a",
            "valkey://a/-1",
            "valkey://[::1",
            "redis://:secret@a",
            "redis://ann:secret@a",
        ] {
            let reason = state(text).expect_err(text).into_owned().to_string();
            assert!(!reason.contains("secret"), "{text}: {reason}");
        }
    }
}
