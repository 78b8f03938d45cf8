//! Why the upstream gave no answer, as far as the error tells, and what to do about it.

use crate::upstream::{error_chain::sources, pool::ConnectionError};
use rustls::CertificateError;
use std::{error::Error, io};

/// Why the upstream gave no answer, as far as the error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing listens there.
    Refused,
    /// The name does not resolve.
    NoSuchName,
    /// Its certificate is signed by nobody we trust.
    Untrusted,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate is out of date, or not yet valid.
    OutOfDate,
    /// Its certificate is bad in another way, or TLS could not be agreed on.
    BadTls,
    /// It was asked through TLS and does not speak it.
    NotTls,
    /// What it says is not HTTP.
    NotHttp,
    /// It ended the connection without an answer, or in the middle of one.
    Closed,
    /// Anything else.
    Other,
}

impl Cause {
    /// Reads it from an error and what caused that.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        sources(error).find_map(one).unwrap_or(Self::Other)
    }

    /// The error type of RFC 9209 section 2.3.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::NoSuchName => "dns_error",
            Self::Untrusted | Self::WrongName | Self::OutOfDate => "tls_certificate_error",
            Self::BadTls | Self::NotTls => "tls_protocol_error",
            Self::NotHttp => "http_protocol_error",
            Self::Closed => "connection_terminated",
            Self::Other => "destination_unavailable",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Refused => {
                "nothing listens there: is the server running, and is the port in upstream.url right? ComfyUI's is 8188 \
                 unless --port says otherwise"
            }
            Self::NoSuchName => {
                "the name in upstream.url does not resolve: is it spelt right? Inside a container it must be a name that \
                 the container's network knows, such as the service's"
            }
            Self::Untrusted => {
                "nobody trusted signed the server's certificate: give the certificate of its issuer in upstream.ca_file"
            }
            Self::WrongName => "the server's certificate is for another name: write that name in upstream.url",
            Self::OutOfDate => "the server's certificate is out of date: renew it, or set this machine's clock",
            Self::BadTls => "TLS with the server failed: its certificate or its TLS settings are at fault",
            Self::NotTls => "the server does not speak TLS: write http:// in upstream.url instead of https://",
            Self::NotHttp => {
                "what answers there does not speak HTTP: if it speaks https, write https:// in upstream.url; else the \
                 port is wrong"
            }
            Self::Closed => {
                "the server's own log may say why; if it speaks https, write https:// in upstream.url instead of http://"
            }
            Self::Other => "is the server running, and is upstream.url right? Its own log may say more",
        }
    }
}

fn one(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources.
        if let Some(inner) = error.get_ref() {
            let inner: &(dyn Error + 'static) = inner;
            return sources(inner).find_map(one);
        }
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Some(Cause::Closed)
            }
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidMessage(_) => Cause::NotTls,
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => Cause::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Cause::WrongName,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Cause::OutOfDate,
                _ => Cause::BadTls,
            },
            _ => Cause::BadTls,
        });
    }
    match error.downcast_ref::<ConnectionError>() {
        Some(ConnectionError::NotHttp(_)) => return Some(Cause::NotHttp),
        Some(ConnectionError::Closed) => return Some(Cause::Closed),
        _ => {}
    }
    // The connector's error has no type of its own that could be asked.
    error.to_string().starts_with("dns error").then_some(Cause::NoSuchName)
}
