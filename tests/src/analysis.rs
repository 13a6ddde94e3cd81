//! What a recording says: delay, level, gaps, frequency, likeness. Pure functions of samples; mono,
//! full scale ±1. A level in dBFS is that of the RMS, so that a full-scale sine has -3.01 dBFS.

use realfft::{RealFftPlanner, num_complex::Complex};

/// Length of the pieces whose delay is measured one by one.
const WINDOW_SECONDS: f64 = 0.5;

/// The longest delay that is looked for.
pub const MAX_DELAY_MS: f64 = 1500.0;

/// Below this, a window of the reference has nothing whose delay could be measured.
const AUDIBLE_DBFS: f64 = -45.0;

/// Gaps are looked for in steps of this length.
const GAP_STEP_SECONDS: f64 = 0.005;

/// A step of the reference above this ought to be heard.
const ACTIVE_DBFS: f64 = -40.0;

/// A step below this is silence: no codec and no noise suppressor gets there while somebody speaks.
const SILENT_DBFS: f64 = -75.0;

/// The delay of one window of a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// Where the window begins in the reference, in milliseconds.
    pub at_ms: f64,
    /// How much later the other signal has it, in milliseconds.
    pub delay_ms: f64,
    /// How alike the two are there: 1 the same shape, 0 nothing in common, -1 upside down.
    pub correlation: f64,
}

/// Measures, for each half second of `reference`, how much later it stands in `delayed`: the shift
/// of 0 to [`MAX_DELAY_MS`] with the highest normalised cross-correlation. Windows that are silent in
/// the reference, or whose delayed counterpart is not wholly recorded, are left out.
pub fn delays(reference: &[f32], delayed: &[f32], rate: u32) -> Vec<Delay> {
    let window = (WINDOW_SECONDS * f64::from(rate)) as usize;
    let reach = (MAX_DELAY_MS / 1000.0 * f64::from(rate)) as usize;
    let mut correlator = Correlator::new(window, window + reach);
    let mut found = Vec::new();
    for start in (0..).step_by(window) {
        let Some(part) = reference.get(start..start + window) else {
            break;
        };
        let Some(within) = delayed.get(start..start + window + reach) else {
            break;
        };
        if rms_dbfs(part) < AUDIBLE_DBFS {
            continue;
        }
        let (shift, correlation) = correlator.best_shift(part, within);
        let ms = |samples: usize| samples as f64 * 1000.0 / f64::from(rate);
        found.push(Delay {
            at_ms: ms(start),
            delay_ms: ms(shift),
            correlation,
        });
    }
    found
}

/// Cross-correlation by FFT for windows of one length.
struct Correlator {
    planner: RealFftPlanner<f64>,
    window: usize,
    length: usize,
}

impl Correlator {
    fn new(window: usize, within: usize) -> Self {
        Self {
            planner: RealFftPlanner::new(),
            window,
            // No wrap-around among the shifts that are looked at needs no more than this.
            length: within.next_power_of_two(),
        }
    }

    /// The shift at which `within` is most like `part`, and the correlation coefficient there.
    fn best_shift(&mut self, part: &[f32], within: &[f32]) -> (usize, f64) {
        let reference = self.spectrum(part);
        let mut product = self.spectrum(within);
        for (bin, reference) in product.iter_mut().zip(&reference) {
            *bin *= reference.conj();
        }
        // Rounding leaves a trace of an imaginary part where there can be none.
        if let [first, .., last] = &mut product[..] {
            first.im = 0.0;
            last.im = 0.0;
        }
        let inverse = self.planner.plan_fft_inverse(self.length);
        let mut correlation = inverse.make_output_vec();
        inverse
            .process(&mut product, &mut correlation)
            .expect("the buffers fit the plan");

        let energy = |samples: &[f32]| -> f64 {
            samples
                .iter()
                .map(|&sample| f64::from(sample).powi(2))
                .sum()
        };
        let reference_energy = energy(part);
        // Silence correlates with nothing; the floor keeps its rounding errors from saying otherwise.
        let floor = reference_energy * 1e-9;
        let mut energy = energy(&within[..self.window]);
        let mut best = (0, -1.0);
        for shift in 0..=within.len() - self.window {
            let scale = (reference_energy * energy.max(floor)).sqrt() * self.length as f64;
            let coefficient = correlation[shift] / scale;
            if coefficient > best.1 {
                best = (shift, coefficient);
            }
            if let Some(&entering) = within.get(shift + self.window) {
                energy += f64::from(entering).powi(2) - f64::from(within[shift]).powi(2);
            }
        }
        best
    }

