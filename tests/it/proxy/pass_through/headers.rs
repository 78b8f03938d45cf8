//! Which headers stay on their connection, which go on, and which are added.

use crate::support::raw::raw_request;
use crate::support::{
    Client, facing, start,
    upstream::{Arrived, Scripted},
};
use http::HeaderMap;
use jobshim::config::DialectChoice;

fn only(recorder: &Scripted) -> Arrived {
    let mut arrived = recorder.arrived();
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    arrived.remove(0)
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_connection_and_all_others_pass() {
    let answer = [
        ("keep-alive", "timeout=5"),
        ("connection", "x-private"),
        ("x-private", "upstream"),
        ("proxy-connection", "keep-alive"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-public", "yes"),
        ("server", "comfy"),
    ];
    let recorder = Scripted::always(200, &answer, "x").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let (_stream, head) = raw_request(
        jobshim.address,
        "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Private, Authorization\r\nX-Private: client\r\n\
         Authorization: Bearer t\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers, deflate\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n",
    )
    .await;
    let head = head.to_lowercase();
    for gone in ["keep-alive", "x-private", "proxy-connection"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    for kept in ["set-cookie: a=1", "set-cookie: b=2", "x-public: yes", "server: comfy"] {
        assert!(head.contains(kept), "{kept} not in {head}");
    }
    let arrived = only(&recorder).headers;
    for gone in ["connection", "x-private", "keep-alive", "proxy-connection", "te"] {
        assert!(!arrived.contains_key(gone), "{gone} in {arrived:?}");
    }
    assert_eq!(
        arrived["authorization"], "Bearer t",
        "no connection option takes a credential away"
    );
    let twice: Vec<_> = arrived.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2"]);
}

fn values(headers: &HeaderMap, names: [&str; 6]) -> [String; 6] {
    names.map(|name| {
        let values = headers.get_all(name).iter();
        let texts: Vec<_> = values.map(|value| value.to_str().expect("text")).collect();
        texts.join("|")
    })
}

#[tokio::test]
async fn host_origin_and_fetch_site_arrive_as_sent_and_forwarded_headers_are_added() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let names = [
        "host",
        "origin",
        "sec-fetch-site",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    ];
    let own = [
        ("host", "comfy.lan:99"),
        ("origin", "http://comfy.lan:99"),
        ("sec-fetch-site", "same-origin"),
    ];
    Client::new().get_with(jobshim.address, "/x", &own).await;
    assert_eq!(
        values(&recorder.arrived()[0].headers, names),
        [
            "comfy.lan:99",
            "http://comfy.lan:99",
            "same-origin",
            "127.0.0.1",
            "http",
            "comfy.lan:99"
        ]
    );
    let chained = [
        ("host", "inner"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outer.example"),
    ];
    // A stranger cannot say who it is; a trusted proxy can.
    Client::new().get_with(jobshim.address, "/x", &chained).await;
    let behind_proxy = facing(&recorder.url(), |config| {
        config.listen.trusted_proxies = "127.0.0.1".parse().expect("a list");
    })
    .await;
    Client::new().get_with(behind_proxy.address, "/x", &chained).await;
    let arrived = recorder.arrived();
    assert_eq!(
        values(&arrived[1].headers, names),
        ["inner", "", "", "127.0.0.1", "http", "inner"]
    );
    assert_eq!(
        values(&arrived[2].headers, names),
        ["inner", "", "", "203.0.113.7, 127.0.0.1", "https", "outer.example"]
    );
}

#[tokio::test]
async fn the_cloud_gets_its_own_host() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = start(&recorder.url(), |config| config.upstream.dialect = DialectChoice::Cloud).await;
    Client::new()
        .get_with(jobshim.address, "/api/x", &[("host", "127.0.0.1:8188")])
        .await;
    let arrived = only(&recorder).headers;
    assert_eq!(arrived["host"], recorder.address.to_string());
    assert_eq!(arrived["x-forwarded-host"], "127.0.0.1:8188");
}
