//! An upstream behind https: system, bundled and extra roots.

use crate::support::{Client, TableFolder as Folder, start, upstream::secure};
use jobshim::config::DialectChoice;

#[tokio::test]
async fn an_extra_ca_file_makes_a_private_upstream_trusted() {
    let upstream = secure(r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    let folder = Folder::with("ca", &[("ca.pem", &upstream.certificate)]);
    let jobshim = start(&format!("https://localhost:{}/base", upstream.port), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.upstream.ca_file = Some(folder.path.join("ca.pem"));
    })
    .await;
    let client = Client::new();
    assert_eq!(client.get(jobshim.address, "/history").await.text(), "{}");
    let passed = client.get(jobshim.address, "/view").await;
    assert_eq!(
        (passed.status.as_u16(), passed.text().as_str()),
        (200, r#"{"jobs": [], "pagination": {"has_more": false}}"#)
    );
}

#[tokio::test]
async fn an_upstream_that_nobody_vouches_for_is_a_502_that_says_so() {
    let upstream = secure("{}").await;
    let jobshim = start(&format!("https://localhost:{}", upstream.port), |_| {}).await;
    for path in ["/history", "/view"] {
        let reply = Client::new().get(jobshim.address, path).await;
        assert_eq!(reply.status, 502);
        let body = reply.text();
        assert!(
            body.contains("upstream_unreachable") && body.contains("UnknownIssuer"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let upstream = secure("{}").await;
    let folder = Folder::with("ca-name", &[("ca.pem", &upstream.certificate)]);
    let jobshim = start(&format!("https://127.0.0.1:{}", upstream.port), |config| {
        config.upstream.ca_file = Some(folder.path.join("ca.pem"));
    })
    .await;
    let reply = Client::new().get(jobshim.address, "/view").await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("certificate"), "{}", reply.text());
}
