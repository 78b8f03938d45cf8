//! Where the state is kept: what every place promises, and what is special to a folder and to a Valkey.

mod every_place;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(unix)]
mod layouts;
#[cfg(unix)]
mod replicas;
#[cfg(unix)]
mod valkey;
