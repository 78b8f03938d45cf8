//! Requests and answers that two servers could read differently: raw bytes on a socket, what of them reaches the
//! upstream, and what the client gets. Each is followed by a decent request on the same connection and one on another.

use crate::support::{
    self, Running,
    raw::{exchange, statuses},
    tape::Told,
    upstream::RawServer,
};

/// What may reach the upstream of one vector.
#[derive(Clone, Copy)]
enum Reaches {
    Nothing,
    /// These messages, and no other.
    Whole(&'static [&'static str]),
    /// At most the beginning of a message: the upstream sees that it was cut.
    Cut,
}
use Reaches::{Cut, Nothing, Whole};

struct Vector {
    name: &'static str,
    bytes: Vec<u8>,
    reaches: Reaches,
    /// The statuses of the answers, without that of the decent request which follows.
    answers: &'static [u16],
    /// Whether the decent request on the same connection is answered.
    goes_on: bool,
}

fn vector(
    name: &'static str,
    bytes: impl AsRef<[u8]>,
    reaches: Reaches,
    answers: &'static [u16],
    goes_on: bool,
) -> Vector {
    Vector {
        name,
        bytes: bytes.as_ref().to_vec(),
        reaches,
        answers,
        goes_on,
    }
}

const GET_X: &[&str] = &["GET /x [host: a] [x-forwarded-for: 127.0.0.1]"];
const POST_HELLO: &[&str] = &["POST /x [host: a] [content-length: 5] [x-forwarded-for: 127.0.0.1] hello"];
const POST_TEN: &[&str] = &["POST /x [host: a] [content-length: 10] [x-forwarded-for: 127.0.0.1] hellohello"];
const POST_NINE: &[&str] = &["POST /x [host: a] [content-length: 9] [x-forwarded-for: 127.0.0.1] hellohell"];
const POST_NONE: &[&str] = &["POST /x [host: a] [content-length: 0] [x-forwarded-for: 127.0.0.1]"];
const POST_CHUNKED: &[&str] = &["POST /x [host: a] [x-forwarded-for: 127.0.0.1] [transfer-encoding: chunked] hello"];
const POST_EMPTY: &[&str] = &["POST /x [host: a] [x-forwarded-for: 127.0.0.1] [transfer-encoding: chunked]"];
/// A request that must never be seen as one.
const EVIL: &str = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";

/// `POST /x` with these header lines and this body.
fn post(headers: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

/// `GET /x` with these header lines.
fn get(headers: &str) -> String {
    format!("GET /x HTTP/1.1\r\n{headers}\r\n")
}

#[rustfmt::skip]
fn lengths() -> Vec<Vector> {
    let zero_then_evil = format!("0\r\n\r\n{EVIL}");
    let both = post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &zero_then_evil);
    let turned = post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &zero_then_evil);
    let bad_length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    let twice = |one: &str, other: &str| {
        post(
            &format!("Content-Length: {one}\r\nContent-Length: {other}\r\n"),
            &format!("hello{EVIL}"),
        )
    };
    vec![
        // RFC 9112 section 6.3: the coding counts, the length is removed, and the connection ends, as haproxy does it.
        vector("a length, then chunked", both, Whole(POST_EMPTY), &[200], false),
        vector("chunked, then a length", turned, Whole(POST_EMPTY), &[200], false),
        vector("chunked with a length of zero", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), Whole(POST_CHUNKED), &[200], false),
        vector("two different lengths", twice("5", "37"), Nothing, &[400], false),
        vector("two different lengths, turned", twice("37", "5"), Nothing, &[400], false),
        vector("a length and an empty one", twice("5", ""), Nothing, &[400], false),
        vector("two equal lengths become one", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), Whole(POST_HELLO), &[200], true),
        vector("a list of lengths", bad_length("5, 5"), Nothing, &[400], false),
        vector("a list of different lengths", bad_length("5,6"), Nothing, &[400], false),
        vector("a signed length", bad_length("+5"), Nothing, &[400], false),
        vector("a negative length", bad_length("-5"), Nothing, &[400], false),
        // RFC 9110 section 8.6: digits, and decimal. The server gets the plain number, which nobody reads as octal.
        vector("a length with a zero before it", bad_length("05"), Whole(POST_HELLO), &[200], true),
        vector("a length with many zeros before it", bad_length(&format!("{:080}", 5)), Whole(POST_HELLO), &[200], true),
        vector("a length that is less in octal", post("Content-Length: 010\r\n", "hellohello"), Whole(POST_TEN), &[200], true),
        vector("a length that is no octal number", post("Content-Length: 09\r\n", "hellohell"), Whole(POST_NINE), &[200], true),
        vector("zeros alone", post("Content-Length: 000\r\n", ""), Whole(POST_NONE), &[200], true),
        vector("two lengths that are the same number", post("Content-Length: 5\r\nContent-Length: 05\r\n", "hello"), Whole(POST_HELLO), &[200], true),
        vector("two lengths, one less in octal", twice("010", "8"), Nothing, &[400], false),
        vector("a zero, then a sign", bad_length("0-5"), Nothing, &[400], false),
        vector("a hexadecimal length", bad_length("0x5"), Nothing, &[400], false),
        vector("a fractional length", bad_length("5.0"), Nothing, &[400], false),
        vector("a length in quotes", bad_length("\"5\""), Nothing, &[400], false),
        vector("a length with a blank inside", bad_length("5 5"), Nothing, &[400], false),
        vector("an empty length", bad_length(""), Nothing, &[400], false),
        vector("a length with a vertical tab", bad_length("5\x0b"), Nothing, &[400], false),
        vector("a length of 2^64", bad_length("18446744073709551616"), Nothing, &[400], false),
        vector("a length of 2^64 - 1", bad_length("18446744073709551615"), Nothing, &[431], false),
        vector("a length in Arabic digits", bad_length("\u{665}"), Nothing, &[400], false),
    ]
}

