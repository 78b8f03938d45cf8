//! `config.example.toml` and the tables of `docs/configuration.md` are made from the table of settings. After a change there,
//! `JOBSHIM_PINS=write cargo test --test it -- config::documents` writes them anew.

use crate::support::pin::pinned;
use jobshim::config::{Key, Kind, Section, settings::SECTIONS};
use std::{fmt::Write, fs, path::Path};

const EXAMPLE: &str = "config.example.toml";
const PAGE: &str = "docs/configuration.md";
const BEGIN: &str = "<!-- Generated from the table of settings;";
const END: &str = "<!-- end of what is generated -->";
/// Of a line of the example.
const WIDTH: usize = 120;

#[test]
fn the_example_is_made_from_the_settings() {
    let (outside, sections): (Vec<&Section>, Vec<&Section>) =
        SECTIONS.iter().partition(|section| section.name.is_empty());
    let mut text = comment(
        "Every key of jobshim's configuration, with its default. A flag wins over the environment, the environment over this \
         file, this file over the default. `jobshim check --config FILE` prints what is in force and where it came from.",
    );
    // What belongs to no section must stand before the first.
    for section in outside {
        for key in section.keys {
            let _ = write!(text, "\n{}{}", explained(key), line(key));
        }
    }
    for section in sections {
        let _ = write!(text, "\n{}[{}]\n", comment(&section.about()), section.name);
        let (tables, lines): (Vec<&Key>, Vec<&Key>) = section.keys.iter().partition(|key| is_table(key));
        for key in lines {
            let _ = write!(text, "{}{}", explained(key), line(key));
        }
        // A line behind a table would belong to it.
        for key in tables {
            let _ = write!(text, "\n{}[{}]\n", explained(key), key.name);
            for line in key.example() {
                let _ = writeln!(text, "# {}", line.trim_start_matches("# "));
            }
        }
    }
    pinned(EXAMPLE, &text);
}

fn is_table(key: &Key) -> bool {
    matches!(key.kind, Kind::Table | Kind::Tables)
}

/// What a key is for and how else it is given, in comments.
fn explained(key: &Key) -> String {
    let flag = match key.kind {
        Kind::Count => format!("-v or {}", key.flag),
        Kind::Table | Kind::Tables | Kind::List => format!("{} {}", key.flag, key.value),
        Kind::Value | Kind::Switch => key.flag.to_owned(),
    };
    let details = match key.details() {
        none if none.is_empty() => none,
        some => format!(" {some}"),
    };
    comment(&format!(
        "{}.{details} Flag {flag}, environment {}.",
        key.help(),
        key.variable
    ))
}

/// The key with its default.
fn line(key: &Key) -> String {
    let name = key.name.rsplit('.').next().unwrap_or_default();
    let is_bare = key.default.parse::<u64>().is_ok() || key.default.parse::<bool>().is_ok();
    let value = match key.kind {
        Kind::List => "[]".to_owned(),
        _ if is_bare => key.default.to_owned(),
        _ => format!("{:?}", key.default),
    };
    format!("{name} = {value}\n")
}

/// `text` in comments of at most [`WIDTH`] letters.
fn comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(lines, "{line}");
            line = "#".to_owned();
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(lines, "{line}");
    lines
}

#[test]
fn the_page_has_a_table_for_each_section() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the tables begin");
    let (mark, rest) = rest.split_once('\n').expect("a line");
    let (_, after) = rest.split_once(END).expect("where the tables end");
    let tables: String = SECTIONS.iter().map(table).collect();
    pinned(PAGE, &format!("{before}{BEGIN}{mark}\n{tables}\n{END}{after}"));
}

fn table(section: &Section) -> String {
    let heading = match section.name {
        "" => "Outside of all sections".to_owned(),
        name => format!("`[{name}]`"),
    };
    let mut text = format!(
        "\n### {heading}\n\n{}\n\n| key | flag | variable | default | live | what it is |\n| --- | --- | --- | --- | --- | --- |\n",
        section.about()
    );
    for key in section.keys {
        let _ = writeln!(text, "{}", row(key));
    }
    text
}

fn row(key: &Key) -> String {
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let name = match is_table(key) {
        true => format!("`[{}]`", key.name),
        false => code(key.name),
    };
    let flag = match key.kind {
        Kind::Count => format!("`-v`, `{}`", key.flag),
        _ => code(key.flag),
    };
    let live = if key.live { "live" } else { "" };
    let about = format!("{}. {}", key.help(), key.details());
    format!(
        "| {name} | {flag} | {} | {} | {live} | {} |",
        code(key.variable),
        code(key.default),
        // Neither a column nor markup.
        about.trim_end().replace('|', "\\|").replace('*', "\\*")
    )
}