    fn spectrum(&mut self, samples: &[f32]) -> Vec<Complex<f64>> {
        let forward = self.planner.plan_fft_forward(self.length);
        let mut input = forward.make_input_vec();
        for (to, &from) in input.iter_mut().zip(samples) {
            *to = f64::from(from);
        }
        let mut output = forward.make_output_vec();
        forward
            .process(&mut input, &mut output)
            .expect("the buffers fit the plan");
        output
    }
}

/// The value below which `percent` of `values` lie (nearest rank); NaN when there are none.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The level of a signal's RMS in dBFS; minus infinity for silence.
pub fn rms_dbfs(samples: &[f32]) -> f64 {
    let sum: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    10.0 * (sum / samples.len().max(1) as f64).log10()
}

/// The longest time, in milliseconds, for which `delayed` was silent though `reference`, `delay_ms`
/// before, was not. Pauses of the reference neither count nor end a gap.
pub fn longest_gap_ms(reference: &[f32], delayed: &[f32], rate: u32, delay_ms: f64) -> f64 {
    let step = (GAP_STEP_SECONDS * f64::from(rate)) as usize;
    let shift = (delay_ms / 1000.0 * f64::from(rate)).round() as usize;
    let shifted = delayed.get(shift..).unwrap_or_default();
    let (mut longest, mut current) = (0, 0);
    for (reference, heard) in reference.chunks_exact(step).zip(shifted.chunks_exact(step)) {
        if rms_dbfs(reference) < ACTIVE_DBFS {
            continue;
        }
        current = if rms_dbfs(heard) < SILENT_DBFS {
            current + 1
        } else {
            0
        };
        longest = longest.max(current);
    }
    f64::from(longest) * GAP_STEP_SECONDS * 1000.0
}

/// The strongest frequency of a signal, in Hz: the highest bin of its spectrum under a Hann window,
/// refined by a parabola through the logarithms of the three bins around it.
pub fn dominant_frequency(samples: &[f32], rate: u32) -> f64 {
    let mut planner = RealFftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(samples.len());
    let length = samples.len() as f64;
    let mut input: Vec<f64> = samples
        .iter()
        .enumerate()
        .map(|(n, &sample)| {
            let phase = std::f64::consts::PI * n as f64 / length;
            f64::from(sample) * phase.sin().powi(2)
        })
        .collect();
    let mut spectrum = forward.make_output_vec();
    forward
        .process(&mut input, &mut spectrum)
        .expect("the buffers fit the plan");
    let power: Vec<f64> = spectrum.iter().map(|bin| bin.norm_sqr() + 1e-30).collect();
    let inner = 1..power.len().saturating_sub(1);
    let Some(peak) = inner.max_by(|&a, &b| power[a].total_cmp(&power[b])) else {
        return 0.0;
    };
    let (left, middle, right) = (power[peak - 1].ln(), power[peak].ln(), power[peak + 1].ln());
    let curvature = left - 2.0 * middle + right;
    let offset = if curvature < 0.0 {
        (left - right) / (2.0 * curvature)
    } else {
        0.0
    };
    (peak as f64 + offset) * f64::from(rate) / length
}