#[rustfmt::skip]
fn codings() -> Vec<Vector> {
    let coded = |coding: &str| post(&format!("Transfer-Encoding: {coding}\r\n"), &format!("0\r\n\r\n{EVIL}"));
    let mut vectors = vec![
        vector("chunked in capitals", post("Transfer-Encoding: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
        vector("chunked by HTTP/1.0", format!("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{EVIL}"), Nothing, &[400], false),
        vector("chunked in two lines", coded("chunked\r\nTransfer-Encoding: chunked"), Nothing, &[400], false),
        vector("chunked, then identity in a line of its own", coded("chunked\r\nTransfer-Encoding: identity"), Nothing, &[400], false),
        vector("identity, then chunked in a line of its own", coded("identity\r\nTransfer-Encoding: chunked"), Nothing, &[400], false),
    ];
    for (name, coding) in [
        ("chunked not last", "chunked, identity"),
        ("chunked after gzip", "gzip, chunked"),
        ("chunked twice", "chunked, chunked"),
        ("identity", "identity"),
        ("an empty coding", ""),
        ("a misspelt coding", "xchunked"),
        ("a coding cut short", "chunke"),
        ("a coding in quotes", "\"chunked\""),
        ("a coding with a parameter", "chunked;q=1"),
        ("a coding after a comma", ", chunked"),
        ("a coding before a comma", "chunked,"),
        ("a coding after a vertical tab", "\x0bchunked"),
        ("a coding before a NUL", "chunked\0"),
        ("a coding with a letter of another script", "\u{441}hunked"),
        ("a coding folded to the next line", "\r\n chunked"),
    ] {
        vectors.push(vector(name, coded(coding), Nothing, &[400], false));
    }
    for (name, header) in [
        ("a blank before the colon of a coding", "Transfer-Encoding : chunked"),
        ("a tab before the colon of a coding", "Transfer-Encoding\t: chunked"),
        ("a blank before the name of a coding", " Transfer-Encoding: chunked"),
        ("a NUL in the name of a coding", "Transfer\0-Encoding: chunked"),
        ("a coding after a lone CR", "X: y\rTransfer-Encoding: chunked"),
        ("a coding without a colon", "Transfer-Encoding chunked"),
    ] {
        let bytes = post(&format!("Content-Length: 5\r\n{header}\r\n"), &format!("hello{EVIL}"));
        vectors.push(vector(name, bytes, Nothing, &[400], false));
    }
    vectors
}

#[rustfmt::skip]
fn chunks() -> Vec<Vector> {
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let long = "e".repeat(40_000);
    let mut vectors = vec![
        vector("a chunk extension is not passed on", chunked("5;name=\"value\"\r\nhello\r\n0;last\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
        vector("a blank after the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
        vector("zeros before the size", chunked("0005\r\nhello\r\n000\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
        vector("trailers that pose as headers", chunked("5\r\nhello\r\n0\r\nContent-Length: 50\r\nHost: evil\r\nAuthorization: Bearer evil\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
        vector("trailers that are announced", post("Transfer-Encoding: chunked\r\nTrailer: Authorization, X-Sum\r\nTE: trailers\r\n", "5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\nX-Sum: 1\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
    ];
    for (name, body) in [
        ("a size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a signed size", "+5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a blank before the size", " 5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("no size", "\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size of letters that are no digits", "g\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with an underscore", "1_0\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a lone LF after the size", "5\nhello\r\n0\r\n\r\n".to_owned()),
        ("a lone CR after the size", "5\rhello\r\n0\r\n\r\n".to_owned()),
        ("a lone LF in an extension", format!("5;a\n\r\nhello\r\n0\r\n\r\n{EVIL}")),
        ("a lone CR in an extension", format!("5;a\rb\r\nhello\r\n0\r\n\r\n{EVIL}")),
        ("an extension without end", format!("5;{long}\r\nhello\r\n0\r\n\r\n")),
        ("extensions without number", format!("1;{0}\r\nh\r\n1;{0}\r\ne\r\n0\r\n\r\n", "e".repeat(10_000))),
        ("a chunk longer than its size", format!("5\r\nhello!\r\n0\r\n\r\n{EVIL}")),
        ("a chunk that ends with a lone LF", format!("5\r\nhello\n0\r\n\r\n{EVIL}")),
        ("a chunk that ends with nothing", format!("5\r\nhello0\r\n\r\n{EVIL}")),
        ("a last chunk that ends with a lone LF", format!("5\r\nhello\r\n0\n\n{EVIL}")),
        ("a folded trailer", format!("5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n{EVIL}")),
        ("trailers without end", format!("5\r\nhello\r\n0\r\nX: {long}\r\n\r\n")),
        ("a trailer with a blank before its colon", format!("5\r\nhello\r\n0\r\nX : y\r\n\r\n{EVIL}")),
    ] {
        vectors.push(vector(name, chunked(&body), Cut, &[400], false));
    }
    vectors
}

#[rustfmt::skip]
fn heads() -> Vec<Vector> {
    let with_host = |line: &str| get(&format!("Host: a\r\n{line}\r\n"));
    let mut vectors = vec![
        // RFC 9112 section 2.2 lets a lone LF end a line. What is passed on has none.
        vector("lines that end with a lone LF", "GET /x HTTP/1.1\nHost: a\n\n", Whole(GET_X), &[200], true),
        vector("empty lines before the request", format!("\r\n\r\n{}", get("Host: a\r\n")), Whole(GET_X), &[200], true),
        vector("a name that only looks like a length", format!("{}{EVIL}", with_host("Content_Length: 31")), Whole(&["GET /x [host: a] [x-forwarded-for: 127.0.0.1]", "GET /evil [host: a] [x-forwarded-for: 127.0.0.1]"]), &[200, 200], true),
        vector("a body that a GET hides a request in", format!("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n{EVIL}"), Whole(&["GET /x [host: a] [content-length: 31] [x-forwarded-for: 127.0.0.1] GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"]), &[200], true),
        vector("a chunked body of a GET", "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Whole(&["GET /x [host: a] [x-forwarded-for: 127.0.0.1] [transfer-encoding: chunked] hello"]), &[200], true),
        vector("a body that a translated GET hides a request in", format!("DELETE /history HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n{EVIL}"), Nothing, &[405], true),
        vector("no host", get("X: y\r\n"), Nothing, &[400], false),
        vector("two hosts", get("Host: a\r\nHost: b\r\n"), Nothing, &[400], false),
        vector("the same host twice", get("Host: a\r\nHost: a\r\n"), Nothing, &[400], false),
        vector("an empty host", get("Host:\r\n"), Nothing, &[400], false),
        vector("a list of hosts", get("Host: a, b\r\n"), Nothing, &[400], false),
        vector("a host with a path", get("Host: a/evil\r\n"), Nothing, &[400], false),
        vector("a host with a user", get("Host: evil@a\r\n"), Nothing, &[400], false),
        vector("a host with a blank", get("Host: a b\r\n"), Nothing, &[400], false),
        vector("a host after a lone CR", get("X: y\rHost: a\r\n"), Nothing, &[400], false),
        vector("a folded header", with_host("X: y\r\n z"), Nothing, &[400], false),
        vector("a header folded by a tab", with_host("X: y\r\n\tHost: b"), Nothing, &[400], false),
        vector("a header folded at once", get(" X: y\r\nHost: a\r\n"), Nothing, &[400], false),
        vector("a NUL in a value", with_host("X: a\0b"), Nothing, &[400], false),
        vector("a NUL in a name", with_host("X\0: b"), Nothing, &[400], false),
        vector("a bell in a value", with_host("X: a\x07b"), Nothing, &[400], false),
        vector("a DEL in a value", with_host("X: a\x7fb"), Nothing, &[400], false),
        vector("a lone CR in a value", with_host("X: a\rb"), Nothing, &[400], false),
        vector("an empty name", with_host(": b"), Nothing, &[400], false),
        vector("a name in another script", with_host("\u{d6}x: b"), Nothing, &[400], false),
        vector("a name with a bracket", with_host("X[0]: b"), Nothing, &[400], false),
        vector("a line without a colon", with_host("X"), Nothing, &[400], false),
        vector("a blank before a colon", with_host("X : y"), Nothing, &[400], false),
    ];
    for (name, line) in [
        ("two blanks in the request line", "GET  /x HTTP/1.1"),
        ("a tab in the request line", "GET\t/x HTTP/1.1"),
        ("a blank in front of the request line", " GET /x HTTP/1.1"),
        ("a blank after the request line", "GET /x HTTP/1.1 "),
        ("a blank in the target", "GET /x /evil HTTP/1.1"),
        ("a NUL in the target", "GET /x\0 HTTP/1.1"),
        ("a method with a colon", "GET: /x HTTP/1.1"),
        ("no version", "GET /x"),
        ("a PROXY header where none is expected", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /x HTTP/1.1"),
        ("version 1.2", "GET /x HTTP/1.2"),
        ("version 2.0", "GET /x HTTP/2.0"),
        ("version 0.9", "GET /x HTTP/0.9"),
        ("version 1.1 in small letters", "GET /x http/1.1"),
        ("a version with more digits", "GET /x HTTP/1.10"),
        ("a target that is no path", "GET x HTTP/1.1"),
        ("a target that is a host", "GET a:80 HTTP/1.1"),
        ("a star where none is meant", "GET * HTTP/1.1"),
        ("another host in the target", "GET http://evil/x HTTP/1.1"),
        ("another port in the target", "GET http://a:81/x HTTP/1.1"),
        ("a user in the target", "GET http://evil@a/x HTTP/1.1"),
        ("another scheme in the target", "GET ftp://a/x HTTP/1.1"),
        ("a backslash for a host", "GET http:\\\\evil/x HTTP/1.1"),
    ] {
        vectors.push(vector(
            name,
            format!("{line}\r\nHost: a\r\n\r\n"),
            Nothing,
            &[400],
            false,
        ));
    }
    vectors.push(vector(
        "the same host in the target",
        "GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n",
        Whole(GET_X),
        &[200],
        true,
    ));
    vectors
}

#[rustfmt::skip]
fn tunnels() -> Vec<Vector> {
    let upgrade = |protocol: &str, more: &str| {
        get(&format!(
            "Host: a\r\nConnection: Upgrade{more}\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: x\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        ))
    };
    let after_upgrade = &["GET /x [host: a] [x-forwarded-for: 127.0.0.1] [connection: upgrade] [upgrade: websocket]"];
    vec![
        vector("CONNECT to a host", "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", Nothing, &[405], false),
        vector("CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", Nothing, &[405], false),
        vector("CONNECT to a URL", "CONNECT http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", Nothing, &[405], false),
        vector("h2c is not passed on", upgrade("h2c", ", HTTP2-Settings"), Whole(GET_X), &[200], true),
        vector("h2c is not passed on in a list", upgrade("websocket, h2c", ""), Whole(GET_X), &[200], true),
        vector("h2c in capitals", upgrade("H2C", ""), Whole(GET_X), &[200], true),
        vector("an upgrade without Connection", get("Host: a\r\nUpgrade: websocket\r\n"), Whole(GET_X), &[200], true),
        // CVE-2026-2833: what follows a refused upgrade is a request like any other, and not a tunnel's.
        vector("an upgrade that is refused", upgrade("websocket", ""), Whole(after_upgrade), &[426], true),
        vector("an evil request behind a refused upgrade", format!("{}GET /evil HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", upgrade("websocket", "")), Whole(after_upgrade), &[426, 400], false),
        vector("Connection cannot take away whom a request is for, nor from whom", get("Host: a\r\nConnection: Host, Authorization, X-Forwarded-For, keep-alive\r\nAuthorization: me\r\nX-Forwarded-For: 192.0.2.1\r\n"), Whole(&["GET /x [host: a] [authorization: me] [x-forwarded-for: 192.0.2.1, 127.0.0.1]"]), &[200], true),
        vector("Connection cannot take away a length", post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"), Whole(POST_HELLO), &[200], true),
        vector("Connection names a coding", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), Whole(POST_CHUNKED), &[200], true),
    ]
}

pub async fn facing(tape: &RawServer<Told>) -> Running {
    support::facing(&tape.url(), |config| {
        // What a proxy in front says of its client must not get lost either.
        config.listen.trusted_proxies = "127.0.0.1".parse().expect("a list");
    })
    .await
}

pub const NEXT: &str = "GET /next HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n";
pub const NEXT_TOLD: &str = "GET /next [host: next] [x-forwarded-for: 127.0.0.1]";

/// What is wrong with how a vector was taken, if anything is.
async fn judge(vector: &Vector, jobshim: &Running, tape: &RawServer<Told>) -> Option<String> {
    tape.take();
    let bytes = [&vector.bytes, NEXT.as_bytes()].concat();
    let answers = match exchange(jobshim.address, &bytes).await {
        Ok(answers) => answers,
        Err(error) => return Some(error),
    };
    let mut expected = vector.answers.to_vec();
    expected.extend(vector.goes_on.then_some(200));
    if statuses(&answers) != expected {
        return Some(format!("answers {answers:?} instead of {expected:?}"));
    }
    let mut told = tape.take();
    let next = Told::Whole(NEXT_TOLD.to_owned());
    if vector.goes_on && told.pop() != Some(next) {
        return Some("the next request did not arrive last".to_owned());
    }
    let fits = match vector.reaches {
        Nothing => told.is_empty(),
        Whole(messages) => told
            .iter()
            .map(|one| match one {
                Told::Whole(text) => Some(text.as_str()),
                _ => None,
            })
            .eq(messages.iter().map(|message| Some(*message))),
        Cut => told
            .iter()
            .all(|one| matches!(one, Told::Cut(text) if text.starts_with("POST /x ") && !text.contains("\r\n0\r\n"))),
    };
    if !fits {
        return Some(format!("the upstream got {told:?}"));
    }
    judge_next(jobshim, tape).await
}

/// What is wrong with how the request of another client is taken, who shares the connections to the upstream.
pub async fn judge_next(jobshim: &Running, tape: &RawServer<Told>) -> Option<String> {
    let after = exchange(jobshim.address, NEXT.as_bytes()).await.unwrap_or_default();
    // The end of a request that was cut may only be noticed now.
    let told: Vec<Told> = tape
        .take()
        .into_iter()
        .filter(|one| !matches!(one, Told::Cut(_)))
        .collect();
    let fine = statuses(&after) == [200] && told == [Told::Whole(NEXT_TOLD.to_owned())];
    (!fine).then(|| format!("the next client got {after:?}, the upstream {told:?}"))
}

/// None of so many went wrong.
pub fn assert_none(wrong: &[String], of: usize) {
    assert!(wrong.is_empty(), "{} of {of}:\n{}", wrong.len(), wrong.join("\n"));
}

async fn judge_all(vectors: Vec<Vector>) {
    let tape = RawServer::tape().await;
    let jobshim = facing(&tape).await;
    let mut wrong = Vec::new();
    for vector in &vectors {
        if let Some(reason) = judge(vector, &jobshim, &tape).await {
            wrong.push(format!("{}: {reason}", vector.name));
        }
    }
    assert_none(&wrong, vectors.len());
}

#[tokio::test]
async fn lengths_that_two_servers_could_read_differently() {
    judge_all(lengths()).await;
}

#[tokio::test]
async fn codings_that_two_servers_could_read_differently() {
    judge_all(codings()).await;
}

#[tokio::test]
async fn chunks_that_two_servers_could_read_differently() {
    judge_all(chunks()).await;
}

#[tokio::test]
async fn heads_that_two_servers_could_read_differently() {
    judge_all(heads()).await;
}

#[tokio::test]
async fn tunnels_and_connection_options_open_no_way_round() {
    judge_all(tunnels()).await;
}
