//! The limiter before a speaker: whatever happens ahead of it, nothing leaves louder than −1 dBFS.
//!
//! It looks at no sample before its time, and so delays none: the gain falls with the very sample
//! that would be too loud and comes back slowly. A peak is bent where it rises, which a limiter that
//! looks ahead ([`crate::processing::limiter`]) would not do; here it is the rare last resort. What stays below
//! the ceiling passes unchanged, bit for bit. Never allocates.

use super::limiter::CEILING;

/// Time constant with which the gain comes back.
const RELEASE_S: f32 = 0.15;

/// Holds the peaks of one channel at `limiter::CEILING`.
#[derive(Debug, Clone)]
pub struct OutputLimiter {
    gain: f32,
    /// Part of the missing gain that comes back with each sample.
    release: f32,
}

impl OutputLimiter {
    /// A limiter for samples at `sample_rate_hz`.
    pub fn new(sample_rate_hz: u32) -> Self {
        let mut limiter = Self {
            gain: 1.0,
            release: 0.0,
        };
        limiter.set_sample_rate(sample_rate_hz);
        limiter
    }

    /// From now on for samples at `sample_rate_hz`.
    pub fn set_sample_rate(&mut self, sample_rate_hz: u32) {
        self.release = 1.0 / (RELEASE_S * sample_rate_hz as f32);
    }

    /// Limits `samples` in place. What is not a number becomes silence.
    pub fn process(&mut self, samples: &mut [f32]) {
        for sample in samples {
            if !sample.is_finite() {
                *sample = 0.0;
            }
            self.gain += self.release * (1.0 - self.gain);
            // Quite back: smaller steps would be lost in rounding, and it would never get there.
            if self.gain > 0.999 {
                self.gain = 1.0;
            }
            let peak = sample.abs();
            if peak * self.gain > CEILING {
                self.gain = CEILING / peak;
            }
            // The quotient may be rounded up.
            *sample = (*sample * self.gain).clamp(-CEILING, CEILING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{noise, peak, rms_db, sine, speech_like};

    fn limited(mut samples: Vec<f32>) -> Vec<f32> {
        OutputLimiter::new(48_000).process(&mut samples);
        samples
    }

    #[test]
    fn what_is_below_the_ceiling_passes_bit_for_bit() {
        for samples in [
            speech_like(2),
            sine(1_000.0, 0.89, 48_000, 48_000),
            noise(0.89, 7, 48_000),
            vec![CEILING, -CEILING, 0.0, -0.0, f32::MIN_POSITIVE],
        ] {
            assert_eq!(limited(samples.clone()), samples);
        }
    }

    #[test]
    fn nothing_is_louder_than_the_ceiling() {
        for samples in [
            noise(1.0, 1, 48_000),
            noise(1_000.0, 2, 48_000),
            sine(50.0, 30.0, 48_000, 48_000),
            vec![f32::MAX, f32::MIN, 1.0, 0.5],
        ] {
            assert!(peak(&limited(samples)) <= CEILING);
        }
    }

    #[test]
    fn what_is_no_number_is_silent_and_poisons_nothing() {
        let broken = vec![0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5];
        assert_eq!(limited(broken), [0.5, 0.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn a_tone_6_db_too_loud_keeps_its_shape_and_the_gain_comes_back() {
        let mut limiter = OutputLimiter::new(48_000);
        let mut loud = sine(440.0, 2.0 * CEILING, 48_000, 48_000);
        limiter.process(&mut loud);
        // A sine with its peaks at −1 dBFS, and not a clipped one, which would be 2 dB louder.
        let level = rms_db(&loud[24_000..]);
        assert!((-4.3..-3.9).contains(&level), "{level} dB");
        let quiet = sine(440.0, 0.1, 48_000, 2 * 48_000);
        let mut after = quiet.clone();
        limiter.process(&mut after);
        assert!(peak(&after[..480]) < 0.06, "the gain jumps back");
        let comes_back = after[72_000..] == quiet[72_000..];
        assert!(comes_back, "the gain never comes back");
    }
}
