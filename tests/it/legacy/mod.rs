//! Tests of `legacy`.

mod corpus;
mod corpus_v2;
mod entry_cache;
mod failures;
mod hidden;
mod hollow;
mod kept;
mod long_lists;
mod names;
mod packed;
mod passing;
mod queue_order;
mod reference;
mod renewed;
mod requests;
mod reused;
mod reused_hidden;
mod shared_calls;
mod surfaces;
mod versions;
mod writes;
