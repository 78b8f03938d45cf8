//! `[listen]`

use crate::config::{
    key::{Key, Kind, Section},
    values,
};

section! {
    /// Where clients connect, and who may.
    LISTEN: ListenSettings => ListenConfig, "listen", "Listener";

    /// Where clients connect
    ///
    /// An address and a port, or a Unix socket as unix:/run/jobshim/socket. A socket that the service manager passes
    /// (LISTEN_FDS) is used instead.
    address: values::ListenAddress = values::address {
        flag: "--listen", value: "ADDR", variable: "JOBSHIM_LISTEN", default: "127.0.0.1:8187", common: true,
    }

    /// What clients must show, as Authorization: Bearer or X-API-Key; env:NAME or file:PATH says where it is kept
    ///
    /// In the file, { env = "NAME" } or { file = "PATH" } says so. Empty: everyone is let in.
    access_token: Option<values::Secret> = values::optional_secret(places) {
        flag: "--access-token", value: "SECRET", variable: "JOBSHIM_ACCESS_TOKEN", default: "", common: true,
    }

    /// Lets anyone who reaches the address use --upstream-header
    ///
    /// jobshim refuses to listen beyond this machine with upstream.headers and without an access token, as everyone who
    /// reaches it uses the server with your key then. true says that this is meant.
    open: bool = values::flag {
        flag: "--i-know-this-is-open", value: "", variable: "JOBSHIM_I_KNOW_THIS_IS_OPEN", default: "false",
        kind: Kind::Switch,
    }

    /// PEM certificate, which makes the listener speak TLS; read again when it changes
    ///
    /// Its chain stands behind it in the same file.
    tls_certificate: Option<std::path::PathBuf> = values::optional_file {
        flag: "--tls-certificate", value: "FILE", variable: "JOBSHIM_TLS_CERTIFICATE", default: "",
    }

    /// PEM key of --tls-certificate
    tls_key: Option<std::path::PathBuf> = values::optional_file {
        flag: "--tls-key", value: "FILE", variable: "JOBSHIM_TLS_KEY", default: "",
    }

    /// Proxies whose X-Forwarded-* are believed, such as 127.0.0.1,10.0.0.0/8, or unix for the socket's clients
    ///
    /// What others say there is taken away.
    trusted_proxies: values::TrustedProxies = values::trusted_proxies {
        flag: "--trusted-proxies", value: "NETWORKS", variable: "JOBSHIM_TRUSTED_PROXIES", default: "",
    }

    /// Every connection begins with a PROXY header, version 1 or 2, by one of --trusted-proxies
    ///
    /// It says who the client is. Others than trusted_proxies are not let in.
    proxy_protocol: bool = values::flag {
        flag: "--proxy-protocol", value: "", variable: "JOBSHIM_PROXY_PROTOCOL", default: "false", kind: Kind::Switch,
    }
}
