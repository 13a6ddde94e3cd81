//! A gain for each of RNNoise's bands, applied in the time domain by a filter of linear phase.
//!
//! The network's own way, gains on the bins of overlapping transforms, delays by a hop of 10 ms. A
//! symmetric filter of 4 ms with the same response delays by half its length and leaves every phase as
//! it is; where all gains are 1 it changes nothing. What it gives up is resolution: two bands nearer
//! than some 500 Hz share their gains.

use std::{f64::consts::PI, sync::LazyLock};

use nnnoiseless::EBAND_5MS;

use super::rnnoise::BANDS;
use crate::frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL};

/// Samples at 48 kHz by which it delays (2 ms); it has as many coefficients on either side of the
/// middle one.
pub(crate) const DELAY_SAMPLES: usize = 96;

/// Over so many samples of a frame one response turns into the next (5 ms).
const FADE: usize = SAMPLES_PER_CHANNEL / 2;

/// Steps between 0 Hz and half the sample rate in which responses are summed: 50 Hz.
const BINS: usize = SAMPLES_PER_CHANNEL;

/// The middle coefficient and those on one side of it.
type Coefficients = [f32; DELAY_SAMPLES + 1];

/// The filter of each band alone: a triangle from the band's neighbour below to the one above. They
/// add up to a response of 1.
static BAND_FILTERS: LazyLock<[Coefficients; BANDS]> =
    LazyLock::new(|| std::array::from_fn(band_filter));

/// One channel's filter.
pub(crate) struct BandFilter {
    coefficients: Coefficients,
    /// What the filter still needs of the past, and the frame.
    samples: [f32; 2 * DELAY_SAMPLES + SAMPLES_PER_CHANNEL],
}

impl BandFilter {
    /// A filter that lets everything pass.
    pub(crate) fn new() -> Self {
        let mut coefficients = [0.0; DELAY_SAMPLES + 1];
        coefficients[0] = 1.0;
        Self {
            coefficients,
            samples: [0.0; 2 * DELAY_SAMPLES + SAMPLES_PER_CHANNEL],
        }
    }

    /// Filters one frame in place, with these gains from now on.
    pub(crate) fn process(&mut self, gains: &[f32; BANDS], frame: &mut [f32; SAMPLES_PER_CHANNEL]) {
        let mut next = [0.0; DELAY_SAMPLES + 1];
        for (filter, gain) in BAND_FILTERS.iter().zip(gains) {
            for (sum, coefficient) in next.iter_mut().zip(filter) {
                *sum += gain * coefficient;
            }
        }
        self.samples.copy_within(SAMPLES_PER_CHANNEL.., 0);
        self.samples[2 * DELAY_SAMPLES..].copy_from_slice(frame);
        let mut before = [0.0; FADE];
        convolve(&self.coefficients, &self.samples, &mut before);
        convolve(&next, &self.samples, frame);
        for (n, (new, old)) in frame.iter_mut().zip(&before).enumerate() {
            let weight = (n + 1) as f32 / FADE as f32;
            *new = old + weight * (*new - old);
        }
        self.coefficients = next;
    }
}

/// The first `output.len()` samples of `samples` filtered. Coefficient by coefficient, which the
/// compiler turns into vector instructions.
fn convolve(coefficients: &Coefficients, samples: &[f32], output: &mut [f32]) {
    let length = output.len();
    let middle = &samples[DELAY_SAMPLES..][..length];
    for (sum, sample) in output.iter_mut().zip(middle) {
        *sum = coefficients[0] * sample;
    }
    for (away, coefficient) in coefficients.iter().enumerate().skip(1) {
        let older = &samples[DELAY_SAMPLES - away..][..length];
        let newer = &samples[DELAY_SAMPLES + away..][..length];
        for ((sum, older), newer) in output.iter_mut().zip(older).zip(newer) {
            *sum += coefficient * (older + newer);
        }
    }
}

