//! JSON as bytes: found, copied and cut without building a tree of it.
//!
//! `grammar` passes over one value; `scanner` is a position in a text, moved value by value; `text` reads members, elements and
//! strings; `search` finds many paths (`member_path`) in one pass. What comes in pieces is followed by `cursor`: `prefix` holds the beginning of
//! an object until it is known, `list_filter` copies a text without some elements of a list,
//! `member_filter` with some members changed, `id_strings` with other strings for ids; what of it goes on is `outgoing`.

mod cursor;
mod grammar;
mod id_strings;
mod list_filter;
mod member_filter;
mod member_path;
mod outgoing;
mod prefix;
mod scanner;
mod search;
mod text;

pub use id_strings::{IdPiece, IdStrings, replace_ids};
pub use list_filter::ListFilter;
pub use member_filter::{HeldMember, MemberFilter};
pub use member_path::MemberPath;
pub use prefix::{ElementFilter, ObjectPrefix, Undecided};
pub use scanner::{ScanError, Scanner, Span};
pub(super) use search::{Found, Group, GroupSlot, PathSet, Slot};
pub use search::{find, find_spans};
pub(crate) use text::quoted;
pub(super) use text::spelt;
pub use text::{check, decode, elements, key_is, members, string_value};
