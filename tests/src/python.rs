//! Python, for what only Python has: an independent gRPC client, and PESQ.

use std::path::{Path, PathBuf};

use crate::skip;

/// The top of the repository.
pub fn repository() -> &'static Path {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent.expect("this package lies in the repository")
}

/// The interpreter that has the packages of the examples and of the tests, if script/setup made
/// it. `None`, with the reason printed, where it did not.
///
/// # Panics
///
/// When it is missing in CI ([`skip`]).
pub fn python() -> Option<PathBuf> {
    let python = repository().join(".venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    skip("there is no .venv; script/setup --tests makes it");
    None
}
