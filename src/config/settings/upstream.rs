//! `[upstream]`

use crate::config::{
    key::{Key, Kind, Section},
    values,
};
use std::time::Duration;

section! {
    /// The server behind, and how patient jobshim is with it.
    UPSTREAM: UpstreamSettings => UpstreamConfig, "upstream", "The server behind";

    /// The server behind: http or https, with a base path if it has one, or unix:/path
    url: values::ServerAddress = values::server {
        flag: "--upstream", value: "URL", variable: "JOBSHIM_UPSTREAM", default: "http://127.0.0.1:8188", common: true,
    }

    /// How the server speaks the Jobs API: auto asks it, comfyui, cloud, or v2
    ///
    /// comfyui is self-hosted, cloud is Comfy Cloud, v2 is Comfy API v2.
    dialect: values::DialectChoice = values::dialect {
        flag: "--dialect", value: "WORD", variable: "JOBSHIM_DIALECT", default: "auto",
        words: &["auto", "comfyui", "cloud", "v2"],
    }

    /// A header for the server that clients do not send, such as X-API-Key=env:COMFY_CLOUD_API_KEY; may be repeated
    ///
    /// It is added where a request has none of that name, a key only where the request shows no other credential, and it is
    /// never shown. The variable takes one a line.
    ///
    /// ```toml
    /// X-API-Key = { env = "COMFY_CLOUD_API_KEY" }      # or { file = "/run/secrets/key" }
    /// ```
    headers: Vec<(http::HeaderName, http::HeaderValue)> = values::headers(places) {
        flag: "--upstream-header", value: "NAME=SECRET", variable: "JOBSHIM_UPSTREAM_HEADERS", default: "",
        kind: Kind::Table, common: true,
    }

    /// PEM certificates to trust besides the system's and the bundled ones
    ca_file: Option<std::path::PathBuf> = values::optional_file {
        flag: "--ca-file", value: "FILE", variable: "JOBSHIM_CA_FILE", default: "",
    }

    /// How long a connection to the server may take to open, TLS included, as 500ms, 5s or 2m
    connect_timeout: Duration = values::duration {
        flag: "--connect-timeout", value: "TIME", variable: "JOBSHIM_CONNECT_TIMEOUT", default: "5s",
    }

    /// How long the server may take to begin an answer that passes through
    ///
    /// It is counted from the last byte of the request.
    first_byte_timeout: Duration = values::duration {
        flag: "--first-byte-timeout", value: "TIME", variable: "JOBSHIM_FIRST_BYTE_TIMEOUT", default: "10m",
    }

    /// How long an answer that passes through may lie still
    ///
    /// That is the time between two bytes. A running WebSocket has no such limit.
    gap_timeout: Duration = values::duration {
        flag: "--gap-timeout", value: "TIME", variable: "JOBSHIM_GAP_TIMEOUT", default: "10m",
    }

    /// How long a translated call may take as a whole
    ///
    /// That is from its start to its last byte. What passes through has no such limit.
    answer_timeout: Duration = values::duration {
        flag: "--answer-timeout", value: "TIME", variable: "JOBSHIM_ANSWER_TIMEOUT", default: "30s",
    }

    /// The largest answer that a translated call reads, as bytes, KiB, MiB or GiB
    max_answer_bytes: usize = values::size {
        flag: "--max-answer-bytes", value: "SIZE", variable: "JOBSHIM_MAX_ANSWER_BYTES", default: "256MiB",
    }

    /// Job details fetched side by side for one list, 1 to 256
    concurrency: usize = values::concurrency {
        flag: "--concurrency", value: "N", variable: "JOBSHIM_CONCURRENCY", default: "16",
    }
}
