//! The short tone that a call on unknown devices begins with, and the search for it. Pure.

use std::time::Duration;

use audio::{
    frame::SAMPLE_RATE_HZ,
    near_end::{Measurement, Probe, echo_path},
};

use super::decision::EchoPath;

/// A soft whistle that rises: every speaker and microphone carries it, most of it lies where a voice
/// is weak, and it is no surprise at the beginning of a call.
const LENGTH: Duration = Duration::from_millis(300);
const FROM_HZ: f32 = 500.0;
const TO_HZ: f32 = 3_500.0;
/// It swells and fades so long at its ends.
const FADE: Duration = Duration::from_millis(40);
/// −26 dBFS.
const PEAK: f32 = 0.07;

/// How much later than the devices say the tone may arrive: wireless speakers do not tell all.
const UNTOLD: Duration = Duration::from_millis(350);

/// Only who would have found an echo as weak as this may say that there is none.
const MAX_DETECTABLE_DB: f32 = -32.0;

/// The tone, mono at this rate.
pub fn samples(rate_hz: u32) -> Vec<f32> {
    let rate = rate_hz as f32;
    let count = (LENGTH.as_secs_f32() * rate) as usize;
    let mut phase = 0.0_f32;
    (0..count)
        .map(|n| {
            let hz = FROM_HZ + (TO_HZ - FROM_HZ) * n as f32 / count as f32;
            phase = (phase + hz / rate).fract();
            let edge = n.min(count - 1 - n) as f32 / (FADE.as_secs_f32() * rate);
            let swell = (std::f32::consts::FRAC_PI_2 * edge.min(1.0)).sin().powi(2);
            PEAK * swell * (std::f32::consts::TAU * phase).sin()
        })
        .collect()
}

/// What the microphone gave from the hand-over of the tone on, at 48 kHz.
#[derive(Debug, Clone, PartialEq)]
pub struct ToneRecording {
    samples: Vec<f32>,
    max_lag: Duration,
}

impl ToneRecording {
    /// Begins with the tone's hand-over, between devices that say they take `told` altogether.
    pub fn begin(told: Duration) -> Self {
        Self {
            samples: Vec::new(),
            max_lag: told.min(Duration::from_millis(400)) + UNTOLD,
        }
    }

    /// Takes what was captured.
    pub fn push(&mut self, captured: &[f32]) {
        self.samples.extend_from_slice(captured);
    }

    /// Whether all that can be of the tone has come.
    pub fn is_complete(&self) -> bool {
        let wanted = (LENGTH + self.max_lag).as_secs_f64() * f64::from(SAMPLE_RATE_HZ);
        self.samples.len() >= wanted as usize
    }

    /// Whether the microphone gave digital silence, as one does that is switched off.
    pub fn is_silent(&self) -> bool {
        self.samples.iter().all(|&sample| sample == 0.0)
    }

    /// Looks for the tone. Takes some 50 ms.
    pub fn measure(&self) -> EchoPath {
        if self.is_silent() {
            return EchoPath::None;
        }
        let probe = Probe::new(samples(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ);
        match echo_path::find(&self.samples, &probe, &[0], self.max_lag) {
            Measurement::Heard(path) => EchoPath::Some {
                gain_db: path.gain_db,
                lag_ms: u32::try_from(path.lag.as_millis()).unwrap_or(u32::MAX),
            },
            Measurement::NotHeard { detectable_db } if detectable_db <= MAX_DETECTABLE_DB => {
                EchoPath::None
            }
            Measurement::NotHeard { .. } => EchoPath::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