/// The inverse Fourier transform of the band's triangle, under a Hann window.
fn band_filter(band: usize) -> Coefficients {
    std::array::from_fn(|away| {
        let sum: f64 = (0..=BINS)
            .map(|bin| {
                // Half-open at both ends of the spectrum.
                let share = if bin == 0 || bin == BINS { 0.5 } else { 1.0 };
                let turn = PI * (bin * away) as f64 / BINS as f64;
                share * response(band, bin) * turn.cos()
            })
            .sum();
        let window = 0.5 + 0.5 * (PI * away as f64 / (DELAY_SAMPLES + 1) as f64).cos();
        (sum / BINS as f64 * window) as f32
    })
}

/// What the band lets pass at a bin: 1 at its centre, nothing from its neighbours' centres on. The
/// first and the last band reach to the ends of the spectrum.
fn response(band: usize, bin: usize) -> f64 {
    let hz = bin as f64 * f64::from(SAMPLE_RATE_HZ) / 2.0 / BINS as f64;
    // The crate counts in steps of 200 Hz.
    let centre = |band: usize| EBAND_5MS[band] as f64 * 200.0;
    let here = centre(band);
    let neighbour = if hz < here {
        band.checked_sub(1).map(centre)
    } else {
        (band + 1 < BANDS).then(|| centre(band + 1))
    };
    neighbour.map_or(1.0, |there| {
        (1.0 - (hz - here).abs() / (there - here).abs()).max(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, noise, sine};

    fn filtered(gains: &[f32; BANDS], input: &[f32]) -> Vec<f32> {
        let mut filter = BandFilter::new();
        let mut output = Vec::new();
        for piece in input.as_chunks::<SAMPLES_PER_CHANNEL>().0 {
            let mut frame = *piece;
            filter.process(gains, &mut frame);
            output.extend_from_slice(&frame);
        }
        output
    }

    #[test]
    fn with_gains_of_one_it_only_delays() {
        let input = noise(0.5, 1, 48_000);
        let output = filtered(&[1.0; BANDS], &input);
        for (heard, sent) in output[DELAY_SAMPLES..].iter().zip(&input) {
            assert!((heard - sent).abs() < 1e-5, "{heard}, not {sent}");
        }
    }

    #[test]
    fn a_band_has_its_gain_and_no_phase() {
        // Wide bands: 1 at 4 kHz and below, a tenth from 8 kHz on.
        let mut gains = [1.0; BANDS];
        for (gain, centre) in gains.iter_mut().zip(EBAND_5MS) {
            if centre * 200 > 5_000 {
                *gain = 0.1;
            }
        }
        for (hz, expected_db) in [
            (300.0, 0.0),
            (3_000.0, 0.0),
            (9_600.0, -20.0),
            (22_000.0, -20.0),
        ] {
            let input = sine(hz, 0.5, 48_000, 48_000);
            let output = filtered(&gains, &input);
            let fit = fit_sine(&output[24_000 + DELAY_SAMPLES..], hz, 48_000);
            let change = fit.level_db - fit_sine(&input[24_000..], hz, 48_000).level_db;
            assert!(
                (change - expected_db).abs() < 0.3,
                "{hz} Hz: {change:.2} dB"
            );
            let turned = (fit.phase - fit_sine(&input[24_000..], hz, 48_000).phase).abs();
            assert!(turned < 0.02, "{hz} Hz: {turned} rad");
        }
    }

    #[test]
    fn a_change_of_gain_is_no_step() {
        let input = sine(300.0, 0.5, 48_000, 4_800);
        let mut filter = BandFilter::new();
        let mut output = Vec::new();
        for (index, piece) in input
            .as_chunks::<SAMPLES_PER_CHANNEL>()
            .0
            .iter()
            .enumerate()
        {
            let mut frame = *piece;
            let gain = if index < 5 { 1.0 } else { 0.0 };
            filter.process(&[gain; BANDS], &mut frame);
            output.extend_from_slice(&frame);
        }
        let steepest = |samples: &[f32]| {
            let steps = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
            steps.fold(0.0, f32::max)
        };
        assert!(steepest(&output) < 1.2 * steepest(&input));
        assert!(
            output[6 * SAMPLES_PER_CHANNEL..]
                .iter()
                .all(|sample| sample.abs() < 1e-5)
        );
    }
}
