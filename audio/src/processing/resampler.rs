//! Changing the sample rate: between a device or a leg and the 48 kHz of the processing chain.
//!
//! Runs wherever its owner runs (engine thread, a leg's task), never in a device callback: a call
//! costs some 13 µs for each 10 ms. Once its output has grown it allocates nothing.
//!
//! An adjustable one also stands between two clocks that run at nearly the same rate: its ratio is
//! steered by a [`DriftControl`](crate::DriftControl).

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Half the length of the filter, in samples at the lower of the two rates: what the resampler
/// delays by (0.7 ms at 48 kHz, 4 ms at 8 kHz).
const HALF_LENGTH: usize = 32;

/// Where the filter is down by 6 dB, as a part of the lower Nyquist frequency. At 8 kHz it keeps
/// the telephone band to 3.4 kHz; what it lets alias lies above that.
const CUTOFF: f32 = 0.94;

/// The most phases for which the filter is tabulated exactly.
const MAX_PHASES: u32 = 640;

/// Points between two samples at which it is tabulated otherwise.
const OVERSAMPLING: f64 = 128.0;

/// How far an adjustable ratio reaches to both sides, in parts per million: clocks differ by 200.
const MOST_PPM: f64 = 1_000.0;

/// More input than this is worked off in pieces, so that the inner buffers stay small.
const MAX_PIECE: usize = 1_024;

/// Two rates that the resampler cannot be set up for.
#[derive(Debug, thiserror::Error)]
pub enum ResamplerError {
    /// A rate or a channel count of 0, or rates further apart than anyone uses.
    #[error(
        "cannot resample {channels} channel(s) from {from_hz} Hz to {to_hz} Hz; accepted are 1 to 8 channels and rates from 1000 to 768000 Hz"
    )]
    Unsupported {
        /// Rate of the input.
        from_hz: u32,
        /// Rate of the output.
        to_hz: u32,
        /// Channels asked for.
        channels: usize,
    },
    /// The library refused what ought to have been possible.
    #[error("the resampling library refused {from_hz} Hz to {to_hz} Hz: {source}")]
    Library {
        /// Rate of the input.
        from_hz: u32,
        /// Rate of the output.
        to_hz: u32,
        /// What the library said.
        source: rubato::ResamplerConstructionError,
    },
}

/// A stream of samples at one rate, turned into one at another.
pub struct Resampler {
    /// `None` where both rates are the same: samples pass as they are.
    sinc: Option<Async<f32>>,
    channels: usize,
    delay_us: u32,
}

impl Resampler {
    /// A resampler from `from_hz` to `to_hz` for interleaved samples of `channels`.
    ///
    /// # Errors
    /// Rates outside 1–768 kHz, or not 1 to 8 channels.
    pub fn new(from_hz: u32, to_hz: u32, channels: usize) -> Result<Self, ResamplerError> {
        check(from_hz, to_hz, channels)?;
        if from_hz == to_hz {
            return Ok(Self {
                sinc: None,
                channels,
                delay_us: 0,
            });
        }
        Self::with_filter(
            from_hz,
            to_hz,
            channels,
            1.0,
            &Filter::between(from_hz, to_hz),
        )
    }

    /// The same, with a ratio that [`Resampler::set_relative_ratio`] moves. It filters (and delays)
    /// between equal rates, too, so that it can begin to move without a jump.
    ///
    /// # Errors
    /// As for [`Resampler::new`].
    pub fn adjustable(from_hz: u32, to_hz: u32, channels: usize) -> Result<Self, ResamplerError> {
        check(from_hz, to_hz, channels)?;
        let filter = Filter::adjustable(from_hz, to_hz);
        let reach = 1.0 + MOST_PPM * 1e-6;
        Self::with_filter(from_hz, to_hz, channels, reach, &filter)
    }

