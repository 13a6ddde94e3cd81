//! Inputs that broke something, kept to be tried again.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

/// Writes the input to a file of its own under `target/fuzz`, and returns its path.
///
/// # Errors
/// It cannot be written.
pub fn keep(target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz");
    fs::create_dir_all(&directory)?;
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = directory.join(format!("{target}-{:016x}", hasher.finish()));
    fs::write(&path, input)?;
    Ok(path.canonicalize().unwrap_or(path))
}
