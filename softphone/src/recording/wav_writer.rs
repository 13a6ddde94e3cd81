//! The thread that writes a recording. Twice a second the file is made whole, sizes in its header
//! included: whatever ends the program, what was recorded until then can be played.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use hound::{SampleFormat, WavSpec, WavWriter};
use ringbuf::{
    HeapCons, HeapRb,
    traits::{Consumer, Observer, Split},
};

use super::{RATE_HZ, Recorder};

/// How much the queue holds: a disk that stands still for longer costs sound.
const QUEUE: Duration = Duration::from_secs(4);

/// How often the queue is emptied, and how often the file is made whole.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// How long a disk may take over the end of a recording.
const LAST_WRITE: Duration = Duration::from_secs(5);

const SPEC: WavSpec = WavSpec {
    channels: 2,
    sample_rate: RATE_HZ,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// How far a recording is, known to all who have to do with it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Samples per channel in the file.
    written: AtomicU64,
    /// Samples per channel that did not fit into the queue.
    lost: AtomicU64,
    /// Why it stopped before its time.
    failure: OnceLock<String>,
}

impl Progress {
    pub(super) fn lose(&self, samples: usize) {
        self.lost.fetch_add(samples as u64, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

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

/// A recording under way.
pub struct Recording {
    path: PathBuf,
    progress: Arc<Progress>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Recording {
    /// Creates the file and starts the thread that writes to it. An existing file is overwritten
    /// only by `force`.
    ///
    /// # Errors
    /// The file exists or cannot be written; in words.
    pub fn start(path: &Path, force: bool) -> Result<(Self, Recorder), String> {
        let shown = path.display();
        let file = create(path, force).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("--record: {shown} exists already; --force overwrites it")
            }
            _ => format!("--record: {shown} cannot be created: {error}"),
        })?;
        let watched = file.try_clone();
        let start = || -> io::Result<_> {
            let mut writer = WavWriter::new(BufWriter::new(file), SPEC).map_err(io_error)?;
            writer.flush().map_err(io_error)?;
            let capacity = 2 * RATE_HZ as usize * QUEUE.as_secs() as usize;
            let (queue, samples) = HeapRb::new(capacity).split();
            let progress = Arc::new(Progress::default());
            let recorder = Recorder::new(queue, Arc::clone(&progress)).map_err(io::Error::other)?;
            let (ended_tx, ended) = sync_channel(0);
            let thread = WriterThread {
                writer,
                watched: watched?,
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
                progress,
                ended,
            };
            Ok((recording, recorder))
        };
        start().map_err(|error| format!("--record: {shown} cannot be written: {error}"))
    }

    /// Whether it has not stopped before its time.
    pub fn is_running(&self) -> bool {
        self.progress.failure.get().is_none()
    }

    /// How it is.
    pub fn status(&self) -> RecordingStatus {
        let seconds =
            |samples: &AtomicU64| samples.load(Ordering::Relaxed) as f64 / f64::from(RATE_HZ);
        let lost = seconds(&self.progress.lost);
        let slow = || (lost > 0.0).then(|| format!("the disk was too slow for {lost:.1} s of it"));
        RecordingStatus {
            path: self.path.clone(),
            seconds: seconds(&self.progress.written),
            failure: self.progress.failure.get().cloned().or_else(slow),
        }
    }

    /// Waits until all is written, once its [`Recorder`] is gone, and says how it went.
    pub fn finish(self) -> RecordingStatus {
        if self.ended.recv_timeout(LAST_WRITE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = self
                .progress
                .failure
                .set("the disk does not take its end".to_owned());
        }
        self.status()
    }
}

fn create(path: &Path, force: bool) -> io::Result<File> {
    // A pipe would be waited for, and a device is no recording.
    if force && fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)
}

struct WriterThread {
    writer: WavWriter<BufWriter<File>>,
    /// The same file, to see whether it is still there.
    watched: File,
    samples: HeapCons<f32>,
    progress: Arc<Progress>,
}

impl WriterThread {
    fn run(mut self) {
        let written = self
            .write_all()
            .and_then(|()| self.writer.finalize().map_err(io_error));
        if let Err(error) = written {
            // Only this thread sets it while it runs.
            let _ = self.progress.failure.set(error.to_string());
        }
        // Nobody empties the queue any more, and nobody waits for it.
    }

    /// Until the recorder is gone and its queue empty.
    fn write_all(&mut self) -> io::Result<()> {
        let mut buffer = [0.0; 9_600];
        let mut flushed = Instant::now();
        loop {
            let has_recorder = self.samples.write_is_held();
            let count = self.samples.pop_slice(&mut buffer);
            for &sample in &buffer[..count] {
                // `as` saturates.
                let sample = (sample * 32_768.0).round() as i16;
                self.writer.write_sample(sample).map_err(io_error)?;
            }
            if flushed.elapsed() >= FLUSH_INTERVAL {
                flushed = Instant::now();
                self.make_whole()?;
            }
            match count {
                0 if !has_recorder => return self.make_whole(),
                0 => thread::sleep(POLL_INTERVAL),
                _ => {}
            }
        }
    }

    /// What is in the file until now can be played.
    fn make_whole(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(io_error)?;
        let written = self.writer.duration();
        self.progress
            .written
            .store(written.into(), Ordering::Relaxed);
        self.check_place()
    }

    /// A file that was removed can be written to for ever, and nobody will find it.
    #[cfg(unix)]
    fn check_place(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        match self.watched.metadata()?.nlink() {
            0 => Err(io::Error::other("the file was removed")),
            _ => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn check_place(&self) -> io::Result<()> {
        // An open file cannot be removed there.
        self.watched.metadata().map(|_| ())
    }
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}
