//! What parsers say against a text.

use std::borrow::Cow;

/// What was expected instead.
pub(crate) type InvalidValue = Cow<'static, str>;
