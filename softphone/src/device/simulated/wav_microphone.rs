//! A microphone that is not there: a WAV file, played once, from when there is somebody to hear it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audio::{Wav, WavError};

use super::{virtual_clock::VirtualClock, virtual_microphone::virtual_stats};
use crate::device::{DeviceStats, Microphone};

/// Silence after the end of a file before it counts as played: its last sound has to leave the
/// longest chunk, and the look-ahead of codecs and effects on its way.
const TAIL: Duration = Duration::from_millis(200);

/// A file is kept in memory as it is. Three hours of stereo at 48 kHz and 16 bits.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// How long the file waits for the line. A far end that has not shown itself by then is spoken to all the
/// same, or a call to one that never does would not end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A WAV file, played once.
pub struct WavMicrophone {
    name: String,
    wav: Wav,
    /// Samples per channel that may still pass until the line is up. Nothing is given of them, so no silence
    /// waits on the line before the sound.
    wait: usize,
    /// In samples per channel.
    position: usize,
    /// Samples per channel of silence still to be given after the last of the file.
    tail: usize,
    clock: VirtualClock,
    finished: Arc<AtomicBool>,
}

impl WavMicrophone {
    /// Reads the whole file, of those that [`Wav`] plays.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a WAV; in words.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let file = read(path)
            .map_err(|error| format!("{shown}: {error}; --source takes mic, tone or a WAV file"))?;
        let wav =
            Wav::parse(file).map_err(|error| format!("{shown}: {error}; {}", remedy(&error)))?;
        Ok(Self::new(shown.to_string(), wav))
    }

    fn new(name: String, wav: Wav) -> Self {
        let samples = |time: Duration| (time.as_secs_f32() * wav.sample_rate_hz() as f32) as usize;
        Self {
            name,
            wait: samples(LONGEST_WAIT),
            position: 0,
            tail: samples(TAIL),
            clock: VirtualClock::new(wav.sample_rate_hz()),
            finished: Arc::default(),
            wav,
        }
    }

    /// Becomes true when the file has been played, to its last sound.
    pub fn finished(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.finished)
    }
}

impl Microphone for WavMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        self.wav.sample_rate_hz()
    }

    fn channels(&self) -> u16 {
        self.wav.channels()
    }

    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let channels = usize::from(self.wav.channels());
        let mut due = self.clock.due(now);
        let waited = due.min(self.wait);
        self.wait -= waited;
        due -= waited;
        let sound = self.wav.append(self.position, due, samples);
        let silence = due - sound;
        samples.extend(std::iter::repeat_n(0.0, silence * channels));
        self.position += sound;
        self.tail = self.tail.saturating_sub(silence);
        if self.tail == 0 {
            self.finished.store(true, Ordering::Relaxed);
        }
    }

    fn line_is_up(&mut self) {
        self.wait = 0;
    }

    fn waits_for_line(&self) -> bool {
        self.wait > 0
    }

    fn latency_us(&self) -> u32 {
        0
    }

    fn stats(&self) -> DeviceStats {
        virtual_stats(&self.name)
    }
}

/// All bytes of a file. Also of a pipe, whose length nobody knows before.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let too_long = || {
        io::Error::other(
            "it has more than 2 GiB, which is kept in memory; cut it into shorter files",
        )
    };
    let file = File::open(path)?;
    if file.metadata()?.len() > MAX_FILE_BYTES {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}

/// What to do about a file that is not played.
fn remedy(error: &WavError) -> &'static str {
    match error {
        WavError::CutShort { .. } | WavError::ChunkCutOff { .. } => "copy or record it again",
        WavError::Empty | WavError::NoData => "record it again",
        _ => "convert it, for instance with: ffmpeg -i OLD -ac 1 -c:a pcm_s16le NEW.wav",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 ms of 8 bits in stereo, each sample louder than the one before.
    fn microphone() -> WavMicrophone {
        let header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x08\0data\0\0\0\0";
        let sound = (0..1_600).map(|n| 129 + (n / 13) as u8);
        let file = header.iter().copied().chain(sound).collect();
        WavMicrophone::new("a test".to_owned(), Wav::parse(file).unwrap())
    }

    #[test]
    fn a_file_counts_as_played_only_when_its_last_sound_is_under_way() {
        let mut microphone = microphone();
        microphone.line_is_up();
        let finished = microphone.finished();
        let mut heard = Vec::new();
        let mut finished_at = None;
        for ms in (0..=400).step_by(10) {
            microphone.read(Duration::from_millis(ms), &mut heard);
            if finished.load(Ordering::Relaxed) {
                finished_at.get_or_insert(ms);
            }
        }
        assert_eq!(heard[1_599], 124.0 / 128.0);
        assert!(heard[1_600..].iter().all(|&sample| sample == 0.0));
        assert_eq!(heard.len(), 6_400);
        assert_eq!(finished_at, Some(300));
    }

    /// Where the sound begins, in milliseconds, if the line is up at `up_at`.
    fn begins_at(up_at: Option<u64>) -> Option<usize> {
        let mut microphone = microphone();
        for ms in (0..=12_000).step_by(10) {
            if up_at.is_some_and(|up_at| ms > up_at) {
                microphone.line_is_up();
            }
            let mut heard = Vec::new();
            microphone.read(Duration::from_millis(ms), &mut heard);
            if let Some(first) = heard.first() {
                assert_eq!(*first, 1.0 / 128.0, "not its first sound");
                return Some(ms as usize - heard.len() / 16);
            }
        }
        None
    }

    #[test]
    fn a_file_waits_for_the_line_but_not_for_ever() {
        for up_at in [10, 150, 2_000, 9_990] {
            assert_eq!(begins_at(Some(up_at)), Some(up_at as usize));
        }
        assert_eq!(begins_at(None), Some(10_000));
    }
}
