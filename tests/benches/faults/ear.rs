//! A softphone that speaks a tone into a call and writes what it hears to a file; and when, by this
//! machine's clock, the tone is in that file.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tests::{Process, analysis::rms_dbfs};

const RATE: usize = 48_000;
const SAMPLE_BYTES: u64 = 2;

/// Of the softphone's WAV files.
const HEADER_BYTES: u64 = 80;

/// How often the file's length is read. Its newest sample was played just before, or up to a tenth of a
/// second: the shortest of all distances tells when its first one was.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A piece of sound, and how many loud ones in a row are a tone that is back.
const PIECE: usize = RATE / 100;
const PIECES: usize = 5;
const LOUD_DBFS: f64 = -30.0;

/// The call.
pub(crate) struct Ear {
    process: Process,
    file: PathBuf,
    /// When the file's first sample was played, as far as is known.
    began: Arc<Mutex<Option<Instant>>>,
    is_over: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Ear {
    /// A call of `server`; `start` starts the softphone.
    pub(crate) fn call(server: &str, start: impl Fn(&[&str]) -> Process) -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let file = dir.path().join("heard.wav");
        let sink = file.to_str().expect("UTF-8");
        let process = start(&[
            "--server",
            server,
            "--source",
            "tone",
            "--sink",
            sink,
            "--codec",
            "pcmu",
            "--effects",
            "none",
        ]);
        let began = Arc::<Mutex<Option<Instant>>>::default();
        let is_over = Arc::<AtomicBool>::default();
        let poller = thread::spawn({
            let (file, began, is_over) = (file.clone(), Arc::clone(&began), Arc::clone(&is_over));
            move || follow(&file, &began, &is_over)
        });
        Self {
            process,
            file,
            began,
            is_over,
            poller: Some(poller),
            _dir: dir,
        }
    }

    /// When the tone was first heard at this moment or after it, if that is until `limit`.
    pub(crate) fn hears_after(&self, moment: Instant, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(heard) = self.heard_after(moment) {
                return Some(heard);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it said.
    pub(crate) fn said(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    fn heard_after(&self, moment: Instant) -> Option<Instant> {
        let began = (*self.began.lock().expect("nobody panics"))?;
        let offset = moment.saturating_duration_since(began).as_secs_f64() * RATE as f64;
        let from = offset as usize;
        let samples = read(&self.file, from)?;
        let loud: Vec<bool> = samples
            .chunks_exact(PIECE)
            .map(|piece| rms_dbfs(piece) > LOUD_DBFS)
            .collect();
        let back = loud
            .windows(PIECES)
            .position(|pieces| pieces.iter().all(|loud| *loud))?;
        let at = Duration::from_secs_f64((from + back * PIECE) as f64 / RATE as f64);
        Some((began + at).max(moment))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(poller) = self.poller.take() {
            // It does not panic.
            let _ = poller.join();
        }
    }
}

fn follow(file: &Path, began: &Mutex<Option<Instant>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let now = Instant::now();
        let length = std::fs::metadata(file).map_or(0, |file| file.len());
        let samples = length.saturating_sub(HEADER_BYTES) / SAMPLE_BYTES;
        if samples > 0 {
            let played = Duration::from_secs_f64(samples as f64 / RATE as f64);
            if let Some(candidate) = now.checked_sub(played) {
                let mut began = began.lock().expect("nobody panics");
                *began = Some(began.map_or(candidate, |began| began.min(candidate)));
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// What was written until now, from this sample on.
fn read(file: &Path, from: usize) -> Option<Vec<f32>> {
    let mut file = File::open(file).ok()?;
    file.seek(SeekFrom::Start(HEADER_BYTES + from as u64 * SAMPLE_BYTES))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let samples = bytes
        .chunks_exact(SAMPLE_BYTES as usize)
        .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0)
        .collect();
    Some(samples)
}
