//! Peak limiter: nothing leaves louder than −1 dBFS, and nothing is clipped to get there.
//!
//! It looks half a millisecond ahead and turns the gain down before the peak arrives; afterwards the
//! gain comes back slowly. What stays below the ceiling passes unchanged, bit for bit.

use crate::frame::{Frame, SAMPLES_PER_CHANNEL};

/// −1 dBFS: room for what a codec or a resampler adds to a peak.
pub(super) const CEILING: f32 = 0.891_25;

/// Samples in a block, which has one peak; also how far it looks ahead (0.5 ms).
const BLOCK: usize = 24;

/// Samples at 48 kHz by which it delays: its look-ahead.
pub(super) const DELAY_SAMPLES: usize = BLOCK;

/// Part of the missing gain that comes back with each block: a time constant of 150 ms.
const RELEASE: f32 = 0.003_3;

/// Holds peaks at [`CEILING`]. Both channels get the same gain.
pub(super) struct Limiter {
    /// The end of the last frame, which is put out first.
    held: [[f32; BLOCK]; 2],
    held_peak: f32,
    /// Gain with which the last frame ended; enough of a reduction for the block that is held.
    gain: f32,
}

impl Limiter {
    /// A limiter for up to two channels.
    pub(super) fn new() -> Self {
        Self {
            held: [[0.0; BLOCK]; 2],
            held_peak: 0.0,
            gain: 1.0,
        }
    }

    /// Limits one frame in place.
    pub(super) fn process(&mut self, frame: &mut Frame) {
        let gains = self.plan(frame);
        for (held, samples) in self.held.iter_mut().zip(frame.channels_mut()) {
            let mut tail = [0.0; BLOCK];
            tail.copy_from_slice(&samples[SAMPLES_PER_CHANNEL - BLOCK..]);
            samples.copy_within(..SAMPLES_PER_CHANNEL - BLOCK, BLOCK);
            samples[..BLOCK].copy_from_slice(held);
            *held = tail;
            for (block, gain) in samples.chunks_exact_mut(BLOCK).zip(gains.windows(2)) {
                apply(block, gain[0], gain[1]);
            }
        }
    }

    /// The gain at the borders of the blocks that are put out with this frame. Each is low enough
    /// for the blocks on either side, so that any value between two is low enough for the block.
    fn plan(&mut self, frame: &Frame) -> [f32; SAMPLES_PER_CHANNEL / BLOCK + 1] {
        let mut gains = [self.gain; SAMPLES_PER_CHANNEL / BLOCK + 1];
        for (index, gain) in gains.iter_mut().skip(1).enumerate() {
            let start = index * BLOCK;
            let coming =
                (start..start + BLOCK).fold(0.0, |peak: f32, n| peak.max(frame.peak_at(n)));
            let released = self.gain + RELEASE * (1.0 - self.gain);
            // Quite back, or "unchanged below the ceiling" would never be true again.
            let released = if released > 0.999_9 { 1.0 } else { released };
            self.gain = released.min(allowed(self.held_peak)).min(allowed(coming));
            self.held_peak = coming;
            *gain = self.gain;
        }
        gains
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

/// The most gain that a block with this peak bears.
fn allowed(peak: f32) -> f32 {
    if peak > CEILING { CEILING / peak } else { 1.0 }
}

fn apply(block: &mut [f32], from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return;
    }
    let step = (to - from) / BLOCK as f32;
    for (n, sample) in block.iter_mut().enumerate() {
        // The clamp takes off what rounding may leave, some 1e-7.
        *sample = (*sample * (from + step * n as f32)).clamp(-CEILING, CEILING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, lag, noise, peak, run_blocks, sine, speech_like};

    fn limited(channels: usize, input: &[f32]) -> Vec<f32> {
        let mut limiter = Limiter::new();
        run_blocks(channels, input, |frame| limiter.process(frame))
    }

    #[test]
    fn what_stays_below_the_ceiling_is_not_changed() {
        let input = sine(997.0, 0.89, 48_000, 48_000);
        let output = limited(1, &input);
        assert_eq!(output[BLOCK..], input[..48_000 - BLOCK]);
    }

    #[test]
    fn nothing_is_beyond_the_ceiling() {
        let loud = noise(8.0, 1, 48_000);
        let mut clicks = vec![0.01; 48_000];
        for n in (0..48_000).step_by(479) {
            clicks[n] = if n % 2 == 0 { 100.0 } else { -3.0 };
        }
        let sudden = [vec![0.0; 4_800], sine(200.0, 4.0, 48_000, 43_200)].concat();
        for input in [loud, clicks, sudden] {
            let output = limited(1, &input);
            assert!(peak(&output) <= CEILING, "{}", peak(&output));
            assert!(peak(&output) > 0.8, "{}", peak(&output));
        }
    }

    #[test]
    fn a_loud_tone_is_turned_down_and_not_clipped() {
        for frequency in [150.0, 440.0, 1_000.0] {
            let input = sine(frequency, 2.0, 48_000, 96_000);
            let output = limited(1, &input);
            let fit = fit_sine(&output[48_000..], frequency, 48_000);
            assert!((fit.level_db - -1.0).abs() < 0.4, "{frequency} Hz: {fit:?}");
            // Clipped to the same peak it would have some 12 dB.
            assert!(fit.sinad_db > 35.0, "{frequency} Hz: {fit:?}");
        }
    }

    #[test]
    fn the_gain_comes_back_after_a_peak() {
        let mut input = sine(440.0, 0.5, 48_000, 96_000);
        input[1_000] = 3.0;
        let output = limited(1, &input);
        let fit = fit_sine(&output[72_000..], 440.0, 48_000);
        assert!((fit.level_db - -6.02).abs() < 0.01, "{fit:?}");
    }

    #[test]
    fn speech_that_is_too_loud_keeps_its_form() {
        let input: Vec<f32> = speech_like(3).iter().map(|sample| sample * 6.0).collect();
        assert!(peak(&input) > 1.2, "{}", peak(&input));
        let output = limited(1, &input);
        assert!((lag(&input, &output, 200) - BLOCK as f64).abs() < 0.5);
        assert!(peak(&output) <= CEILING);
    }

    #[test]
    fn both_channels_get_one_gain() {
        let input: Vec<f32> = sine(300.0, 3.0, 48_000, 48_000)
            .iter()
            .flat_map(|&s| [s, 0.1 * s])
            .collect();
        for pair in limited(2, &input).chunks_exact(2) {
            assert!((0.1 * pair[0] - pair[1]).abs() < 1e-5);
        }
    }
}
