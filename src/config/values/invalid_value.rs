//! What parsers say against a text.

use std::borrow::Cow;

/// What was expected instead.
pub type InvalidValue = Cow<'static, str>;
