//! The values of settings: their types, and one small function for each kind, from text to what the program trusts.

mod address;
mod day;
mod invalid_value;
mod keep;
mod modes;
mod number;
mod path;
mod secret;
mod state;
mod trusted_proxies;
mod url;
mod word;

pub use address::ListenAddress;
pub use keep::KeepLimits;
pub use modes::{Mode, Policy, Rollback, RoutePolicies, Share};
pub use secret::{Secret, is_read_once, shown_url};
pub use state::{StatePlace, ValkeyLayout, ValkeyUrl};
pub use trusted_proxies::TrustedProxies;
pub use url::{ServerAddress, has_sound_port, is_host_and_port};
pub use word::{DialectChoice, Ids, LogFormat, Surface};

pub(crate) use address::{address, address_or_off, host_names};
pub(crate) use day::day_or_off;
pub(crate) use invalid_value::InvalidValue;
pub(crate) use keep::keep;
pub(crate) use modes::{paths, policy, routes, share};
pub(crate) use number::{
    concurrency, count, count_or_none, duration, duration_or_none, header_count, size, size_or_none, uri_size,
    verbosity,
};
pub(crate) use path::{folder_to_be, optional_file, optional_folder};
pub(crate) use secret::{Pipes, Places, headers, long_secret, optional_secret, shown, shown_headers};
pub(crate) use state::state;
pub(crate) use trusted_proxies::trusted_proxies;
pub(crate) use url::{optional_link, optional_url, server};
pub(crate) use word::{dialect, flag, ids, log_format, surface};
