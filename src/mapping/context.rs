//! What a plan needs besides the job.

use super::inputs::ClassInputs;
use std::cell::Cell;

/// What node classes are, as far as the server has told.
pub trait Classes: Sync {
    /// Whether it is an output node; `None` while the server does not know the class.
    fn is_output(&self, class: &str) -> Option<bool>;

    /// Its inputs; `None` while they are not known.
    fn inputs(&self, _class: &str) -> Option<&ClassInputs> {
        None
    }
}

/// What a plan needs besides the job itself.
pub struct Context<'a> {
    /// Where the item's place in its list belongs, which is not written: an item stays the same while it moves up.
    pub place: Cell<Option<usize>>,
    /// The node classes of the prompt.
    pub classes: &'a dyn Classes,
}