    fn with_filter(
        from_hz: u32,
        to_hz: u32,
        channels: usize,
        reach: f64,
        filter: &Filter,
    ) -> Result<Self, ResamplerError> {
        let sinc = Async::new_sinc(
            f64::from(to_hz) / f64::from(from_hz),
            reach,
            &SincInterpolationParameters {
                sinc_len: filter.length,
                f_cutoff: Some(CUTOFF),
                oversampling_factor: filter.points,
                interpolation: filter.interpolation,
                window: WindowFunction::BlackmanHarris,
            },
            MAX_PIECE,
            channels,
            FixedAsync::Input,
        )
        .map_err(|source| ResamplerError::Library {
            from_hz,
            to_hz,
            source,
        })?;
        Ok(Self {
            sinc: Some(sinc),
            channels,
            delay_us: filter.delay_us,
        })
    }

    /// Gives out so much more (above 1) or less than the two rates say, gliding there during the
    /// next [`Resampler::process`]. Kept within 1 ± 0.001; without effect unless it was made
    /// [`Resampler::adjustable`].
    pub fn set_relative_ratio(&mut self, relative: f64) {
        let reach = MOST_PPM * 1e-6;
        let relative = relative.clamp(1.0 / (1.0 + reach), 1.0 + reach);
        if let Some(adjustable) = self.sinc.as_mut().and_then(|sinc| sinc.as_adjustable()) {
            // Refused where the ratio is fixed.
            let _ = adjustable.set_resample_ratio_relative(relative, true);
        }
    }

    /// Resamples `input` (interleaved, any number of whole sample groups) and appends what comes of
    /// it to `output`. Never more than three samples per channel of the input are held back, so
    /// 10 ms in give 10 ms out, give or take a sample.
    pub fn process(&mut self, input: &[f32], output: &mut Vec<f32>) {
        debug_assert!(input.len().is_multiple_of(self.channels));
        let Some(sinc) = &mut self.sinc else {
            output.extend_from_slice(input);
            return;
        };
        for piece in input.chunks(MAX_PIECE * self.channels) {
            resample_piece(sinc, self.channels, piece, output);
        }
    }

    /// The delay that a resampler between these rates will have, in microseconds, without setting
    /// one up. Both rates must be acceptable to [`Resampler::new`].
    pub fn delay_us_between(from_hz: u32, to_hz: u32) -> u32 {
        if from_hz == to_hz {
            return 0;
        }
        Filter::between(from_hz, to_hz).delay_us
    }

    /// By how much the output lags the input, in microseconds; what is held back does not count, as
    /// it delays nothing that has been put out.
    pub fn delay_us(&self) -> u32 {
        self.delay_us
    }
}

fn check(from_hz: u32, to_hz: u32, channels: usize) -> Result<(), ResamplerError> {
    let rates = 1_000..=768_000;
    if rates.contains(&from_hz) && rates.contains(&to_hz) && (1..=8).contains(&channels) {
        return Ok(());
    }
    Err(ResamplerError::Unsupported {
        from_hz,
        to_hz,
        channels,
    })
}

/// Resamples up to [`MAX_PIECE`] samples per channel by making the library's chunk just as long.
fn resample_piece(sinc: &mut Async<f32>, channels: usize, piece: &[f32], output: &mut Vec<f32>) {
    let samples_in = piece.len() / channels;
    let start = output.len();
    let resized = sinc
        .as_resizable()
        .is_some_and(|resizable| resizable.set_chunk_size(samples_in).is_ok());
    let samples_out = sinc.output_frames_next();
    output.resize(start + samples_out * channels, 0.0);
    let from = InterleavedSlice::new(piece, channels, samples_in);
    let into = InterleavedSlice::new_mut(&mut output[start..], channels, samples_out);
    let done = match (resized, from, into) {
        (true, Ok(from), Ok(mut into)) => sinc.process_into_buffer(&from, &mut into, None).is_ok(),
        _ => false,
    };
    debug_assert!(done, "every size here is the library's own");
}

/// The low-pass between two rates, as the library wants it described.
struct Filter {
    /// Samples of the input.
    length: usize,
    /// Points between two samples at which it is tabulated.
    points: usize,
    interpolation: SincInterpolationType,
    delay_us: u32,
}

