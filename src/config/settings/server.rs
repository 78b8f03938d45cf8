//! `[server]`

use crate::config::{
    key::{Key, Section},
    values,
};
use std::time::Duration;

section! {
    /// What clients may take up, and for how long.
    SERVER: ServerSettings => ServerConfig, "server", "Limits on clients";

    /// How long a client may take to send the head of a request
    header_timeout: Duration = values::duration {
        flag: "--header-timeout", value: "TIME", variable: "JOBSHIM_HEADER_TIMEOUT", default: "30s",
    }

    /// How long a client may let nothing move
    ///
    /// That is between two requests, in a body it sends, or in an answer it reads. Waiting for the server does not count,
    /// nor does a running WebSocket.
    idle_timeout: Duration = values::duration {
        flag: "--idle-timeout", value: "TIME", variable: "JOBSHIM_IDLE_TIMEOUT", default: "2m",
    }

    /// The most bytes of a request's headers, names and values
    max_header_bytes: usize = values::size {
        flag: "--max-header-bytes", value: "SIZE", variable: "JOBSHIM_MAX_HEADER_BYTES", default: "64KiB",
    }

    /// The most headers of a request, 1 to 1000
    max_headers: usize = values::header_count {
        flag: "--max-headers", value: "N", variable: "JOBSHIM_MAX_HEADERS", default: "100",
    }

    /// The longest path and query, at most 60KiB
    max_uri_bytes: usize = values::uri_size {
        flag: "--max-uri-bytes", value: "SIZE", variable: "JOBSHIM_MAX_URI_BYTES", default: "16KiB",
    }

    /// The most connections of clients
    ///
    /// WebSockets count. One more gets 503 with Retry-After. The system's limit of open files must allow twice as many.
    max_connections: usize = values::count {
        flag: "--max-connections", value: "N", variable: "JOBSHIM_MAX_CONNECTIONS", default: "10000",
    }

    /// The most connections from one address; 0 is no limit of its own
    ///
    /// Of IPv6 it is one /64 network. Behind a proxy all come from one address.
    max_connections_per_address: usize = values::count_or_none {
        flag: "--max-connections-per-address", value: "N", variable: "JOBSHIM_MAX_CONNECTIONS_PER_ADDRESS",
        default: "0",
    }

    /// The most bytes of bodies that are read whole, all requests and all answers of the server together
    ///
    /// Read whole are legacy writes, POST /prompt, what they say when they are compressed, lists and details of jobs, and
    /// comparisons. What is kept of a list while its pages are read counts, too. Requests may take half of it. What is beyond
    /// is refused with 503 and Retry-After. It is at least twice upstream.max_answer_bytes, legacy.max_body and
    /// notes.max_body.
    max_buffered: usize = values::size {
        flag: "--max-buffered", value: "SIZE", variable: "JOBSHIM_MAX_BUFFERED", default: "512MiB",
    }

    /// The most requests on one connection; 0 is no limit
    max_requests: usize = values::count_or_none {
        flag: "--max-requests", value: "N", variable: "JOBSHIM_MAX_REQUESTS", default: "0",
    }

    /// How long connections are still taken after a stop signal, until a load balancer has noticed it
    ///
    /// The signal is SIGTERM or Ctrl-C.
    drain_delay: Duration = values::duration_or_none {
        flag: "--drain-delay", value: "TIME", variable: "JOBSHIM_DRAIN_DELAY", default: "0s",
    }

    /// How long in-flight answers may take to finish after a stop signal
    ///
    /// WebSockets are closed in this time, too. It begins after drain_delay.
    drain_timeout: Duration = values::duration {
        flag: "--drain-timeout", value: "TIME", variable: "JOBSHIM_DRAIN_TIMEOUT", default: "10s",
    }
}
