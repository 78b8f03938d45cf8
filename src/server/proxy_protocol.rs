//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): a proxy that passes bytes on says first who its
//! client is. Exactly its header is read, and no byte of what follows.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its line end (section 2.1).
const LONGEST_LINE: usize = 107;
/// Far more than any proxy adds to the addresses of version 2.
const LONGEST_BLOCK: usize = 4096;

/// Why a connection does not begin as it must.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// It ended or broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It begins otherwise.
    #[error("it does not begin with a PROXY header")]
    Absent,
    /// It begins so, and goes on otherwise.
    #[error("its PROXY header cannot be read")]
    Malformed,
}

/// Reads the header; `None` when the proxy speaks for itself, as its health checks do, or does not know.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, HeaderError> {
    // No header is shorter.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == *SIGNATURE {
        return read_block(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(HeaderError::Absent);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(HeaderError::Malformed);
        }
        line.push(stream.read_u8().await?);
    }
    source_of_line(&line).ok_or(HeaderError::Malformed)
}

/// `PROXY TCP4 source destination port port`, or `PROXY UNKNOWN` and anything.
fn source_of_line(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = str::from_utf8(line)
        .ok()?
        .strip_prefix("PROXY ")?
        .strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let [source, destination, port, other_port] = [words.next()?, words.next()?, words.next()?, words.next()?];
    let port_of = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())?
    };
    let (port, _): (u16, u16) = (port_of(port)?, port_of(other_port)?);
    let source = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    words.next().is_none().then_some(Some(SocketAddr::new(source, port)))
}

async fn read_block(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, HeaderError> {
    let (version, family, length) = (
        stream.read_u8().await?,
        stream.read_u8().await?,
        stream.read_u16().await?,
    );
    if usize::from(length) > LONGEST_BLOCK {
        return Err(HeaderError::Malformed);
    }
    let mut block = vec![0; length.into()];
    stream.read_exact(&mut block).await?;
    source_of_block(version, family, &block).ok_or(HeaderError::Malformed)
}

fn source_of_block(version: u8, family: u8, block: &[u8]) -> Option<Option<SocketAddr>> {
    match version {
        // LOCAL: whatever else is in it does not count (section 2.2).
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    let port_at = |at: usize| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    match family >> 4 {
        // UNSPEC, or a Unix socket, whose client has no address.
        0 | 3 => Some(None),
        1 => {
            let source: [u8; 4] = block.get(..4)?.try_into().ok()?;
            port_at(10)?;
            Some(Some(SocketAddr::new(Ipv4Addr::from(source).into(), port_at(8)?)))
        }
        2 => {
            let source: [u8; 16] = block.get(..16)?.try_into().ok()?;
            port_at(34)?;
            Some(Some(SocketAddr::new(Ipv6Addr::from(source).into(), port_at(32)?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    /// What a header says, and what is left behind it.
    fn heard(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let mut rest = bytes;
        let heard = runtime.block_on(read(&mut rest));
        (heard, rest.len())
    }

    fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        format!(
            "PROXY {family} {from} {to} {} {}\r\n",
            source.port(),
            destination.port()
        )
        .into_bytes()
    }

    fn block(source: SocketAddr, destination: SocketAddr, more: &[u8]) -> Vec<u8> {
        let mut addresses = Vec::new();
        for address in [source.ip(), destination.ip()] {
            match address {
                IpAddr::V4(address) => addresses.extend(address.octets()),
                IpAddr::V6(address) => addresses.extend(address.octets()),
            }
        }
        for port in [source.port(), destination.port()] {
            addresses.extend(port.to_be_bytes());
        }
        addresses.extend(more);
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        let length = u16::try_from(addresses.len()).expect("a length");
        [&SIGNATURE[..], &[0x21, family], &length.to_be_bytes(), &addresses].concat()
    }

    fn pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<(u32, u32)>().prop_map(|(one, other)| (IpAddr::V4(one.into()), IpAddr::V4(other.into())));
        let v6 = any::<(u128, u128)>().prop_map(|(one, other)| (IpAddr::V6(one.into()), IpAddr::V6(other.into())));
        (prop_oneof![v4, v6], any::<(u16, u16)>()).prop_map(|((one, other), (port, other_port))| {
            (SocketAddr::new(one, port), SocketAddr::new(other, other_port))
        })
    }

    proptest! {
        #[test]
        fn either_version_says_its_source_and_what_follows_is_left((source, destination) in pair(), rest: Vec<u8>, more in proptest::collection::vec(any::<u8>(), 0..200)) {
            for header in [line(source, destination), block(source, destination, &more)] {
                let (heard, left) = heard(&[&header[..], &rest].concat());
                prop_assert_eq!(heard.expect("a header"), Some(source));
                prop_assert_eq!(left, rest.len());
            }
        }

        #[test]
        fn a_header_that_is_cut_or_changed_never_panics((source, destination) in pair(), cut in 0_usize..60, change: u8) {
            for header in [line(source, destination), block(source, destination, &[])] {
                let at = cut.min(header.len() - 1);
                let (cut, _) = heard(&header[..at]);
                prop_assert!(cut.is_err());
                let mut changed = header.clone();
                changed[at] ^= change;
                let _ = heard(&changed);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = heard(&bytes);
            let _ = heard(&[&SIGNATURE[..], &bytes].concat());
            let _ = heard(&[b"PROXY TCP", &bytes[..]].concat());
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody() {
        for header in [
            &b"PROXY UNKNOWN\r\n"[..],
            b"PROXY UNKNOWN ffff:f... whatever\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x02zz",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0",
        ] {
            assert!(matches!(heard(header), (Ok(None), 0)), "{header:?}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_refused() {
        for header in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
            b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\n\n\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c123456789012",
            b"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\x0c123456789012",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b12345678901",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x41\0\x0c123456789012",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff123456789012",
        ] {
            assert!(heard(header).0.is_err(), "{header:?}");
        }
        let endless = [b"PROXY UNKNOWN ", &[b'a'; 200][..]].concat();
        assert!(
            matches!(heard(&endless), (Err(HeaderError::Malformed), 107)),
            "{:?}",
            heard(&endless)
        );
    }
}
