//! `[admin]`

use crate::config::{
    key::{Key, Section},
    values,
};

section! {
    /// Where jobshim shows what it does: /healthz, /readyz, /metrics, /usage, and a page about it. It shows no credential,
    /// and lets nothing be changed.
    ADMIN: AdminSettings => AdminSection, "admin", "Health, metrics and usage";

    /// Where health, metrics, usage and a page about them are shown; off for nowhere
    address: Option<std::net::SocketAddr> = values::address_or_off {
        flag: "--admin", value: "ADDR", variable: "JOBSHIM_ADMIN", default: "127.0.0.1:8186", common: true,
    }

    /// Names under which --admin may be asked, besides addresses and localhost, with commas between them
    ///
    /// A page that a browser was led to under another name must not read it.
    hosts: Vec<String> = values::host_names {
        flag: "--admin-hosts", value: "NAMES", variable: "JOBSHIM_ADMIN_HOSTS", default: "",
    }
}
