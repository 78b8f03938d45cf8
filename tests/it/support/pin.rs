//! Text that is kept in the repository and must stay what the program says.

use std::{collections::BTreeSet, fs, path::Path};

/// Compares `now` with the file at `path`, line by line. With `JOBSHIM_PINS=write`, the file is written first.
pub fn pinned(path: &str, now: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if writes() {
        fs::write(&file, now).expect("the pin is written");
    }
    let pin = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (pin.lines().collect(), now.lines().collect());
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(
        pin == now,
        "{path} has changed; JOBSHIM_PINS=write takes it over\ngone: {gone:#?}\nnew: {new:#?}"
    );
}

/// Whether changes are meant, and taken over.
pub fn writes() -> bool {
    std::env::var("JOBSHIM_PINS").is_ok_and(|word| word == "write")
}
