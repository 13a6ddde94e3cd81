//! A microphone that is not there: a tone.

use std::time::Duration;

use audio::measure::Tone;

use super::virtual_clock::VirtualClock;
use crate::device::{DeviceStats, Microphone};

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

/// What a device that cannot fail has to report.
pub(crate) fn virtual_stats(name: &str) -> DeviceStats {
    DeviceStats {
        name: name.to_owned(),
        host: "virtual".to_owned(),
        ..DeviceStats::default()
    }
}
