//! What a table asks of node classes.

use super::inputs::ClassInputs;

/// What node classes are, as far as the server has told.
pub trait Classes: Sync {
    /// Whether it is an output node; `None` while the server does not know the class.
    fn is_output(&self, class: &str) -> Option<bool>;

    /// Its inputs; `None` while they are not known.
    fn inputs(&self, _class: &str) -> Option<&ClassInputs> {
        None
    }
}
