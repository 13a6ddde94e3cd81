//! The seeds: small inputs that lead somewhere, in `fuzz/corpus/TARGET/`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the seeds of a target lie.
pub fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// All seeds of a target, in the order of their names.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub fn seeds(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(directory(target))?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(fs::read).collect()
}
