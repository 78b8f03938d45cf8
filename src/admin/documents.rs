//! Pages that are read and not watched: the configuration in force, and the guide for people who move their code.

use super::page::html;
use crate::{
    config::{InForce, Line},
    mapping::{Tables, guide::guide},
};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use pulldown_cmark::{Event, Options, Parser};

/// No script at all.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What is in force, and where each value comes from.
pub(super) fn config(in_force: &InForce) -> Response<Full<Bytes>> {
    let table = |heads: [&str; 3], lines: &[Line]| {
        let rows = lines.iter().map(|Line { name, value, note }| {
            let class = if note == "default" { " class=\"soft\"" } else { "" };
            let (value, note) = (escaped(value), escaped(note));
            format!(
                "<tr{class}><td data-label=\"{}\"><code>{name}</code></td><td data-label=\"{}\"><code>{value}</code></td><td data-label=\"{}\">{note}</td></tr>",
                heads[0], heads[1], heads[2]
            )
        });
        let heads = heads.map(|head| format!("<th>{head}</th>")).concat();
        let rows: String = rows.collect();
        format!("<div class=\"scroll\"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>")
    };
    let waiting = match &*in_force.waiting {
        [] => String::new(),
        keys => format!(
            "<p class=\"alert\">These changes wait for a restart: <code>{}</code>.</p>",
            keys.join("</code>, <code>")
        ),
    };
    let routes = table(["Route", "Mode", "What that means"], &in_force.routes);
    let settings = table(["Key", "Value", "Where it comes from"], &in_force.settings);
    let body = format!(
        "{waiting}<h1>Configuration in force</h1>\
         <p>What <code>jobshim check</code> prints of the same files, variables and flags. Secrets are not shown.</p>\
         <h2>Routes</h2>{routes}<h2>Settings</h2>{settings}"
    );
    document("Configuration", &body)
}

/// The guide by the tables in force, as `jobshim mapping --format markdown` prints it.
pub(super) fn guide_page(tables: &Tables) -> Response<Full<Bytes>> {
    let text = guide(tables, None).unwrap_or_else(|error| error.to_string());
    // Tables are somebody's files: what looks like HTML in them is text.
    let events = Parser::new_ext(&text, Options::ENABLE_TABLES).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        event => event,
    });
    let mut body = String::new();
    pulldown_cmark::html::push_html(&mut body, events);
    let body = body
        .replace("<table>", "<div class=\"wide-table\"><table>")
        .replace("</table>", "</table></div>");
    document("Guide for moving code", &body)
}

fn document(title: &str, body: &str) -> Response<Full<Bytes>> {
    let styles = [include_str!("page/page.css"), include_str!("page/document.css")].concat();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · jobshim</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{styles}</style>\n</head>\n<body>\n\
         <p class=\"back\"><a href=\"/\">← jobshim</a></p>\n<article>{body}</article>\n</body>\n</html>\n"
    );
    html(page, POLICY)
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}
