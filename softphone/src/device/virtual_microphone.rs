//! Microphones that are not there: a tone, and a WAV file.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audio::tone::Tone;

use super::{DeviceStats, Microphone, virtual_clock::VirtualClock};

/// Sample rate of the tone: the engine's own, most of the time.
const TONE_RATE_HZ: u32 = 48_000;

/// A steady tone.
pub struct ToneMicrophone {
    tone: Tone,
    clock: VirtualClock,
}

impl ToneMicrophone {
    /// A sine of `frequency_hz` whose peaks are at `level_dbfs`.
    pub fn new(frequency_hz: f32, level_dbfs: f32) -> Self {
        Self {
            tone: Tone::new(frequency_hz, level_dbfs, TONE_RATE_HZ),
            clock: VirtualClock::new(TONE_RATE_HZ),
        }
    }
}

impl Microphone for ToneMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        TONE_RATE_HZ
    }

    fn channels(&self) -> u16 {
        1
    }

    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let start = samples.len();
        samples.resize(start + self.clock.due(now), 0.0);
        self.tone.fill(&mut samples[start..]);
    }

    fn latency_us(&self) -> u32 {
        0
    }

    fn stats(&self) -> DeviceStats {
        virtual_stats("tone")
    }
}

/// Silence after the end of a file before it counts as played: its last sound has to leave the
/// longest chunk, and the look-ahead of codecs and effects on its way.
const TAIL: Duration = Duration::from_millis(200);

/// A WAV file, played once.
pub struct WavMicrophone {
    name: String,
    samples: Vec<f32>,
    channels: u16,
    position: usize,
    /// Samples of silence still to be given after the last of the file.
    tail: usize,
    clock: VirtualClock,
    finished: Arc<AtomicBool>,
}

impl WavMicrophone {
    /// Reads the whole file: 8 to 32 bit or float, 1 or 2 channels.
    ///
    /// # Errors
    /// The file cannot be read, or is not such a WAV; in words.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let reader = hound::WavReader::open(path)
            .map_err(|error| format!("{shown}: {error}; --source takes mic, tone or a WAV file"))?;
        let spec = reader.spec();
        if !matches!(spec.channels, 1 | 2) || spec.sample_rate < 8_000 {
            return Err(format!(
                "{shown} has {} channels at {} Hz; accepted are 1 or 2 channels at 8000 Hz or more",
                spec.channels, spec.sample_rate
            ));
        }
        let samples = match spec.sample_format {
            hound::SampleFormat::Float => reader.into_samples::<f32>().collect::<Result<_, _>>(),
            hound::SampleFormat::Int => {
                let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
                reader
                    .into_samples::<i32>()
                    .map(|sample| sample.map(|value| value as f32 * scale))
                    .collect()
            }
        };
        Ok(Self {
            name: shown.to_string(),
            samples: samples.map_err(|error: hound::Error| format!("{shown}: {error}"))?,
            channels: spec.channels,
            position: 0,
            tail: (TAIL.as_secs_f32() * spec.sample_rate as f32) as usize
                * usize::from(spec.channels),
            clock: VirtualClock::new(spec.sample_rate),
            finished: Arc::default(),
        })
    }

    /// Becomes true when the file has been played, to its last sound.
    pub fn finished(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.finished)
    }
}

impl Microphone for WavMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        self.clock.sample_rate_hz()
    }

    fn channels(&self) -> u16 {
        self.channels
    }

    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let wanted = self.clock.due(now) * usize::from(self.channels);
        let rest = &self.samples[self.position..];
        let sound = wanted.min(rest.len());
        samples.extend_from_slice(&rest[..sound]);
        samples.extend(std::iter::repeat_n(0.0, wanted - sound));
        self.position += sound;
        self.tail = self.tail.saturating_sub(wanted - sound);
        if self.tail == 0 {
            self.finished.store(true, Ordering::Relaxed);
        }
    }

    fn latency_us(&self) -> u32 {
        0
    }

    fn stats(&self) -> DeviceStats {
        virtual_stats(&self.name)
    }
}

/// What a device that cannot fail has to report.
pub(super) fn virtual_stats(name: &str) -> DeviceStats {
    DeviceStats {
        name: name.to_owned(),
        host: "virtual".to_owned(),
        ..DeviceStats::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_played_only_when_its_last_sound_is_under_way() {
        // 100 ms, the last sample the loudest.
        let mut microphone = WavMicrophone {
            name: String::new(),
            samples: (1..=1_600).map(|n| n as f32 / 1_600.0).collect(),
            channels: 2,
            position: 0,
            tail: 2 * 1_600,
            clock: VirtualClock::new(8_000),
            finished: Arc::default(),
        };
        let finished = microphone.finished();
        let mut heard = Vec::new();
        let mut finished_at = None;
        for ms in (0..=400).step_by(10) {
            microphone.read(Duration::from_millis(ms), &mut heard);
            if finished.load(Ordering::Relaxed) {
                finished_at.get_or_insert(ms);
            }
        }
        assert_eq!(heard[1_599], 1.0);
        assert!(heard[1_600..].iter().all(|&sample| sample == 0.0));
        assert_eq!(heard.len(), 6_400);
        assert_eq!(finished_at, Some(300));
    }
}
