//! The thread that writes a recording. Twice a second the file is made whole, sizes in its header
//! included: whatever ends the program, or the power, what was recorded until then can be played.
//!
//! The disk is waited for here and nowhere else: the queue holds what comes meanwhile.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use ringbuf::{
    HeapCons,
    traits::{Consumer, Observer},
};

use super::{
    RATE_HZ,
    new_file::NewFile,
    sample_queue::{Progress, SampleQueue},
    wav_file::WavFile,
};

/// How much the queue holds: a disk that stands still for longer costs sound.
const QUEUE: Duration = Duration::from_secs(10);

/// How often the queue is emptied, and how often the file is made whole.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// How long a disk may take over the end of a recording.
const LAST_WRITE: Duration = Duration::from_secs(10);

/// How a recording is, or was.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingStatus {
    /// The file.
    pub path: PathBuf,
    /// How much is in it.
    pub seconds: f64,
    /// Why it stopped before the call, or what is missing of it; in words.
    pub failure: Option<String>,
}

/// What a recording is worth at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Nothing: there was no call.
    Nothing,
    /// A file of its own: nothing came from the far end.
    OneSide,
    /// Another file that is in its place.
    Call,
}

/// A recording under way.
pub struct Recording {
    path: PathBuf,
    file: NewFile,
    progress: Arc<Progress>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Recording {
    /// Creates the file and starts the thread that writes to it what is put into the queue. An existing
    /// file is replaced only where that is said, and not before [`Recording::finish`].
    ///
    /// # Errors
    /// The file exists or cannot be written; in words.
    pub fn start(path: &Path, channels: u16, replace: bool) -> Result<(Self, SampleQueue), String> {
        let shown = path.display();
        let (new, file) = NewFile::create(path, replace).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{shown} exists already; --force overwrites it")
            }
            _ => format!("{shown} cannot be created: {error}"),
        })?;
        let start = || -> io::Result<_> {
            let file = WavFile::new(file, channels)?;
            let progress = Arc::new(Progress::default());
            let capacity = RATE_HZ as usize * QUEUE.as_secs() as usize;
            let (queue, samples) = SampleQueue::new(capacity, channels, Arc::clone(&progress));
            let (ended_tx, ended) = sync_channel(0);
            let thread = WriterThread {
                file,
                samples,
                progress: Arc::clone(&progress),
            };
            thread::Builder::new()
                .name("recording".to_owned())
                .spawn(move || {
                    thread.run();
                    drop(ended_tx);
                })?;
            let recording = Self {
                path: path.to_owned(),
                file: new,
                progress,
                ended,
            };
            Ok((recording, queue))
        };
        start().map_err(|error| format!("{shown} cannot be written: {error}"))
    }

    /// Whether it has not stopped before its time.
    pub fn is_running(&self) -> bool {
        self.progress.failure.get().is_none()
    }

    /// How it is.
    pub fn status(&self) -> RecordingStatus {
        status(&self.path, &self.progress)
    }

    /// Waits until all is written, once its [`SampleQueue`] is gone, and says how it went. What is worth
    /// nothing, or is nothing, is removed; only the whole of a call replaces another file.
    pub fn finish(self, worth: Worth) -> RecordingStatus {
        let Self {
            path,
            file,
            progress,
            ended,
        } = self;
        // The first fault is the cause of the others.
        let fail = |why: &str| drop(progress.failure.set(why.to_owned()));
        let is_late = ended.recv_timeout(LAST_WRITE) == Err(RecvTimeoutError::Timeout);
        let is_something = worth != Worth::Nothing && progress.written.load(Ordering::Relaxed) > 0;
        if is_late {
            fail("the disk does not take its end");
        } else if !is_something {
            drop(file);
            progress.written.store(0, Ordering::Relaxed);
            fail("there was no call, so nothing is kept");
            return status(&path, &progress);
        } else if worth == Worth::OneSide && file.replaces_another() {
            fail("nothing came from the far end, so what was there before stays");
        }
        let mut status = status(&path, &progress);
        status.failure = match status.failure {
            Some(failure) if file.replaces_another() => {
                Some(format!("{failure}; {}", file.leave()))
            }
            Some(failure) => {
                file.leave();
                Some(failure)
            }
            None => file.keep().err(),
        };
        status
    }
}

