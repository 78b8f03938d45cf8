//! A legacy answer before it is a response: whole, or streamed while the rest of it is still being asked for.

use super::{
    LegacyError,
    cached_entry::CachedEntry,
    entry::{Entry, Head},
};
use crate::http::entity_tag::Version;
use crate::http::request_head::FlaggedHeaders;
use crate::{
    http::{
        encoding::{AcceptedEncodings, Encoding},
        header_flags::HeaderFlags,
    },
    mapping::{JobTable, Table, dialect::State, json_text},
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::ORIGIN};
use std::{sync::Arc, time::Duration};

/// What of a request a legacy answer depends on, besides who asks.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The query, without its question mark.
    pub query: &'a str,
    /// For `Origin` and `If-None-Match`.
    pub headers: FlaggedHeaders<'a>,
    /// How the answer may be compressed.
    pub accepted: AcceptedEncodings,
}

impl<'a> Inquiry<'a> {
    /// How an answer is compressed that is compressed as it is sent.
    pub fn best_encoding(&self) -> Option<Encoding> {
        self.accepted.best(Encoding::Zstd)
    }

    /// `Origin`
    pub(super) fn origin(&self) -> Option<&'a HeaderValue> {
        self.headers.get(HeaderFlags::ORIGIN, &ORIGIN)
    }

    /// Whether the client has this version already.
    pub(super) fn knows(&self, version: Version) -> bool {
        self.headers.has(HeaderFlags::IF_NONE_MATCH) && version.is_known_to(self.headers.all())
    }
}

/// A translated answer.
#[derive(Debug)]
pub struct LegacyAnswer {
    /// 200, 304 for who has it already, or 404 where the endpoint has one.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub body: LegacyBody,
    /// How the body is compressed already.
    pub encoding: Option<Encoding>,
    /// Headers of the upstream's answer that it was made from.
    pub upstream_headers: Arc<HeaderMap>,
    /// Whether the upstream was asked by this very client: it had its say on whether it may ask.
    pub asked: bool,
    /// `ETag`
    pub tag: Option<HeaderValue>,
    /// `Content-Length`, where it is at hand.
    pub content_length: Option<HeaderValue>,
    /// Of an answer from memory with all of a text, what its headers were before.
    pub head: Option<Arc<Head>>,
    /// For `Cache-Status`.
    pub cached: Cached,
    /// For an answer that is empty for want of a finished job: where the job stands, `None` when there is none.
    pub empty_for: Option<Option<State>>,
    /// Some of it is of jobs that the server has lost: for how long jobshim has kept the one that it has kept longest.
    pub kept_for: Option<Duration>,
}

/// A body, in pieces.
pub enum LegacyBody {
    /// All of it.
    Whole(Vec<Bytes>),
    /// It begins before its end is known; an error breaks it.
    Stream(BoxStream<'static, Result<Bytes, LegacyError>>),
}

/// What the memory had to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// It is not of a kind that is remembered.
    No,
    /// Answered from memory.
    Hit,
    /// Answered from memory though it is older than `cache.ttl`, as the upstream cannot be asked.
    Stale,
    /// The upstream was asked.
    Miss {
        /// Together with others who asked for the same.
        shared: bool,
        /// The entry is remembered now.
        stored: bool,
    },
    /// A list, which is always asked for; so many of its entries were remembered.
    Entries {
        /// In memory when the answer began.
        kept: usize,
        /// In the list.
        of: usize,
    },
}

impl std::fmt::Debug for LegacyBody {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(pieces) => write!(out, "Whole({pieces:?})"),
            Self::Stream(_) => out.write_str("Stream(..)"),
        }
    }
}

impl LegacyBody {
    /// The same, with something that is held until the last of it has been asked for, or nobody wants it any more.
    pub fn holding(self, held: impl Send + 'static) -> Self {
        match self {
            Self::Whole(pieces) => Self::Whole(pieces),
            Self::Stream(stream) => Self::Stream(
                stream
                    .inspect(move |_| {
                        let _ = &held;
                    })
                    .boxed(),
            ),
        }
    }

    /// Its pieces, one after the other.
    pub fn stream(self) -> BoxStream<'static, Result<Bytes, LegacyError>> {
        match self {
            Self::Whole(pieces) => stream::iter(pieces.into_iter().map(Ok)).boxed(),
            Self::Stream(stream) => stream,
        }
    }
}

impl LegacyAnswer {
    /// 200 with this body, as `table` says.
    pub(super) fn new(table: &Table, body: LegacyBody, upstream_headers: Arc<HeaderMap>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(table.content_type.clone()),
            body,
            encoding: None,
            upstream_headers,
            asked: true,
            tag: None,
            content_length: None,
            head: None,
            cached: Cached::No,
            empty_for: None,
            kept_for: None,
        }
    }

    /// 200 with a whole body.
    pub(super) fn whole(table: &Table, body: Vec<Bytes>, upstream_headers: Arc<HeaderMap>) -> Self {
        Self::new(table, LegacyBody::Whole(body), upstream_headers)
    }

    /// 404 in the endpoint's words.
    pub(super) fn not_found(table: &JobTable, upstream_headers: Arc<HeaderMap>) -> Self {
        let body = json_text(&table.not_found).into();
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::whole(&table.table, vec![body], upstream_headers)
        }
    }

    /// One remembered entry, or 304 for who has it.
    pub(super) fn kept(
        table: &Table,
        kept: &CachedEntry,
        body: Vec<Bytes>,
        cached: Cached,
        inquiry: Inquiry<'_>,
    ) -> Self {
        let answer = Self {
            asked: !matches!(cached, Cached::Hit | Cached::Stale),
            cached,
            tag: Some(kept.entry.tag()),
            kept_for: kept.kept_for,
            ..Self::whole(table, body, Arc::clone(&kept.headers))
        };
        answer.unless_known(kept.entry.version, inquiry)
    }

    /// The same, with all of the entry's text as it is.
    pub(super) fn kept_whole(table: &Table, kept: &CachedEntry, cached: Cached, inquiry: Inquiry<'_>) -> Self {
        let answer = Self::kept(table, kept, vec![kept.entry.whole()], cached, inquiry);
        // A 304 has neither.
        let has_text = answer.status.is_success();
        Self {
            content_length: has_text.then(|| kept.entry.content_length()),
            head: (has_text && cached == Cached::Hit).then(|| kept.entry.head()),
            ..answer
        }
    }

    /// The same, with the text of `entry` in place of its own.
    pub(super) fn with_text(self, entry: &Entry) -> Self {
        Self {
            body: LegacyBody::Whole(vec![entry.whole()]),
            content_length: Some(entry.content_length()),
            ..self
        }
    }

    /// The same, whose text is compressed, if it has one.
    pub(super) fn encoded(self, encoding: Encoding) -> Self {
        let encoding = self.status.is_success().then_some(encoding);
        Self { encoding, ..self }
    }

    /// The same, known by its version: 304 and no body for who has it.
    pub(super) fn with_version(self, version: Version, inquiry: Inquiry<'_>) -> Self {
        let tag = Some(version.tag());
        Self { tag, ..self }.unless_known(version, inquiry)
    }

    fn unless_known(self, version: Version, inquiry: Inquiry<'_>) -> Self {
        if !inquiry.knows(version) {
            return self;
        }
        Self {
            status: StatusCode::NOT_MODIFIED,
            body: LegacyBody::Whole(Vec::new()),
            ..self
        }
    }
}
