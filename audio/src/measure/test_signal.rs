//! Signals and judgements for the tests of this crate.

use std::f64::consts::TAU;

use crate::frame::{Frame, SAMPLES_PER_CHANNEL};

/// A sine of `amplitude` and phase 0 at its first sample.
pub(crate) fn sine(
    frequency_hz: f64,
    amplitude: f32,
    sample_rate_hz: u32,
    count: usize,
) -> Vec<f32> {
    (0..count)
        .map(|n| {
            let phase = TAU * frequency_hz * n as f64 / f64::from(sample_rate_hz);
            (f64::from(amplitude) * phase.sin()) as f32
        })
        .collect()
}

/// White noise, evenly spread over ±`amplitude`, the same for the same seed.
pub(crate) fn noise(amplitude: f32, seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            amplitude * ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
        })
        .collect()
}

/// Noise as of a fan, with most of its power below 400 Hz, at some −20 dB of `amplitude`.
pub(crate) fn fan_noise(amplitude: f32, seed: u64, count: usize) -> Vec<f32> {
    let mut memory = 0.0;
    let white = noise(amplitude, seed, count).into_iter();
    white
        .map(|sample| {
            memory += 0.05 * (sample - memory);
            memory
        })
        .collect()
}

/// What [`fit_sine`] found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SineFit {
    /// Peak level of the sine, dB below full scale.
    pub(crate) level_db: f64,
    /// Phase at the first sample, in radians.
    pub(crate) phase: f64,
    /// The sine's power over that of everything else.
    pub(crate) sinad_db: f64,
}

/// The sine of `frequency_hz` that fits best in the least-squares sense.
pub(crate) fn fit_sine(samples: &[f32], frequency_hz: f64, sample_rate_hz: u32) -> SineFit {
    let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let step = TAU * frequency_hz / f64::from(sample_rate_hz);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        ss += sin * sin;
        cc += cos * cos;
        sc += sin * cos;
        xs += f64::from(sample) * sin;
        xc += f64::from(sample) * cos;
    }
    let determinant = ss * cc - sc * sc;
    let a = (xs * cc - xc * sc) / determinant;
    let b = (xc * ss - xs * sc) / determinant;
    let (mut signal, mut rest) = (0.0, 1e-30);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * n as f64).sin_cos();
        let fit = a * sin + b * cos;
        signal += fit * fit;
        rest += (f64::from(sample) - fit).powi(2);
    }
    SineFit {
        level_db: 20.0 * a.hypot(b).log10(),
        phase: b.atan2(a),
        sinad_db: 10.0 * (signal / rest).log10(),
    }
}

/// Seconds by which a sine that began with phase 0 lags, if less than one period.
/// `samples` begin at `first_sample` of the stream.
pub(crate) fn phase_delay_s(
    samples: &[f32],
    first_sample: u32,
    frequency_hz: f64,
    sample_rate_hz: u32,
) -> f64 {
    let phase = fit_sine(samples, frequency_hz, sample_rate_hz).phase;
    let expected = TAU * frequency_hz * f64::from(first_sample) / f64::from(sample_rate_hz);
    (expected - phase).rem_euclid(TAU) / (TAU * frequency_hz)
}

/// Root mean square, dB below full scale.
pub(crate) fn rms_db(samples: &[f32]) -> f64 {
    let sum: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    10.0 * (sum / samples.len() as f64 + 1e-30).log10()
}

/// The largest magnitude.
pub(crate) fn peak(samples: &[f32]) -> f32 {
    samples
        .iter()
        .fold(0.0, |peak, sample| peak.max(sample.abs()))
}

/// By how many samples `after` lags `before`, to a fraction of one: the peak of their
/// cross-correlation, searched from 0 to `most`.
pub(crate) fn lag(before: &[f32], after: &[f32], most: usize) -> f64 {
    let count = before.len().min(after.len()) - most - 1;
    let correlation: Vec<f64> = (0..=most + 1)
        .map(|lag| {
            let pairs = before[..count].iter().zip(&after[lag..lag + count]);
            pairs.map(|(&b, &a)| f64::from(b) * f64::from(a)).sum()
        })
        .collect();
    let best = (0..=most)
        .max_by(|&a, &b| correlation[a].total_cmp(&correlation[b]))
        .unwrap();
    if best == 0 {
        return 0.0;
    }
    let (left, top, right) = (
        correlation[best - 1],
        correlation[best],
        correlation[best + 1],
    );
    best as f64 + 0.5 * (left - right) / (left - 2.0 * top + right)
}

/// Interleaved samples, cut into frames and each handed to `process`. A rest is dropped.
pub(crate) fn run_blocks(
    channels: usize,
    samples: &[f32],
    mut process: impl FnMut(&mut Frame),
) -> Vec<f32> {
    let mut output = Vec::new();
    let mut frame = Frame::silence(channels);
    for piece in samples.chunks_exact(SAMPLES_PER_CHANNEL * channels) {
        frame.fill_from_interleaved(piece);
        process(&mut frame);
        frame.append_interleaved(&mut output);
    }
    output
}

/// Something like speech at 48 kHz: pulses at a gliding pitch through formants of changing vowels,
/// in syllables with pauses between. −23 dBFS on the whole, with peaks of −6 dBFS.
pub(crate) fn speech_like(seconds: usize) -> Vec<f32> {
    const VOWELS: [[f64; 3]; 4] = [
        [730.0, 1_090.0, 2_440.0],
        [270.0, 2_290.0, 3_010.0],
        [570.0, 840.0, 2_410.0],
        [530.0, 1_840.0, 2_480.0],
    ];
    let rate = 48_000.0;
    let mut phase = 0.0;
    let mut state = [[0.0_f64; 2]; 3];
    (0..seconds * 48_000)
        .map(|n| {
            let t = n as f64 / rate;
            let (syllable, within) = ((t / 0.25) as usize, (t / 0.25).fract());
            // Every fifth syllable is a pause.
            let loud = if syllable % 5 == 4 || within > 0.8 {
                0.0
            } else {
                (std::f64::consts::PI * within / 0.8).sin()
            };
            let pitch = 120.0 + 25.0 * (TAU * 0.7 * t).sin() + 15.0 * (1.0 - within);
            phase += pitch / rate;
            let pulse = if phase >= 1.0 {
                phase -= 1.0;
                1.0
            } else {
                0.0
            };
            let mut sample = 0.0;
            for (formant, memory) in VOWELS[syllable % 4].iter().zip(&mut state) {
                let radius = (-std::f64::consts::PI * 90.0 / rate).exp();
                let (b1, b2) = (
                    2.0 * radius * (TAU * formant / rate).cos(),
                    -radius * radius,
                );
                let out = pulse * loud + b1 * memory[0] + b2 * memory[1];
                memory[1] = memory[0];
                memory[0] = out;
                sample += out * formant / 3_000.0;
            }
            (0.075 * sample) as f32
        })
        .collect()
}
