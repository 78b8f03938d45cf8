//! What the program was told: file, environment and flags, merged and validated into one [`Config`].

#[macro_use]
mod setting;

mod error;
pub mod field_path;
mod file;
mod in_force;
mod key;
mod load;
mod nearest;
mod options;
mod provenance;
mod reader;
pub mod settings;
mod validated;
mod values;
mod why_unread;

pub use error::{ConfigError, ConfigErrors};
pub use in_force::{InForce, Line};
pub use key::{Key, Kind, Section};
pub use load::{Loaded, load, load_one};
pub use nearest::{nearest, nearest_few};
pub use options::{Options, Words};
pub use provenance::{GivenValue, Origin};
pub use setting::Setting;
pub use settings::{
    CacheConfig, HistoryConfig, LegacyConfig, ListenConfig, LogConfig, NotesConfig, NoticesConfig, ServerConfig,
    ShadowConfig, UpstreamConfig, keys,
};
pub use validated::{AdminConfig, Config, StateConfig, TlsFiles};
pub use values::{
    DialectChoice, Ids, KeepLimits, ListenAddress, LogFormat, Mode, Policy, Rollback, RoutePolicies, Secret,
    ServerAddress, Share, StatePlace, Surface, TrustedProxies, ValkeyLayout, ValkeyUrl, has_sound_port,
    is_host_and_port, is_read_once, shown_url,
};

pub(crate) use why_unread::why_unread;