/// Scale-invariant signal-to-distortion ratio of `estimate`, in dB (Le Roux et al., "SDR: half-baked
/// or well done?", 2019). The two must already be aligned.
pub fn si_sdr(reference: &[f32], estimate: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let length = reference.len().min(estimate.len());
    let (reference, estimate) = (&reference[..length], &estimate[..length]);
    let scale = dot(estimate, reference) / dot(reference, reference);
    let error: f64 = reference
        .iter()
        .zip(estimate)
        .map(|(&reference, &estimate)| (f64::from(estimate) - scale * f64::from(reference)).powi(2))
        .sum();
    10.0 * (scale.powi(2) * dot(reference, reference) / error).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rig::RATE,
        signals::{chirp, repeated, tone},
    };

    fn delayed(signal: &[f32], samples: usize, gain: f32) -> Vec<f32> {
        let mut delayed = vec![0.0; samples];
        delayed.extend(signal.iter().map(|sample| sample * gain));
        delayed.resize(signal.len(), 0.0);
        delayed
    }

    #[test]
    fn delay_is_exact_at_any_level() {
        let signal = chirp(300.0, 3000.0, 6.0, 0.5);
        let found = delays(&signal, &delayed(&signal, 2_881, 0.01), RATE);
        assert_eq!(found.len(), 9, "of 6 s less the reach of 1.5 s");
        for delay in found {
            assert!((delay.delay_ms - 60.02).abs() < 0.01, "{delay:?}");
            assert!(delay.correlation > 0.999, "{delay:?}");
        }
    }

    #[test]
    fn a_delay_that_grows_is_seen_growing() {
        let signal = chirp(300.0, 3000.0, 6.0, 0.5);
        let mut stretched = delayed(&signal, 480, 1.0);
        let at = 2 * RATE as usize;
        stretched.splice(at..at, vec![0.0; 960]);
        let found = delays(&signal, &stretched, RATE);
        let ends = found.first().zip(found.last()).expect("windows");
        assert!((ends.0.delay_ms - 10.0).abs() < 0.01, "{found:?}");
        assert!((ends.1.delay_ms - 30.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn silence_and_strangers_do_not_correlate() {
        let signal = chirp(300.0, 3000.0, 4.0, 0.5);
        let silent = vec![0.0; signal.len()];
        assert!(
            delays(&silent, &signal, RATE).is_empty(),
            "a silent reference"
        );
        let other = tone(150.0, 4.0, 0.5);
        for delay in delays(&signal, &silent, RATE)
            .iter()
            .chain(&delays(&signal, &other, RATE))
        {
            assert!(delay.correlation < 0.3, "{delay:?}");
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values = [30.0, 10.0, 20.0, 40.0];
        assert_eq!(percentile(&values, 50.0), 20.0);
        assert_eq!(percentile(&values, 95.0), 40.0);
        assert_eq!(percentile(&values, 0.0), 10.0);
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn level_of_a_sine() {
        assert!((rms_dbfs(&tone(1000.0, 1.0, 1.0)) - -3.01).abs() < 0.01);
        assert!((rms_dbfs(&tone(1000.0, 1.0, 0.1)) - -23.01).abs() < 0.01);
        assert_eq!(rms_dbfs(&[0.0; 10]), f64::NEG_INFINITY);
    }

    #[test]
    fn a_hole_is_found_and_a_pause_is_not() {
        let mut signal = tone(400.0, 2.0, 0.3);
        signal[30_000..40_000].fill(0.0);
        let mut heard = delayed(&signal, 480, 0.5);
        assert_eq!(longest_gap_ms(&signal, &heard, RATE, 10.0), 0.0);
        // 40 ms, of which 20 ms fall into the pause.
        heard[480 + 30_000 - 960..480 + 30_000 + 960].fill(0.0);
        assert_eq!(longest_gap_ms(&signal, &heard, RATE, 10.0), 20.0);
        // 60 ms of what a decoder leaves of silence.
        heard[60_000..60_000 + 2_880].fill(1e-4);
        let gap = longest_gap_ms(&signal, &heard, RATE, 10.0);
        assert!((50.0..=60.0).contains(&gap), "{gap} ms");
    }

    #[test]
    fn frequency_between_two_bins() {
        let found = dominant_frequency(&tone(443.21, 0.5, 0.2), RATE);
        assert!((found - 443.21).abs() < 0.05, "{found} Hz");
    }

    #[test]
    fn si_sdr_sees_noise_and_not_gain() {
        let signal = tone(500.0, 1.0, 0.5);
        let loud: Vec<f32> = signal.iter().map(|sample| sample * 3.0).collect();
        assert!(si_sdr(&signal, &loud) > 100.0);
        let hum = repeated(&tone(3000.0, 1.0, 0.05), 1.0);
        let noisy: Vec<f32> = signal.iter().zip(&hum).map(|(a, b)| a + b).collect();
        let ratio = si_sdr(&signal, &noisy);
        assert!((ratio - 20.0).abs() < 0.1, "{ratio} dB");
    }
}
