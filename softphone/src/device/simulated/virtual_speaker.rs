//! Speakers that are not there: one that discards, one that writes a WAV file, and an ear.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use audio::{ToneDetector, ToneReport};

use super::{virtual_clock::VirtualClock, virtual_microphone::virtual_stats};
use crate::device::{DeviceStats, Speaker};
use crate::recording::{RATE_HZ, SampleQueue};

/// What happens to the samples that a virtual speaker plays.
enum Sink {
    Null,
    Wav(SampleQueue),
    Ear(Ear),
}

/// A mono speaker on the engine's own clock.
pub struct VirtualSpeaker {
    name: String,
    clock: VirtualClock,
    sink: Sink,
}

impl VirtualSpeaker {
    /// A speaker that nobody hears.
    pub fn null() -> Self {
        Self::new("null", Sink::Null)
    }

    /// A speaker that writes what it plays to a WAV file, whose queue this is, of one channel.
    pub fn wav(path: &Path, queue: SampleQueue) -> Self {
        Self::new(&path.display().to_string(), Sink::Wav(queue))
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
            Sink::Wav(queue) => queue.push(samples),
            Sink::Ear(ear) => ear.hear(samples),
        }
    }

    fn latency_us(&self) -> u32 {
        0
    }

    fn stats(&self) -> DeviceStats {
        virtual_stats(&self.name)
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
