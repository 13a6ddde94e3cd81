//! The cookie with which clients of one user show a PulseAudio server that they belong to him.
//!
//! A PulseAudio server makes the file when it starts. PipeWire in its place makes none, and looks at
//! no cookie, but refuses one that has not the right length: where none is, the first client makes
//! it.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Bytes in a cookie.
pub(super) const LENGTH: usize = 256;

/// Makes the user's cookie where none is.
///
/// # Errors
/// The file cannot be written.
pub(in crate::device) fn ensure() -> io::Result<()> {
    if pulseaudio::cookie_path_from_env().is_some() {
        return Ok(());
    }
    match std::env::home_dir() {
        Some(home) => make(&home.join(".config/pulse")),
        None => Ok(()),
    }
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("cookie"));
    match made {
        Ok(mut file) => file.write_all(&rand::random::<[u8; LENGTH]>()),
        // Another client was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_cookie_is_made_for_its_owner_alone_and_never_replaced() {
        let home = tempfile::tempdir().expect("the system has a directory for temporary files");
        let folder = home.path().join("a/b");
        make(&folder).expect("it can be made");
        let path = folder.join("cookie");
        let cookie = fs::read(&path).expect("it is there");
        assert_eq!(cookie.len(), LENGTH);
        let mode = fs::metadata(&path)
            .expect("so are its rights")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        make(&folder).expect("it need not be made");
        assert_eq!(fs::read(&path).expect("it is there"), cookie);
    }
}
