//! Speakers that are not there: one that discards, one that writes a WAV file, and an ear.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// What is heard of another party counts so much later: what comes after its last word does not.
const HELD_BACK: usize = RATE_HZ as usize * 6 / 10;

/// The detector of a synthetic call, shared by the speaker, which feeds it, and the report.
#[derive(Clone)]
pub struct Ear(Arc<Mutex<Listening>>);

struct Listening {
    /// `None`: for nothing yet.
    detector: Option<(f32, ToneDetector)>,
    is_paused: bool,
    /// Heard, and not counted yet.
    held: Vec<f32>,
    /// How much is held at most.
    held_back: usize,
}

impl Ear {
    /// An ear for a tone of `frequency_hz`.
    pub fn new(frequency_hz: f32) -> Self {
        let ear = Self::with(0);
        ear.listen_for(frequency_hz);
        ear
    }

    /// An ear for another party, if one comes.
    pub fn for_another() -> Self {
        Self::with(HELD_BACK)
    }

    fn with(held_back: usize) -> Self {
        Self(Arc::new(Mutex::new(Listening {
            detector: None,
            is_paused: true,
            held: Vec::new(),
            held_back,
        })))
    }

    /// Listens for a tone of this frequency from now on.
    pub fn listen_for(&self, frequency_hz: f32) {
        let mut listening = self.lock();
        listening.is_paused = false;
        if listening
            .detector
            .as_ref()
            .is_none_or(|(hz, _)| *hz != frequency_hz)
        {
            let detector = ToneDetector::new(frequency_hz, RATE_HZ);
            listening.detector = Some((frequency_hz, detector));
            listening.held.clear();
        }
    }

    /// Hears nothing until it is to listen again; nor did it, for a moment.
    pub fn pause(&self) {
        let mut listening = self.lock();
        listening.is_paused = true;
        listening.held.clear();
    }

    fn hear(&self, samples: &[f32]) {
        let listening = &mut *self.lock();
        let Some((_, detector)) = &mut listening.detector else {
            return;
        };
        if listening.is_paused {
            return;
        }
        listening.held.extend_from_slice(samples);
        let counts = listening.held.len().saturating_sub(listening.held_back);
        detector.push(&listening.held[..counts]);
        listening.held.drain(..counts);
    }

    /// What it listened for, in Hz, and what it has heard so far; `None`: it listened for nothing.
    pub fn report(&self) -> Option<(f32, ToneReport)> {
        let listening = self.lock();
        let (hz, detector) = listening.detector.as_ref()?;
        Some((*hz, detector.report()))
    }

    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use audio::measure::Tone;

    use super::*;

    fn tone(hz: f32, seconds: f32) -> Vec<f32> {
        let mut samples = vec![0.0; (RATE_HZ as f32 * seconds) as usize];
        Tone::new(hz, -20.0, RATE_HZ).fill(&mut samples);
        samples
    }

    #[test]
    fn what_comes_after_the_last_word_of_another_is_not_missed() {
        let ear = Ear::for_another();
        ear.hear(&tone(300.0, 1.0));
        assert!(ear.report().is_none());
        ear.listen_for(600.0);
        ear.hear(&tone(600.0, 3.0));
        // It has hung up, which is known a little later.
        ear.hear(&vec![0.0; RATE_HZ as usize / 2]);
        ear.pause();
        ear.hear(&vec![0.0; RATE_HZ as usize]);
        let (hz, report) = ear.report().unwrap();
        assert_eq!((hz, report.missing_ms), (600.0, 0.0));
        assert!(report.heard && (report.frequency_hz - 600.0).abs() < 1.0);
        // But what is missing while it is there is.
        ear.listen_for(600.0);
        ear.hear(&vec![0.0; RATE_HZ as usize]);
        let (_, report) = ear.report().unwrap();
        assert!(
            (300.0..450.0).contains(&report.longest_missing_ms),
            "{report:?}"
        );
    }
}
