//! Tests of `config`.

mod documents;
mod faults;
mod file;
mod secret_pipes;
mod secrets;
mod settings;

use crate::support::TableFolder;
use jobshim::config::{ConfigErrors, Options, load};

fn with_file(name: &str, text: &str) -> (TableFolder, Options) {
    let folder = TableFolder::with(name, &[("jobshim.toml", text)]);
    let options = Options::in_file(folder.path.join("jobshim.toml"));
    (folder, options)
}

fn refused(options: &Options) -> Vec<String> {
    let ConfigErrors(errors) = load(options, |_| None).expect_err("a bad configuration");
    errors.iter().map(ToString::to_string).collect()
}
