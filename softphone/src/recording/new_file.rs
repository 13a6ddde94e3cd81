//! A file that does not harm the one it replaces: it is written beside it, and takes its place once it
//! is known that there is something to keep.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

/// How long a disk may take over a directory.
const DIRECTORY_LIMIT: Duration = Duration::from_secs(3);

/// A file under way. Removed when dropped, unless it was kept; a program that is killed leaves it.
pub(super) struct NewFile {
    /// Where it is.
    path: PathBuf,
    /// Where it belongs, if something is there already.
    replaces: Option<PathBuf>,
    kept: bool,
    /// Held open, so that no other file can have its number.
    #[cfg(unix)]
    file: File,
}

impl NewFile {
    /// Creates it: in its place where nothing is, beside what is there where that may be `replaced`.
    ///
    /// # Errors
    /// It exists and may not be replaced, or it cannot be created.
    pub(super) fn create(path: &Path, replace: bool) -> io::Result<(Self, File)> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Self::new(path.to_owned(), None, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match end_of_dangling_link(path) {
                    // That may be such a link, too.
                    Some(end) => Self::create(&end, replace),
                    None if replace => Self::beside(path),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn new(path: PathBuf, replaces: Option<PathBuf>, file: File) -> io::Result<(Self, File)> {
        let new = Self {
            path,
            replaces,
            kept: false,
            #[cfg(unix)]
            file: file.try_clone()?,
        };
        Ok((new, file))
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
        Self::new(path, Some(place), file)
    }

    /// Whether something else is in its place until it is kept.
    pub(super) fn replaces_another(&self) -> bool {
        self.replaces.is_some()
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// That is not possible; it then stays where it is, which is said.
    pub(super) fn keep(self) -> Result<(), String> {
        self.keep_and(sync_directory_of)
    }

    /// The same; `sync` then has the name of the file reach the disk.
    fn keep_and(mut self, sync: impl FnOnce(&Path)) -> Result<(), String> {
        self.kept = true;
        if let Some(place) = &self.replaces {
            fs::rename(&self.path, place)
                // Something may be mounted there, or the directory may be one where only owners rename.
                .or_else(|_| copy_over(&self.path, place))
                .map_err(|error| {
                    format!(
                        "it could not take its place: {error}; {}",
                        self.where_it_is()
                    )
                })?;
        }
        sync(self.replaces.as_ref().unwrap_or(&self.path));
        Ok(())
    }

    /// Leaves it where it is, and says where that is.
    pub(super) fn leave(mut self) -> String {
        self.kept = true;
        self.where_it_is()
    }

    fn where_it_is(&self) -> String {
        match self.is_there() {
            true => format!("what there is of it is in {}", self.path.display()),
            false => "nothing of it is left".to_owned(),
        }
    }

    /// Whether what lies at its path is still this file: others may have removed it, or put another there.
    #[cfg(unix)]
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |file: fs::Metadata| (file.dev(), file.ino());
        let there = fs::symlink_metadata(&self.path).map(id);
        matches!((there, self.file.metadata().map(id)), (Ok(there), Ok(own)) if there == own)
    }

    #[cfg(not(unix))]
    fn is_there(&self) -> bool {
        self.path.exists()
    }
}

/// Has the directory reach the disk in which `path` was created or renamed. A disk that takes too long
/// over it holds nothing up, and one that cannot do it is no fault of the file, which is whole.
fn sync_directory_of(path: &Path) {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let (ended_tx, ended) = sync_channel(1);
    let sync = move || {
        // Only some systems open a directory.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        let _ = ended_tx.send(());
    };
    if thread::Builder::new().spawn(sync).is_ok() {
        let _ = ended.recv_timeout(DIRECTORY_LIMIT);
    }
}

/// Where a link leads to if nothing is there.
fn end_of_dangling_link(path: &Path) -> Option<PathBuf> {
    let missing = fs::metadata(path).err()?;
    // Not a circle of links.
    if missing.kind() != io::ErrorKind::NotFound {
        return None;
    }
    let end = fs::read_link(path).ok()?;
    Some(path.parent()?.join(end))
}

/// Puts what is in `path` into the file `place`, whoever owns that, and removes `path`.
fn copy_over(path: &Path, place: &Path) -> io::Result<()> {
    // `fs::copy` would also set rights, which only the owner may.
    let mut from = File::open(path)?;
    let mut to = OpenOptions::new().write(true).truncate(true).open(place)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    // The copy is good, whether or not this can be removed.
    let _ = fs::remove_file(path);
    Ok(())
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a fault of ours it is kept rather than lost.
        if !self.kept && !thread::panicking() && self.is_there() {
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

    #[test]
    fn a_directory_is_synced_once_the_file_is_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.wav");
        for text in ["first", "second"] {
            let (new, mut file) = NewFile::create(&path, true).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let mut synced = None;
            new.keep_and(|place| {
                synced = Some((place.to_owned(), fs::read(place).unwrap()));
                sync_directory_of(place);
            })
            .unwrap();
            let (place, found) = synced.unwrap();
            assert_eq!(found, text.as_bytes());
            assert_eq!(place.canonicalize().unwrap(), path.canonicalize().unwrap());
        }
        // A name alone is one of the working directory.
        sync_directory_of(Path::new("call.wav"));
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
    #[cfg(unix)]
    #[test]
    fn what_others_put_into_its_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other] = ["call.wav", "other.wav"].map(|name| dir.path().join(name));
        let (new, _) = NewFile::create(&path, false).unwrap();
        fs::write(&other, "dear").unwrap();
        fs::rename(&other, &path).unwrap();
        drop(new);
        assert_eq!(fs::read(&path).unwrap(), b"dear");

        let (new, _) = NewFile::create(&other, false).unwrap();
        fs::remove_file(&other).unwrap();
        assert_eq!(new.leave(), "nothing of it is left");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_leads_to_the_new_file() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let [first, second] = ["first.wav", "second.wav"].map(|name| dir.path().join(name));
        symlink("second.wav", &first).unwrap();
        symlink("inner/call.wav", &second).unwrap();
        for replace in [true, false] {
            drop(NewFile::create(&first, replace).unwrap());
            assert!(names(&inner).is_empty());
        }
        let (new, mut file) = NewFile::create(&first, false).unwrap();
        file.write_all(b"new").unwrap();
        new.keep().unwrap();
        assert_eq!(fs::read(inner.join("call.wav")).unwrap(), b"new");
        assert!(fs::symlink_metadata(&first).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&second).unwrap().is_symlink());

        fs::remove_dir_all(&inner).unwrap();
        assert!(NewFile::create(&first, true).is_err());
        let [circle, back] = ["circle.wav", "back.wav"].map(|name| dir.path().join(name));
        symlink(&back, &circle).unwrap();
        symlink(&circle, &back).unwrap();
        assert!(NewFile::create(&circle, true).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_place_that_cannot_be_renamed_to_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        // Another disk on most machines: nothing is renamed from one to the other.
        let elsewhere = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let elsewhere = elsewhere.unwrap();
        let place = elsewhere.path().join("call.wav");
        let path = dir.path().join("call.wav");
        for file in [&path, &place] {
            fs::write(file, "old, and longer").unwrap();
        }
        let (mut new, mut file) = NewFile::create(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        new.replaces = Some(place.clone());
        new.keep().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["call.wav"]);
    }
}
