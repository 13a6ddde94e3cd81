//! Noise suppression: RNNoise's network says how much of each band is speech, a filter of 4 ms applies
//! it, one of each per channel.
//!
//! The network was trained on speech: what it makes of tones and music depends, and white noise takes it
//! some seconds to recognise. The comb filter between the harmonics of a voice, which RNNoise has in its
//! transform, is left out with that transform and its 10 ms.

use nnnoiseless::DenoiseFeatures;

use super::{
    band_filter::BandFilter,
    rnnoise::{BANDS, Network},
};
use crate::{
    codec::make_finite,
    frame::{Frame, SAMPLES_PER_CHANNEL},
};

/// The network expects samples in the range of 16-bit integers.
const SCALE: f32 = 32_768.0;

/// A gain falls to no less than this part of what it was a frame before, as in RNNoise: the end of a
/// word keeps its reverberation.
const MIN_FALL: f32 = 0.6;

/// Samples at 48 kHz by which it delays: half the length of the filter.
pub(super) const DELAY_SAMPLES: usize = super::band_filter::DELAY_SAMPLES;

/// Removes what is not speech. Costs some 50 µs a frame and channel.
pub(super) struct Denoise {
    channels: Vec<Channel>,
}

struct Channel {
    // Some 30 kB of windows and pitch search.
    features: Box<DenoiseFeatures>,
    network: Network,
    gains: [f32; BANDS],
    filter: BandFilter,
}

impl Denoise {
    /// A suppressor for `channels` (1 or 2).
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels: (0..channels).map(|_| Channel::new()).collect(),
        }
    }

    /// Suppresses noise in one frame in place.
    pub(super) fn process(&mut self, frame: &mut Frame) {
        for (channel, samples) in self.channels.iter_mut().zip(frame.channels_mut()) {
            // One NaN is undefined behaviour inside the library, and an infinity becomes one.
            make_finite(samples);
            channel.process(samples);
        }
    }
}

impl Channel {
    fn new() -> Self {
        Self {
            features: Box::new(DenoiseFeatures::new()),
            network: Network::new(),
            gains: [0.0; BANDS],
            filter: BandFilter::new(),
        }
    }

    fn process(&mut self, samples: &mut [f32; SAMPLES_PER_CHANNEL]) {
        let scaled = samples.map(|sample| sample * SCALE);
        self.features.shift_and_filter_input(&scaled);
        let silent = self.features.compute_frame_features();
        // In silence the network is left as it is, and the gains too.
        if !silent {
            let mut gains = [0.0; BANDS];
            self.network.run(self.features.features(), &mut gains);
            for (gain, new) in self.gains.iter_mut().zip(gains) {
                *gain = new.max(MIN_FALL * *gain);
            }
        }
        self.filter.process(&self.gains, samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fan_noise, lag, rms_db, run_blocks, speech_like};

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
    fn speech_is_kept_and_comes_2_ms_later() {
        let input = speech_like(4);
        let output = denoised(1, &input);
        let change = rms_db(&output[48_000..]) - rms_db(&input[48_000..]);
        assert!(change.abs() < 1.5, "{change:.2} dB");
        let delay = lag(&input, &output, 2_000);
        let stated = DELAY_SAMPLES as f64;
        assert!((delay - stated).abs() < 1.0, "{delay} samples");
        // No phase is turned, so that it is the same sample by sample.
        let late = DELAY_SAMPLES;
        let distortion: Vec<f32> = output[48_000 + late..]
            .iter()
            .zip(&input[48_000..])
            .map(|(heard, sent)| heard - sent)
            .collect();
        let sdr_db = rms_db(&input[48_000..]) - rms_db(&distortion);
        assert!(sdr_db > 20.0, "{sdr_db:.1} dB");
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