impl Filter {
    fn between(from_hz: u32, to_hz: u32) -> Self {
        // Between usual rates the output falls on few phases (160 from 44.1 to 48 kHz). With the
        // table made of just these, reading the nearest point is exact, and takes half the time of
        // interpolating; it also keeps clear of the library's rounding slip (rubato 5.0.1): right
        // on a point, its linear form can take the neighbour instead.
        let phases = to_hz / gcd(from_hz, to_hz);
        if phases <= MAX_PHASES {
            let points = phases as usize;
            Self::new(from_hz, to_hz, points, SincInterpolationType::Nearest)
        } else {
            Self::adjustable(from_hz, to_hz)
        }
    }

    fn adjustable(from_hz: u32, to_hz: u32) -> Self {
        // A filter that was made longer is smoother by as much.
        let points = (OVERSAMPLING / downwards(from_hz, to_hz)).ceil() as usize;
        Self::new(from_hz, to_hz, points, SincInterpolationType::Linear)
    }

    fn new(from_hz: u32, to_hz: u32, points: usize, interpolation: SincInterpolationType) -> Self {
        // The library's filter is measured in input samples; going down it has to be longer by the
        // ratio, or it would not be steep enough for the lower rate.
        let length = (2 * HALF_LENGTH) as f64 * downwards(from_hz, to_hz);
        let length = (length / 8.0).ceil() as usize * 8;
        // The library's first output stands one output interval after its first input, and its
        // table begins one point after the middle.
        let samples =
            (length / 2) as f64 - f64::from(from_hz) / f64::from(to_hz) - 1.0 / points as f64;
        Self {
            length,
            points,
            interpolation,
            delay_us: (samples * 1e6 / f64::from(from_hz)).round() as u32,
        }
    }
}

