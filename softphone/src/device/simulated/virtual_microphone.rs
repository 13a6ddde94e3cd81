//! A microphone that is not there: a tone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use audio::measure::Tone;

use super::virtual_clock::VirtualClock;
use crate::device::{DeviceStats, Microphone};

/// Sample rate of the tone: the engine's own, most of the time.
const TONE_RATE_HZ: u32 = 48_000;

/// Which tone it is; may be told while it sounds.
#[derive(Debug, Clone)]
pub struct ToneControl(Arc<AtomicU32>);

impl ToneControl {
    fn new(hz: f32) -> Self {
        Self(Arc::new(AtomicU32::new(hz.to_bits())))
    }

    /// From now on this one; 0: none.
    pub fn set_hz(&self, hz: f32) {
        self.0.store(hz.to_bits(), Ordering::Relaxed);
    }

    fn hz(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// A steady tone.
pub struct ToneMicrophone {
    control: ToneControl,
    hz: f32,
    level_dbfs: f32,
    tone: Tone,
    clock: VirtualClock,
}

impl ToneMicrophone {
    /// A sine of `frequency_hz` (0: silence) whose peaks are at `level_dbfs`.
    pub fn new(frequency_hz: f32, level_dbfs: f32) -> Self {
        Self {
            control: ToneControl::new(frequency_hz),
            hz: frequency_hz,
            level_dbfs,
            tone: Tone::new(frequency_hz, level_dbfs, TONE_RATE_HZ),
            clock: VirtualClock::new(TONE_RATE_HZ),
        }
    }

    /// What its tone is changed with.
    pub fn control(&self) -> ToneControl {
        self.control.clone()
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
        let hz = self.control.hz();
        if hz != self.hz {
            self.hz = hz;
            self.tone = Tone::new(hz, self.level_dbfs, TONE_RATE_HZ);
        }
        if hz > 0.0 {
            self.tone.fill(&mut samples[start..]);
        }
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
