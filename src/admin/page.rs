//! The page: one file that asks no other host for anything. uPlot draws (MIT, its licence beside it).

use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use http_body_util::Full;
use std::sync::LazyLock;

/// Scripts and styles are in the page; it may talk to where it came from and be framed by nobody.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One idea a file; the later ones use what the earlier ones say.
const SCRIPT: &str = concat!(
    include_str!("page/words.js"),
    include_str!("page/charts.js"),
    include_str!("page/routes.js"),
    include_str!("page/clients.js"),
    include_str!("page/findings.js"),
    include_str!("page/events.js"),
    include_str!("page/live.js"),
);

static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
    let parts = [
        ("/*UPLOT_CSS*/", include_str!("page/uPlot.min.css")),
        ("/*PAGE_CSS*/", include_str!("page/page.css")),
        ("/*UPLOT_JS*/", include_str!("page/uPlot.min.js")),
        ("/*PAGE_JS*/", SCRIPT),
    ];
    let page = include_str!("page/page.html").to_owned();
    parts
        .iter()
        .fold(page, |page, (place, text)| page.replacen(place, text, 1))
        .into()
});

/// The page.
pub(super) fn page() -> Response<Full<Bytes>> {
    html(PAGE.clone(), POLICY)
}

/// Any page: what is in it may do what `policy` says.
pub(super) fn html(page: impl Into<Bytes>, policy: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(page.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
