//! What parsers are given besides the text, and what they say against it.

use std::borrow::Cow;

/// What was expected instead.
pub type InvalidValue = Cow<'static, str>;

/// Looks an environment variable up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
