//! A file that does not harm the one it replaces: it is written beside it, and takes its place once it
//! is known that there is something to keep.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    thread,
};

/// A file under way. Removed when dropped, unless it was kept; a program that is killed leaves it.
pub(super) struct NewFile {
    /// Where it is.
    path: PathBuf,
    /// Where it belongs, if something is there already.
    replaces: Option<PathBuf>,
    kept: bool,
}

impl NewFile {
    /// Creates it: in its place where nothing is, beside what is there where that may be `replaced`.
    ///
    /// # Errors
    /// It exists and may not be replaced, or it cannot be created.
    pub(super) fn create(path: &Path, replace: bool) -> io::Result<(Self, File)> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => {
                let new = Self {
                    path: path.to_owned(),
                    replaces: None,
                    kept: false,
                };
                Ok((new, file))
            }
            Err(error) if replace && error.kind() == io::ErrorKind::AlreadyExists => {
                Self::beside(path)
            }
            Err(error) => Err(error),
        }
    }

    fn beside(path: &Path) -> io::Result<(Self, File)> {
        // A link stays one: what it leads to is replaced.
        let place = path.canonicalize()?;
        let existing = fs::metadata(&place)?;
        // A pipe would be waited for, and a device is no recording.
        if !existing.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        // What may not be written may not be replaced either, though the directory would allow it.
        OpenOptions::new().write(true).open(&place)?;
        let (Some(directory), Some(stem)) = (place.parent(), place.file_stem()) else {
            return Err(io::Error::other("it has no name"));
        };
        let mut prefix = OsString::from(stem);
        prefix.push(".");
        let new = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part.wav")
            .tempfile_in(directory)?;
        new.as_file().set_permissions(existing.permissions())?;
        let (file, path) = new.keep().map_err(|error| error.error)?;
        let new = Self {
            path,
            replaces: Some(place),
            kept: false,
        };
        Ok((new, file))
    }

    /// Whether something else is in its place until it is kept.
    pub(super) fn replaces_another(&self) -> bool {
        self.replaces.is_some()
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// That is not possible; it then stays where it is, which is said.
    pub(super) fn keep(mut self) -> Result<(), String> {
        self.kept = true;
        let Some(place) = &self.replaces else {
            return Ok(());
        };
        fs::rename(&self.path, place).map_err(|error| {
            format!(
                "it could not take its place: {error}; {}",
                self.where_it_is()
            )
        })
    }

    /// Leaves it where it is, and says where that is.
    pub(super) fn leave(mut self) -> String {
        self.kept = true;
        self.where_it_is()
    }

    fn where_it_is(&self) -> String {
        format!("what there is of it is in {}", self.path.display())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a fault of ours it is kept rather than lost.
        if !self.kept && !thread::panicking() {
            // It may have been removed by others.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn what_is_there_stays_until_the_new_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.wav");
        fs::write(&path, "old").unwrap();

        let (new, mut file) = NewFile::create(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        assert!(new.replaces_another());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(new);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["call.wav"]);

        let (new, mut file) = NewFile::create(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        new.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["call.wav"]);
    }

    #[test]
    fn where_nothing_was_there_is_nothing_unless_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.wav");
        drop(NewFile::create(&path, false).unwrap());
        assert!(names(dir.path()).is_empty());
        let (new, _) = NewFile::create(&path, false).unwrap();
        assert!(!new.replaces_another());
        new.keep().unwrap();
        assert_eq!(names(dir.path()), ["call.wav"]);
        let refused = NewFile::create(&path, false).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_rights_stay_rights() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let [place, link] = ["call.wav", "newest.wav"].map(|name| dir.path().join(name));
        fs::write(&place, "old").unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&place, &link).unwrap();
        let (new, _) = NewFile::create(&link, true).unwrap();
        new.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&place).unwrap(), b"");
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let directory = NewFile::create(dir.path(), true).map(drop).unwrap_err();
        assert!(
            directory.to_string().contains("no regular file"),
            "{directory}"
        );
    }
}
