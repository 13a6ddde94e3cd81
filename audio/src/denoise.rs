//! Noise suppression: RNNoise's network (crate `nnnoiseless`), one state per channel.
//!
//! It was trained on speech: what it makes of tones and music depends, and white noise takes it some
//! seconds to recognise.

use nnnoiseless::DenoiseState;

use crate::frame::{Frame, SAMPLES_PER_CHANNEL};

/// The network expects samples in the range of 16-bit integers.
const SCALE: f32 = 32_768.0;

/// Samples at 48 kHz by which it delays: one frame, for the overlap of its transform.
pub const DELAY_SAMPLES: usize = SAMPLES_PER_CHANNEL;

/// Removes what is not speech. Costs some 50 µs a frame and channel.
pub struct Denoise {
    channels: Vec<Box<DenoiseState<'static>>>,
}

impl Denoise {
    /// A suppressor for `channels` (1 or 2).
    pub fn new(channels: usize) -> Self {
        Self {
            channels: (0..channels).map(|_| DenoiseState::new()).collect(),
        }
    }

    /// Suppresses noise in one frame in place.
    pub fn process(&mut self, frame: &mut Frame) {
        let mut input = [0.0; SAMPLES_PER_CHANNEL];
        let mut output = [0.0; SAMPLES_PER_CHANNEL];
        for (state, samples) in self.channels.iter_mut().zip(frame.channels_mut()) {
            for (scaled, sample) in input.iter_mut().zip(samples.iter()) {
                // One NaN is undefined behaviour inside the library, and an infinity becomes one.
                *scaled = if sample.is_finite() {
                    sample.clamp(-1.0, 1.0) * SCALE
                } else {
                    0.0
                };
            }
            state.process_frame(&mut output, &input);
            for (sample, scaled) in samples.iter_mut().zip(&output) {
                *sample = scaled / SCALE;
            }
        }
    }

    /// [`DELAY_SAMPLES`].
    pub fn delay_samples(&self) -> usize {
        DELAY_SAMPLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_signal::{fan_noise, lag, rms_db, run_blocks, speech_like};

    fn denoised(channels: usize, input: &[f32]) -> Vec<f32> {
        let mut block = Denoise::new(channels);
        run_blocks(channels, input, |frame| block.process(frame))
    }

    #[test]
    fn noise_is_reduced_by_more_than_40_db() {
        let input = fan_noise(0.2, 1, 4 * 48_000);
        let output = denoised(1, &input);
        let reduced = rms_db(&input[96_000..]) - rms_db(&output[96_000..]);
        assert!(reduced > 40.0, "{reduced:.1} dB");
    }

    #[test]
    fn speech_is_kept_and_comes_10_ms_later() {
        let input = speech_like(4);
        let output = denoised(1, &input);
        let change = rms_db(&output[48_000..]) - rms_db(&input[48_000..]);
        assert!(change.abs() < 1.5, "{change:.2} dB");
        let delay = lag(&input, &output, 2_000);
        let stated = Denoise::new(1).delay_samples() as f64;
        assert!((delay - stated).abs() < 1.0, "{delay} samples");
    }

    #[test]
    fn noise_under_speech_is_reduced() {
        let speech = speech_like(4);
        let noisy: Vec<f32> = speech
            .iter()
            .zip(fan_noise(0.2, 2, speech.len()))
            .map(|(s, n)| s + n)
            .collect();
        let output = denoised(1, &noisy);
        // In the pauses: every fifth syllable, from 1.05 to 1.2 s and so on.
        let pause = |samples: &[f32], second: f64| {
            let start = (second * 48_000.0) as usize;
            rms_db(&samples[start..start + 4_800])
        };
        let reduced = pause(&noisy, 3.6) - pause(&output, 3.6);
        assert!(reduced > 10.0, "{reduced:.1} dB");
    }

    #[test]
    fn what_is_no_number_does_no_harm() {
        let mut block = Denoise::new(2);
        let mut frame = Frame::silence(2);
        for value in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            1e30,
            -1e30,
            1e-40,
        ] {
            frame.fill_from_interleaved(&[value; 960]);
            block.process(&mut frame);
            assert!(
                frame.channels().flatten().all(|sample| sample.is_finite()),
                "{value}"
            );
        }
        let speech = speech_like(2);
        let output = run_blocks(1, &speech, |frame| block.process(frame));
        assert!(rms_db(&output[48_000..]) > rms_db(&speech[48_000..]) - 3.0);
    }

    #[test]
    fn channels_stay_apart() {
        let input: Vec<f32> = speech_like(2)
            .iter()
            .flat_map(|&sample| [sample, 0.0])
            .collect();
        let output = denoised(2, &input);
        assert!(
            output
                .iter()
                .skip(1)
                .step_by(2)
                .all(|sample| sample.abs() < 1e-6)
        );
    }
}
