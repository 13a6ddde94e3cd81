//! What the person asks for.

use proto::Symbol;

/// What the person asks for, while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One symbol more; one that is there already changes nothing.
    Add(Symbol),
    /// One symbol less.
    Drop(Symbol),
}