fn status(path: &Path, progress: &Progress) -> RecordingStatus {
    let seconds = |samples: &AtomicU64| samples.load(Ordering::Relaxed) as f64 / f64::from(RATE_HZ);
    let lost = seconds(&progress.lost);
    let slow = || (lost > 0.0).then(|| format!("the disk was too slow for {lost:.1} s of it"));
    RecordingStatus {
        path: path.to_owned(),
        seconds: seconds(&progress.written),
        failure: progress.failure.get().cloned().or_else(slow),
    }
}

struct WriterThread {
    file: WavFile<File>,
    samples: HeapCons<f32>,
    progress: Arc<Progress>,
}

impl WriterThread {
    fn run(mut self) {
        // Some disks say only when they are asked that they had no room: networks, quotas.
        let written = self
            .write_all()
            .and_then(|()| self.file.get_ref().sync_all());
        if let Err(error) = written {
            // Only this thread sets it while it runs.
            let _ = self.progress.failure.set(error.to_string());
        }
        // Nobody empties the queue any more, and nobody waits for it.
    }

    /// Until the engine's end of the queue is gone and the queue empty.
    fn write_all(&mut self) -> io::Result<()> {
        let mut buffer = [0.0; 9_600];
        let mut flushed = Instant::now();
        loop {
            let is_fed = self.samples.write_is_held();
            let count = self.samples.pop_slice(&mut buffer);
            self.file.write(&buffer[..count])?;
            if flushed.elapsed() >= FLUSH_INTERVAL {
                flushed = Instant::now();
                self.make_whole()?;
            }
            match count {
                0 if !is_fed => return self.make_whole(),
                0 => thread::sleep(POLL_INTERVAL),
                _ => {}
            }
        }
    }

    /// What is in the file until now can be played.
    fn make_whole(&mut self) -> io::Result<()> {
        self.file.make_whole(File::sync_data)?;
        self.progress
            .written
            .store(self.file.samples_per_channel(), Ordering::Relaxed);
        self.check_place()
    }

    /// A file that was removed can be written to for ever, and nobody will find it.
    #[cfg(unix)]
    fn check_place(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        match self.file.get_ref().metadata()?.nlink() {
            0 => Err(io::Error::other("the file was removed")),
            _ => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn check_place(&self) -> io::Result<()> {
        // An open file cannot be removed there.
        self.file.get_ref().metadata().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A tenth of a second to `path`, ended as `worth` says.
    fn record(path: &Path, worth: Worth, failure: Option<&str>) -> RecordingStatus {
        let (recording, mut queue) = Recording::start(path, 1, true).unwrap();
        queue.push(&[0.5; 4_800]);
        if let Some(failure) = failure {
            recording.progress.failure.set(failure.to_owned()).unwrap();
        }
        drop(queue);
        recording.finish(worth)
    }

    /// All files of a directory but `path`.
    fn others(path: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(path.parent().unwrap()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|other| other != path).collect()
    }

    #[test]
    fn only_where_there_was_no_call_a_new_file_is_removed() {
        for (worth, failure, is_kept) in [
            (Worth::Nothing, None, false),
            (Worth::OneSide, None, true),
            (Worth::Call, None, true),
            (Worth::Call, Some("the disk is full"), true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("call.wav");
            let status = record(&path, worth, failure);
            assert_eq!(path.exists(), is_kept, "{worth:?} {failure:?}");
            let expected =
                failure.or((!is_kept).then_some("there was no call, so nothing is kept"));
            assert_eq!(status.failure.as_deref(), expected);
            assert!(others(&path).is_empty());
        }
    }

    #[test]
    fn only_the_whole_of_a_call_replaces_another_file_and_less_lies_beside_it() {
        for (worth, failure, words) in [
            (Worth::OneSide, None, "nothing came from the far end"),
            (Worth::Call, Some("the disk is full"), "the disk is full"),
            (Worth::OneSide, Some("the disk is full"), "the disk is full"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("call.wav");
            fs::write(&path, "dear").unwrap();
            let said = record(&path, worth, failure).failure.unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"dear");
            let [beside] = &others(&path)[..] else {
                panic!("not one file beside it: {said}");
            };
            assert!(fs::metadata(beside).unwrap().len() > 9_600);
            assert!(said.starts_with(words), "{said}");
            assert!(said.ends_with(&beside.display().to_string()), "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("call.wav");
        fs::write(&path, "dear").unwrap();
        assert_eq!(record(&path, Worth::Call, None).failure, None);
        assert!(fs::metadata(&path).unwrap().len() > 9_600);
        assert!(others(&path).is_empty());
    }
}
