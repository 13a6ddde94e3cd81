//! High-pass filter: removes hum, rumble and a microphone's direct current below the voice.

use biquad::{Biquad, Coefficients, DirectForm2Transposed, Q_BUTTERWORTH_F64, ToHertz, Type};

use crate::frame::{Frame, SAMPLE_RATE_HZ};

/// Where it is 3 dB down. Below any voice's fundamental that matters, above mains hum.
const CORNER_HZ: f64 = 100.0;

/// A second-order Butterworth high-pass (12 dB an octave).
///
/// It delays nothing by design; its phase moves the lowest voices by about a millisecond.
pub(super) struct HighPass {
    // In f64: at 100 Hz of 48 kHz the poles lie so close to 1 that f32 would be audible.
    channels: [DirectForm2Transposed<f64>; 2],
}

impl HighPass {
    /// A filter for up to two channels.
    pub(super) fn new() -> Self {
        let coefficients = Coefficients::from_params(
            Type::HighPass,
            f64::from(SAMPLE_RATE_HZ).hz(),
            CORNER_HZ.hz(),
            Q_BUTTERWORTH_F64,
        )
        .expect("the corner lies below the Nyquist frequency, and Q is positive");
        Self {
            channels: [DirectForm2Transposed::new(coefficients); 2],
        }
    }

    /// Filters one frame in place.
    pub(super) fn process(&mut self, frame: &mut Frame) {
        for (filter, samples) in self.channels.iter_mut().zip(frame.channels_mut()) {
            for sample in samples {
                *sample = filter.run(f64::from(*sample)) as f32;
            }
        }
    }
}

impl Default for HighPass {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, run_blocks, sine};

    fn gain_db(frequency_hz: f64) -> f64 {
        let input = sine(frequency_hz, 0.5, 48_000, 96_000);
        let mut filter = HighPass::new();
        let output = run_blocks(1, &input, |frame| filter.process(frame));
        fit_sine(&output[48_000..], frequency_hz, 48_000).level_db - 20.0 * 0.5_f64.log10()
    }

    #[test]
    fn hum_goes_and_the_voice_stays() {
        // |H|² = 1 / (1 + (fc/f)⁴)
        for frequency in [20.0_f64, 50.0, 100.0, 200.0, 1_000.0, 10_000.0] {
            let expected = -10.0 * (1.0 + (100.0 / frequency).powi(4)).log10();
            let measured = gain_db(frequency);
            assert!(
                (measured - expected).abs() < 0.1,
                "{frequency} Hz: {measured:.2} dB"
            );
        }
        assert!(gain_db(50.0) < -12.0);
        assert!(gain_db(1_000.0) > -0.01);
    }

    #[test]
    fn direct_current_is_removed_from_both_channels() {
        let mut filter = HighPass::new();
        let output = run_blocks(2, &vec![0.3; 96_000], |frame| filter.process(frame));
        assert!(output[90_000..].iter().all(|sample| sample.abs() < 1e-5));
    }
}
