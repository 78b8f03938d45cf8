//! JSON as bytes: found, copied and cut without building a tree of it.
//!
//! `grammar` passes over one value; `scanner` is a position in a text, moved value by value; `text` reads members, elements and
//! strings; `search` finds many paths (`member_path`) in one pass. What comes in pieces is followed by `cursor`: `prefix` holds the beginning of
//! an object until it is known, `list_filter` copies a text without some elements of a list,
//! `member_filter` with some members changed; what of it goes on is `outgoing`.

mod cursor;
mod grammar;
mod list_filter;
mod member_filter;
mod member_path;
mod outgoing;
mod prefix;
mod scanner;
mod search;
mod text;

pub use list_filter::ListFilter;
pub use member_filter::{HeldMember, MemberFilter};
pub use member_path::MemberPath;
pub use prefix::{ElementFilter, ObjectPrefix, Undecided};
pub use scanner::{ScanError, Scanner, Span};
pub use search::find;
pub(super) use search::{Found, Group, GroupSlot, PathSet, Slot};
pub use text::{check, decode, elements, key_is, members, string_value};
pub(super) use text::{quoted, spelt};
