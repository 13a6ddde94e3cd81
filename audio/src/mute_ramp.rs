//! Mutes without a click: the gain goes down within 10 ms and comes back within 50. Pure.

/// How long it takes.
const DOWN_S: f32 = 0.010;
const UP_S: f32 = 0.050;

/// A gain of 1, or of 0, or on its way.
#[derive(Debug, Clone)]
pub struct MuteRamp {
    gain: f32,
}

impl MuteRamp {
    /// Not muted.
    pub fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// Mutes `samples` (mono) in place, or lets them pass: where it has long been so, bit for bit.
    pub fn process(&mut self, samples: &mut [f32], sample_rate_hz: u32, muted: bool) {
        let (target, seconds) = if muted { (0.0, DOWN_S) } else { (1.0, UP_S) };
        if self.gain == target && !muted {
            return;
        }
        let step = 1.0 / (seconds * sample_rate_hz as f32);
        for sample in samples {
            self.gain = match muted {
                true => (self.gain - step).max(0.0),
                false => (self.gain + step).min(1.0),
            };
            *sample *= self.gain;
        }
    }
}

impl Default for MuteRamp {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_signal::{peak, sine};

    #[test]
    fn it_falls_silent_and_comes_back_without_a_step() {
        let mut ramp = MuteRamp::new();
        let tone = sine(440.0, 0.5, 48_000, 48_000);
        let mut played = tone.clone();
        for (index, piece) in played.chunks_mut(96).enumerate() {
            ramp.process(piece, 48_000, (100..300).contains(&index));
        }
        assert_eq!(played[..9_600], tone[..9_600], "it passes unchanged");
        assert_eq!(peak(&played[9_600 + 480..28_800]), 0.0, "it is muted");
        assert_eq!(
            played[28_800 + 2_401..],
            tone[28_800 + 2_401..],
            "it is back"
        );
        let steps = played.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        // A tone of 440 Hz rises by 0.029 a sample.
        assert!(steps.fold(0.0, f32::max) < 0.031, "it clicks");
    }
}
