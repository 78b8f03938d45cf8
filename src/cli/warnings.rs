//! What a configuration says that can be done, and may still not be meant: for the log at the start, and for `check`.

use crate::{
    config::{
        Config, ListenAddress, Loaded, Origin,
        field_path::{FieldPath, Segment},
        keys, nearest, nearest_few,
        settings::SHADOW,
    },
    mapping::Tables,
};
use std::collections::BTreeSet;

/// So many fields are named where none is what was meant.
const FEW: usize = 5;

/// All of them, in sentences. `variables` are those of the environment, names and values.
pub fn warnings(loaded: &Loaded, tables: &Tables, variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let config = &loaded.config;
    let fields = entry_fields(tables);
    let given = loaded
        .values
        .iter()
        .find(|value| value.key.name == SHADOW.ignore.key.name);
    let origin = |path: &FieldPath| given.map(|given| given.origin_of_line(&path.to_string()));
    let ignored = config.shadow.ignore.iter();
    open_listener(config)
        .into_iter()
        .chain(unknown_variables(loaded, variables))
        .chain(ignored.filter_map(|path| unknown_field(path, &fields, origin(path))))
        .collect()
}

/// That others may use what is behind, or read along.
fn open_listener(config: &Config) -> Option<String> {
    let listen = &config.listen;
    let ListenAddress::Tcp(address) = listen.address else {
        return None;
    };
    if address.ip().is_loopback() || listen.open {
        return None;
    }
    let (has_token, has_tls) = (listen.access_token.is_some(), listen.tls().is_some());
    let has_proxy = !listen.trusted_proxies.is_empty();
    match (has_token, has_tls || has_proxy) {
        (false, _) => Some(format!(
            "{address} can be reached from other machines, and nobody is asked for a token: whoever reaches it can use the \
             server behind, send prompts, and read and delete jobs{}. --access-token asks for one; \
             --i-know-this-is-open says that this is meant",
            if has_tls {
                ""
            } else {
                ", and who listens on the way reads along"
            }
        )),
        (true, false) => Some(format!(
            "{address} can be reached from other machines without TLS: who listens on the way reads the access token, keys and \
             jobs. --tls-certificate and --tls-key encrypt it; --trusted-proxies names a proxy in front that does"
        )),
        (true, true) => None,
    }
}

const PREFIX: &str = "JOBSHIM_";

/// Variables that look like settings and are none.
fn unknown_variables(loaded: &Loaded, variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let known: BTreeSet<&str> = keys().map(|key| key.variable).chain(["JOBSHIM_CONFIG"]).collect();
    // A secret may be kept in any variable.
    let is_named = |name: &str| {
        let reference = format!("env:{name}");
        let mut lines = loaded.values.iter().flat_map(|value| value.text.lines());
        lines.any(|line| line.ends_with(&reference))
    };
    let mut unknown: Vec<String> = variables
        .filter(|(name, value)| name.starts_with(PREFIX) && !is_of_a_service(name, value))
        .map(|(name, _)| name)
        .filter(|name| !known.contains(name.as_str()) && !is_named(name))
        .collect();
    unknown.sort();
    let without_prefix = |name: &'static str| name.strip_prefix(PREFIX);
    let mean = |name: &str| {
        let names = keys().filter_map(|key| without_prefix(key.variable)).chain(["CONFIG"]);
        nearest(name.strip_prefix(PREFIX).unwrap_or(name), names)
    };
    let say = |name: String| match mean(&name) {
        Some(meant) => format!("the variable {name} is no setting and does nothing: did you mean {PREFIX}{meant}?"),
        None => format!("the variable {name} is no setting and does nothing"),
    };
    unknown.into_iter().map(say).collect()
}

/// Kubernetes sets such variables for each service of a name; a service called jobshim is likely.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let (service, port) = (name.rsplit_once("_SERVICE_"), name.rsplit_once("_PORT"));
    let is_port = |(_, rest): (&str, &str)| match rest {
        "" => ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme)),
        _ => false,
    };
    let is_of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        number.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.starts_with(known))
    });
    service.is_some_and(|(_, rest)| rest == "HOST" || rest == "PORT" || rest.starts_with("PORT_"))
        || port.is_some_and(is_port)
        || is_of_port
}

/// The fields of every entry that a table makes.
fn entry_fields(tables: &Tables) -> Vec<&FieldPath> {
    let tables = tables.answers.all();
    tables
        .flat_map(|table| table.rows.iter().map(|row| row.get_ref().to.get_ref().path()))
        .collect()
}

/// That comparisons pass over a field that no entry has.
fn unknown_field(ignored: &FieldPath, fields: &[&FieldPath], origin: Option<Origin>) -> Option<String> {
    let is_any = |segment: &Segment| matches!(segment, Segment::Name(name) if name == "*");
    let fits = |(one, other): (&Segment, &Segment)| is_any(one) || one == other;
    // What lies below a field is the server's, and may be anything.
    let is_known = |field: &&FieldPath| ignored.segments().iter().zip(field.segments()).all(fits);
    if fields.iter().any(is_known) {
        return None;
    }
    let names: BTreeSet<String> = fields.iter().map(ToString::to_string).collect();
    let names = || names.iter().map(String::as_str);
    let text = ignored.to_string();
    // An item of a list that has others is no slip: which there are is what helps.
    let beside: Vec<&str> = match text.rsplit_once('[') {
        Some((list, rest)) if rest.ends_with(']') => {
            let is_item = |name: &&str| name.strip_prefix(list).is_some_and(|rest| rest.starts_with('['));
            names().filter(is_item).collect()
        }
        _ => Vec::new(),
    };
    let beginnings = (1..=ignored.segments().len()).rev();
    let mut beginnings = beginnings.filter_map(|length| ignored.segments().get(..length).map(FieldPath::text_of));
    let meant = match beside.as_slice() {
        [] => match beginnings.find_map(|beginning| nearest(&beginning, names())) {
            Some(name) => format!("did you mean {name}?"),
            None => {
                let few = nearest_few(&text, names(), FEW).join(", ");
                format!("there are {few} and others: jobshim mapping --format markdown has all of them")
            }
        },
        beside => format!("there are {}", beside.join(", ")),
    };
    let place = match origin {
        Some(Origin::File(path, line)) => format!("{}:{line}: ", path.display()),
        _ => String::new(),
    };
    Some(format!(
        "{place}shadow.ignore names {ignored}, which is in no entry: {meant}"
    ))
}
