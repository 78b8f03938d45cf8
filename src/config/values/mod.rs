//! The values of settings: their types, and one small function for each kind, from text to what the program trusts.

mod address;
mod day;
mod invalid_value;
mod modes;
mod number;
mod path;
mod secret;
mod trusted_proxies;
mod url;
mod word;

pub use address::{ListenAddress, address, address_or_off, host_names};
pub use day::day_or_off;
pub use invalid_value::InvalidValue;
pub use modes::{Mode, Policy, Rollback, RoutePolicies, Share, paths, policy, routes, share};
pub use number::{
    concurrency, count, count_or_none, duration, duration_or_none, header_count, size, size_or_none, uri_size,
    verbosity,
};
pub use path::{folder_to_be, optional_file, optional_folder};
pub use secret::{Pipes, Places, Secret, access_token, headers, is_read_once, shown, shown_headers, shown_url};
pub use trusted_proxies::{TrustedProxies, trusted_proxies};
pub use url::{ServerAddress, has_sound_port, optional_link, optional_url, server};
pub use word::{DialectChoice, LogFormat, Surface, dialect, flag, log_format, on_off, surface};
