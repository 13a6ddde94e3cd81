//! A tone for a microphone: what a synthetic call says. Its ear is [`crate::measure::tone_detector`].

use std::f64::consts::TAU;

/// A sine of constant level, continuous from one `fill` to the next. One channel.
#[derive(Debug, Clone)]
pub struct Tone {
    amplitude: f64,
    /// Turns per sample.
    step: f64,
    /// Turns, 0 to 1.
    phase: f64,
}

impl Tone {
    /// A tone whose peak is at `level_dbfs`: 0 reaches full scale (and has an RMS of −3.01 dBFS).
    pub fn new(frequency_hz: f32, level_dbfs: f32, sample_rate_hz: u32) -> Self {
        Self {
            amplitude: 10f64.powf(f64::from(level_dbfs) / 20.0),
            step: f64::from(frequency_hz) / f64::from(sample_rate_hz.max(1)),
            phase: 0.0,
        }
    }

    /// Overwrites `samples` with the tone's next ones.
    pub fn fill(&mut self, samples: &mut [f32]) {
        for sample in samples {
            *sample = (self.amplitude * (TAU * self.phase).sin()) as f32;
            self.phase = (self.phase + self.step).fract();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::meter::{peak_dbfs, rms_dbfs};

    #[test]
    fn level_and_frequency_are_those_asked_for() {
        let mut samples = vec![0.0; 48_000];
        Tone::new(440.0, -12.0, 48_000).fill(&mut samples);
        assert!((peak_dbfs(&samples) + 12.0).abs() < 0.01);
        assert!((rms_dbfs(&samples) + 15.01).abs() < 0.01);
        let rising = samples
            .windows(2)
            .filter(|w| w[0] < 0.0 && w[1] >= 0.0)
            .count();
        assert!((439..=440).contains(&rising), "{rising}");
    }

    #[test]
    fn portions_of_any_size_make_one_tone() {
        let mut whole = vec![0.0; 1_000];
        Tone::new(1_000.0, -6.0, 8_000).fill(&mut whole);
        let mut portions = vec![0.0; 1_000];
        let mut tone = Tone::new(1_000.0, -6.0, 8_000);
        for portion in portions.chunks_mut(37) {
            tone.fill(portion);
        }
        assert_eq!(whole, portions);
    }
}
