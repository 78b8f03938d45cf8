//! Tests of `legacy`.

mod corpus;
mod entry_cache;
mod failures;
mod hidden;
mod hollow;
mod long_lists;
mod passing;
mod queue_order;
mod reference;
mod reused;
mod surfaces;
mod versions;
mod writes;