fn downwards(from_hz: u32, to_hz: u32) -> f64 {
    f64::from(from_hz.max(to_hz)) / f64::from(to_hz)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, phase_delay_s, sine};

    fn resample(
        from_hz: u32,
        to_hz: u32,
        channels: usize,
        input: &[f32],
        piece: usize,
    ) -> Vec<f32> {
        let mut resampler = Resampler::new(from_hz, to_hz, channels).unwrap();
        let mut output = Vec::new();
        for piece in input.chunks(piece * channels) {
            resampler.process(piece, &mut output);
        }
        output
    }

    const RATES: [(u32, u32); 10] = [
        (44_100, 48_000),
        (48_000, 44_100),
        (8_000, 48_000),
        (48_000, 8_000),
        (16_000, 48_000),
        (192_000, 48_000),
        (48_000, 192_000),
        (22_050, 48_000),
        (12_345, 48_000),
        (48_000, 12_345),
    ];

    #[test]
    fn a_tone_keeps_frequency_level_and_purity() {
        for (from, to) in RATES {
            let input = sine(1_000.0, 0.5, from, from as usize);
            let output = resample(from, to, 1, &input, from as usize / 100);
            let fit = fit_sine(&output[to as usize / 10..], 1_000.0, to);
            assert!((fit.level_db - -6.02).abs() < 0.02, "{from}→{to}: {fit:?}");
            assert!(fit.sinad_db > 90.0, "{from}→{to}: {fit:?}");
        }
    }

    #[test]
    fn the_telephone_band_survives_8_khz_both_ways() {
        for frequency in [300.0, 2_000.0, 3_200.0, 3_400.0] {
            let input = sine(frequency, 0.5, 8_000, 8_000);
            let there = resample(8_000, 48_000, 1, &input, 160);
            let back = resample(48_000, 8_000, 1, &there, 480);
            let fit = fit_sine(&back[800..], frequency, 8_000);
            assert!((fit.level_db - -6.02).abs() < 0.5, "{frequency}: {fit:?}");
            assert!(fit.sinad_db > 50.0, "{frequency}: {fit:?}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed() {
        for frequency in [4_500.0, 6_000.0, 15_000.0] {
            let input = sine(frequency, 0.5, 48_000, 48_000);
            let output = resample(48_000, 8_000, 1, &input, 480);
            let peak = output[800..]
                .iter()
                .fold(0.0_f32, |peak, s| peak.max(s.abs()));
            assert!(peak < 0.000_5, "{frequency}: {peak}");
        }
    }

    #[test]
    fn the_count_is_right_after_ten_seconds_and_in_each_piece() {
        for (from, to) in RATES {
            for pieces_per_second in [400, 100, 50, 7] {
                let mut resampler = Resampler::new(from, to, 1).unwrap();
                let mut output = Vec::new();
                let input = vec![0.0; from as usize];
                let mut samples_in = 0;
                for _ in 0..10 {
                    for piece in input.chunks(from as usize / pieces_per_second) {
                        resampler.process(piece, &mut output);
                        samples_in += piece.len() as u64;
                        let due = samples_in * u64::from(to) / u64::from(from);
                        let held_back = due - output.len() as u64;
                        let most = 3 * u64::from(to) / u64::from(from) + 1;
                        assert!(held_back <= most, "{from}→{to}: {held_back} > {most}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_delay_is_the_one_stated() {
        for (from, to) in RATES {
            let input = sine(50.0, 0.5, from, from as usize);
            let output = resample(from, to, 1, &input, from as usize / 100);
            let stated = f64::from(Resampler::new(from, to, 1).unwrap().delay_us());
            let measured = 1e6 * phase_delay_s(&output[to as usize / 10..], to / 10, 50.0, to);
            assert!(
                (measured - stated).abs() < 0.7,
                "{from}→{to}: {measured} µs, not {stated}"
            );
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_same_samples() {
        let input = sine(1_234.5, 0.7, 44_100, 20_000);
        let whole = resample(44_100, 48_000, 1, &input, 1_024);
        for piece in [1, 7, 441, 20_000] {
            let pieces = resample(44_100, 48_000, 1, &input, piece);
            // What a single sample cannot push through yet is the only difference.
            assert!(pieces.len().abs_diff(whole.len()) <= 1, "{piece}");
            for (a, b) in pieces.iter().zip(&whole) {
                assert!((a - b).abs() < 1e-5, "{piece}: {a} {b}");
            }
        }
    }

    #[test]
    fn channels_stay_apart() {
        let left = sine(400.0, 0.5, 44_100, 44_100);
        let input: Vec<f32> = left.iter().flat_map(|&sample| [sample, 0.0]).collect();
        let output = resample(44_100, 48_000, 2, &input, 441);
        let left: Vec<f32> = output.iter().step_by(2).copied().collect();
        assert!((fit_sine(&left[4_800..], 400.0, 48_000).level_db - -6.02).abs() < 0.02);
        assert!(
            output
                .iter()
                .skip(1)
                .step_by(2)
                .all(|&sample| sample == 0.0)
        );
    }

    #[test]
    fn equal_rates_pass_samples_untouched() {
        let input = sine(1_000.0, 0.5, 48_000, 481);
        assert_eq!(resample(48_000, 48_000, 1, &input, 17), input);
        assert_eq!(Resampler::new(48_000, 48_000, 2).unwrap().delay_us(), 0);
    }

    #[test]
    fn nothing_grows_once_it_is_warm() {
        let mut resampler = Resampler::new(44_100, 48_000, 2).unwrap();
        let mut output = Vec::with_capacity(2 * 490);
        let before = output.capacity();
        for _ in 0..1_000 {
            output.clear();
            resampler.process(&[0.1; 882], &mut output);
        }
        assert_eq!(output.capacity(), before);
    }

    #[test]
    fn an_adjustable_one_keeps_tone_and_delay_at_equal_rates_and_others() {
        for (from, to) in [(48_000, 48_000), (8_000, 8_000), (48_000, 44_100)] {
            for hz in [1_000.0, 3_000.0] {
                let input = sine(hz, 0.5, from, 2 * from as usize);
                let mut resampler = Resampler::adjustable(from, to, 1).unwrap();
                let mut output = Vec::new();
                resampler.process(&input, &mut output);
                let fit = fit_sine(&output[to as usize / 10..], hz, to);
                assert!((fit.level_db - -6.02).abs() < 0.05, "{from}→{to}: {fit:?}");
                assert!(fit.sinad_db > 80.0, "{from}→{to} {hz}: {fit:?}");
            }
            let input = sine(50.0, 0.5, from, from as usize);
            let mut resampler = Resampler::adjustable(from, to, 1).unwrap();
            let mut output = Vec::new();
            resampler.process(&input, &mut output);
            let stated = f64::from(resampler.delay_us());
            let measured = 1e6 * phase_delay_s(&output[to as usize / 10..], to / 10, 50.0, to);
            assert!((measured - stated).abs() < 1.0, "{measured}, not {stated}");
        }
    }

    #[test]
    fn the_relative_ratio_changes_count_and_pitch_and_glides() {
        for relative in [1.0 - 500e-6, 1.0, 1.0 + 200e-6] {
            let mut resampler = Resampler::adjustable(48_000, 48_000, 1).unwrap();
            let input = sine(1_000.0, 0.5, 48_000, 20 * 48_000);
            let mut output = Vec::new();
            for (index, piece) in input.chunks(120).enumerate() {
                if index == 400 {
                    resampler.set_relative_ratio(relative);
                }
                resampler.process(piece, &mut output);
            }
            let expected = 48_000.0 + 19.0 * 48_000.0 * relative;
            assert!((output.len() as f64 - expected).abs() < 4.0, "{relative}");
            let fit = fit_sine(&output[96_000..144_000], 1_000.0 / relative, 48_000);
            assert!(fit.sinad_db > 80.0, "{relative} {fit:?}");
            // No click where it changed: a tone cannot step farther than its slope, nor bend more
            // than its curvature.
            let bend = |w: &[f32]| (w[2] - 2.0 * w[1] + w[0]).abs();
            let most = output[1_000..].windows(3).map(bend).fold(0.0, f32::max);
            assert!(most < 0.5 * (std::f32::consts::TAU / 48.0).powi(2) * 1.01);
        }
    }

    #[test]
    fn a_ratio_out_of_reach_is_kept_in_reach_and_a_fixed_one_is_not_moved() {
        for (mut resampler, relative, expected) in [
            (Resampler::adjustable(48_000, 48_000, 1), 2.0, 48_048),
            (Resampler::adjustable(48_000, 48_000, 1), 0.0, 47_952),
            (Resampler::new(48_000, 44_100, 1), 2.0, 44_100),
            (Resampler::new(48_000, 48_000, 1), 2.0, 48_000),
        ]
        .map(|(made, relative, expected)| (made.unwrap(), relative, expected))
        {
            let mut output = Vec::new();
            resampler.process(&[0.1; 480], &mut output);
            output.clear();
            resampler.set_relative_ratio(relative);
            for _ in 0..100 {
                resampler.process(&[0.1; 480], &mut output);
            }
            assert!(output.len().abs_diff(expected) <= 2, "{}", output.len());
        }
    }

    #[test]
    fn steering_allocates_nothing_once_it_is_warm() {
        let mut resampler = Resampler::adjustable(48_000, 48_000, 1).unwrap();
        let mut output = Vec::with_capacity(490);
        let before = (output.capacity(), output.as_ptr());
        for index in 0..10_000 {
            output.clear();
            resampler.set_relative_ratio(1.0 + f64::from(index % 7 - 3) * 1e-4);
            resampler.process(&[0.1; 480], &mut output);
            assert!((477..=482).contains(&output.len()), "{}", output.len());
        }
        assert_eq!((output.capacity(), output.as_ptr()), before);
    }

    #[test]
    fn impossible_rates_are_refused_by_name() {
        for (from, to, channels) in [(0, 48_000, 1), (48_000, 0, 1), (48_000, 44_100, 0)] {
            let error = Resampler::new(from, to, channels)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(&format!("{from} Hz to {to} Hz")), "{error}");
        }
    }
}
