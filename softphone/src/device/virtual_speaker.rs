//! Speakers that are not there: one that discards, one that writes a WAV file, and an ear.

use std::{
    fs::File,
    io::BufWriter,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use audio::{ToneDetector, ToneReport};

use super::{DeviceStats, Speaker, virtual_clock::VirtualClock, virtual_microphone::virtual_stats};

/// Sample rate of every virtual speaker.
const RATE_HZ: u32 = 48_000;

/// What happens to the samples that a virtual speaker plays.
enum Sink {
    Null,
    Wav(hound::WavWriter<BufWriter<File>>),
    Ear(Ear),
}

/// A mono speaker on the engine's own clock.
pub struct VirtualSpeaker {
    name: String,
    clock: VirtualClock,
    sink: Sink,
    /// Samples that could not be written to the file.
    lost_samples: u64,
}

impl VirtualSpeaker {
    /// A speaker that nobody hears.
    pub fn null() -> Self {
        Self::new("null", Sink::Null)
    }

    /// A speaker that writes what it plays to a WAV file, 16 bit at 48 kHz.
    ///
    /// # Errors
    /// The file cannot be created; in words.
    pub fn wav(path: &Path) -> Result<Self, String> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: RATE_HZ,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let shown = path.display().to_string();
        let writer = hound::WavWriter::create(path, spec).map_err(|error| {
            format!("{shown}: {error}; --sink takes speaker, null or a WAV file to write")
        })?;
        Ok(Self::new(&shown, Sink::Wav(writer)))
    }

    /// A speaker with an ear for one tone before it.
    pub fn ear(ear: Ear) -> Self {
        Self::new("tone detector", Sink::Ear(ear))
    }

    fn new(name: &str, sink: Sink) -> Self {
        Self {
            name: name.to_owned(),
            clock: VirtualClock::new(RATE_HZ),
            sink,
            lost_samples: 0,
        }
    }
}

impl Speaker for VirtualSpeaker {
    fn sample_rate_hz(&self) -> u32 {
        RATE_HZ
    }

    fn channels(&self) -> u16 {
        1
    }

    fn wanted(&mut self, now: Duration) -> usize {
        self.clock.due(now)
    }

    fn write(&mut self, samples: &[f32]) {
        match &mut self.sink {
            Sink::Null => {}
            Sink::Wav(writer) => {
                for &sample in samples {
                    // `as` saturates.
                    if writer
                        .write_sample((sample * 32_768.0).round() as i16)
                        .is_err()
                    {
                        self.lost_samples += 1;
                    }
                }
            }
            Sink::Ear(ear) => ear.hear(samples),
        }
    }

    fn latency_us(&self) -> u32 {
        0
    }

    fn stats(&self) -> DeviceStats {
        DeviceStats {
            ring_fault_samples: self.lost_samples,
            ..virtual_stats(&self.name)
        }
    }
}

/// The detector of a synthetic call, shared by the speaker, which feeds it, and the report.
#[derive(Clone)]
pub struct Ear(Arc<Mutex<ToneDetector>>);

impl Ear {
    /// An ear for a tone of `frequency_hz`.
    pub fn new(frequency_hz: f32) -> Self {
        Self(Arc::new(Mutex::new(ToneDetector::new(
            frequency_hz,
            RATE_HZ,
        ))))
    }

    fn hear(&self, samples: &[f32]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(samples);
    }

    /// What it has heard so far.
    pub fn report(&self) -> ToneReport {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .report()
    }
}
