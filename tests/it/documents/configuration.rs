//! The tables of settings in docs/configuration.md are made from the table of keys.

use crate::support::{documents::document, pin::pinned};
use jobshim::config::{Key, Kind, keys};
use std::fmt::Write;

const PAGE: &str = "docs/configuration.md";
const BEGIN: &str = "<!-- Generated from the table of settings;";
const END: &str = "<!-- end of what is generated -->";

#[test]
fn the_page_of_settings_is_in_step_with_the_keys() {
    let page = document(PAGE).text;
    let (before, rest) = page.split_once(BEGIN).expect("where the tables begin");
    let (mark, rest) = rest.split_once('\n').expect("a line");
    let (_, after) = rest.split_once(END).expect("where the tables end");
    pinned(PAGE, &format!("{before}{BEGIN}{mark}\n{}\n{END}{after}", tables()));
}

/// One table for each section of the file, in the order of `check`.
fn tables() -> String {
    let mut text = String::new();
    let mut last = None;
    for key in keys() {
        let section = key.name.split_once('.').map(|(section, _)| section);
        if last != Some(section) {
            let heading = match section {
                Some(section) => format!("`[{section}]`"),
                None => "Outside of all sections".to_owned(),
            };
            let _ = write!(
                text,
                "\n### {heading}\n\n| key | flag | variable | default | live | what it is |\n| --- | --- | --- | --- | --- | --- |\n"
            );
            last = Some(section);
        }
        let _ = writeln!(text, "{}", row(key));
    }
    text
}

fn row(key: &Key) -> String {
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let name = match key.kind {
        Kind::Table => format!("`[{}]`", key.name),
        _ => code(key.name),
    };
    let flag = match (key.kind, key.value) {
        (Kind::Count, _) => format!("`-{}`, `{}`", key.flag.chars().nth(2).unwrap_or_default(), key.flag),
        _ => code(key.flag),
    };
    let live = if key.live { "live" } else { "" };
    format!(
        "| {name} | {flag} | {} | {} | {live} | {} |",
        code(key.variable),
        code(key.default),
        key.help.replace('|', "\\|")
    )
}
