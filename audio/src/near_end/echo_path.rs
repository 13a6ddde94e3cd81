//! The way from a speaker to a microphone: how long a known sound takes on it, and how loud it
//! arrives. Pure.
//!
//! A matched filter finds the sound far below what else the microphone hears: the recording, with
//! only its phase left so that speech does not hide it, is correlated with the sound. When the
//! sound was played several times, the correlations are added where it was played.

use std::time::Duration;

use rustfft::{FftPlanner, num_complex::Complex32};

use super::phase_only::ShortTime;
use crate::measure::amplitude_to_dbfs;

/// The search works at this rate or a little above, which is enough for sounds up to 4 kHz.
const MIN_RATE_HZ: u32 = 16_000;

/// A search that finds something in noise alone is rarer than one in ten to this power.
const MIN_CONFIDENCE: f32 = 7.0;

/// Losses that a search is tried with when it has found nothing, in dB.
const TRIED_LOSSES_DB: [f32; 13] = [
    60.0, 55.0, 50.0, 45.0, 40.0, 35.0, 30.0, 25.0, 20.0, 15.0, 10.0, 5.0, 0.0,
];

/// The sound that is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    samples: Vec<f32>,
    rate_hz: u32,
}

impl Probe {
    /// `samples` (mono) at `rate_hz`. Best is a sound of many frequencies below 4 kHz.
    pub fn new(samples: Vec<f32>, rate_hz: u32) -> Self {
        Self { samples, rate_hz }
    }

    /// A chirp from 300 to 3,400 Hz, which every speaker and microphone carries, of amplitude
    /// `peak`.
    pub fn chirp(length: Duration, peak: f32, rate_hz: u32) -> Self {
        const FROM_HZ: f32 = 300.0;
        const TO_HZ: f32 = 3_400.0;
        const FADE_S: f32 = 0.008;
        let (rate, seconds) = (rate_hz as f32, length.as_secs_f32());
        let count = (seconds * rate) as usize;
        let samples = (0..count).map(|index| {
            let t = index as f32 / rate;
            let turns = FROM_HZ * t + (TO_HZ - FROM_HZ) * t * t / (2.0 * seconds);
            let fade = index.min(count - index) as f32 / (FADE_S * rate);
            peak * fade.min(1.0) * (std::f32::consts::TAU * turns.fract()).sin()
        });
        Self::new(samples.collect(), rate_hz)
    }

    /// The samples, mono.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples per second.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }
}

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measurement {
    /// The microphone hears the speaker.
    Heard(EchoPath),
    /// It does not, or too weakly for this search.
    NotHeard {
        /// The least gain in dB at which the sound would have been found beside all else that the
        /// microphone heard; 0 if not even that.
        detectable_db: f32,
    },
}

/// The way from a speaker to a microphone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EchoPath {
    /// From where the sound was played to where it arrived.
    pub lag: Duration,
    /// The level of what arrived against what was played, in dB.
    pub gain_db: f32,
    /// Noise alone would look like this once in ten to this power of searches.
    pub confidence: f32,
}

/// Looks for `probe`, which was played when the `starts`-th samples of `recording` (mono, at the
/// probe's rate) were recorded, or at most `max_lag` later.
pub fn find(recording: &[f32], probe: &Probe, starts: &[usize], max_lag: Duration) -> Measurement {
    let factor = (probe.rate_hz / MIN_RATE_HZ).max(1) as usize;
    let rate_hz = probe.rate_hz / factor as u32;
    let search = Search {
        probe: decimated(&probe.samples, factor),
        starts: starts.iter().map(|start| start / factor).collect(),
        lags: (max_lag.as_secs_f32() * rate_hz as f32) as usize,
        rate_hz,
        short_time: ShortTime::new(rate_hz),
    };
    let recording = decimated(recording, factor);
    let (lag, confidence) = search.best(&recording);
    if confidence >= MIN_CONFIDENCE {
        Measurement::Heard(EchoPath {
            lag: Duration::from_secs_f64(lag as f64 / f64::from(rate_hz)),
            gain_db: amplitude_to_dbfs(search.gain(&recording, lag)),
            confidence,
        })
    } else {
        Measurement::NotHeard {
            detectable_db: search.detectable_db(&recording),
        }
    }
}

struct Search {
    probe: Vec<f32>,
    /// Where it was played.
    starts: Vec<usize>,
    /// How many lags to look at.
    lags: usize,
    rate_hz: u32,
    short_time: ShortTime,
}

impl Search {
    /// The likeliest lag in samples, and how sure it is.
    fn best(&self, recording: &[f32]) -> (usize, f32) {
        let white = self.short_time.phase_only(recording);
        let mut sums = vec![0.0; self.lags];
        let mut count = 0;
        for &start in &self.starts {
            let Some(heard) = white.get(start..) else {
                continue;
            };
            let mut powers = self.correlation_powers(heard);
            let mean = median(&powers) / std::f32::consts::LN_2;
            if mean <= f32::MIN_POSITIVE {
                continue;
            }
            count += 1;
            for power in &mut powers {
                *power /= mean;
            }
            for (sum, power) in sums.iter_mut().zip(powers) {
                *sum += power;
            }
        }
        let peak = (0..self.lags).max_by(|&a, &b| sums[a].total_cmp(&sums[b]));
        match peak {
            Some(lag) if count > 0 => (lag, confidence(sums[lag], count, self.lags)),
            _ => (0, 0.0),
        }
    }

    /// For each lag the power of the correlation's envelope.
    fn correlation_powers(&self, heard: &[f32]) -> Vec<f32> {
        let wanted = self.probe.len() + self.lags;
        let length = wanted.next_power_of_two();
        let mut planner = FftPlanner::new();
        let spectrum = |samples: &[f32]| {
            let mut spectrum: Vec<_> = samples.iter().map(|&s| Complex32::new(s, 0.0)).collect();
            spectrum.resize(length, Complex32::ZERO);
            FftPlanner::new()
                .plan_fft_forward(length)
                .process(&mut spectrum);
            spectrum
        };
        let probe = spectrum(&self.probe);
        let mut product = spectrum(&heard[..heard.len().min(wanted)]);
        for (value, probe) in product.iter_mut().zip(&probe) {
            *value *= probe.conj();
        }
        // Without negative frequencies it is the analytic signal, whose magnitude is the envelope.
        product[length / 2..].fill(Complex32::ZERO);
        planner.plan_fft_inverse(length).process(&mut product);
        product[..self.lags]
            .iter()
            .map(Complex32::norm_sqr)
            .collect()
    }

    /// The amplitude of the probe in the recording at this lag against the probe's own: the least
    /// squares, each part weighed by how little else there is.
    fn gain(&self, recording: &[f32], lag: usize) -> f32 {
        let played = self.played(recording.len(), lag, 1.0);
        let heard = self.short_time.spectra(recording);
        let played = self.short_time.spectra(&played);
        let all: f32 = heard.iter().flatten().map(Complex32::norm_sqr).sum();
        let count = heard.iter().map(Vec::len).sum::<usize>().max(1);
        // What is so far below the rest is the leakage of the window, and says nothing.
        let floor = (1e-5 * all / count as f32).max(f32::MIN_POSITIVE);
        let mut product = Complex32::ZERO;
        let mut energy = 0.0;
        for (heard, played) in heard.iter().zip(&played) {
            for (bin, played) in played[..played.len() / 2].iter().enumerate() {
                let near = &heard[bin.saturating_sub(3)..(bin + 4).min(heard.len())];
                let power = near.iter().map(Complex32::norm_sqr).sum::<f32>() / near.len() as f32;
                let weight = 1.0 / (power + floor);
                product += heard[bin] * played.conj() * weight;
                energy += played.norm_sqr() * weight;
            }
        }
        if energy > 0.0 {
            product.norm() / energy
        } else {
            0.0
        }
    }

    /// The probe wherever it was played, `lag` later.
    fn played(&self, count: usize, lag: usize, gain: f32) -> Vec<f32> {
        let mut played = vec![0.0; count];
        for start in &self.starts {
            let places = played.iter_mut().skip(start + lag);
            for (place, sample) in places.zip(&self.probe) {
                *place += gain * sample;
            }
        }
        played
    }

    /// Tries what would have been found.
    fn detectable_db(&self, recording: &[f32]) -> f32 {
        let lag = self.lags / 3;
        let mut detectable_db = 0.0;
        let found = |loss_db: f32| {
            let gain = 10.0_f32.powf(-loss_db / 20.0);
            let mut with = self.played(recording.len(), lag, gain);
            for (sample, recorded) in with.iter_mut().zip(recording) {
                *sample += recorded;
            }
            let (found, confidence) = self.best(&with);
            confidence >= MIN_CONFIDENCE && found.abs_diff(lag) < self.rate_hz as usize / 1_000
        };
        let first = TRIED_LOSSES_DB.partition_point(|&loss_db| !found(loss_db));
        if let Some(&loss_db) = TRIED_LOSSES_DB.get(first) {
            detectable_db = -loss_db;
        }
        detectable_db
    }
}

/// The powers of `count` correlations with noise, of mean 1 each and added, reach `sum` at one of
/// `lags` places once in ten to this power of searches. (The sum of exponential distributions.)
fn confidence(sum: f32, count: u32, lags: usize) -> f32 {
    let sum = f64::from(sum);
    let (mut term, mut series) = (1.0, 0.0);
    for k in 0..count {
        if k > 0 {
            term *= sum / f64::from(k);
        }
        series += term;
    }
    let ln = -sum + f64::ln(series) + f64::ln(lags as f64);
    (-ln / std::f64::consts::LN_10).max(0.0) as f32
}

fn median(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Means of `factor` samples at a time: sounds below 4 kHz pass.
fn decimated(samples: &[f32], factor: usize) -> Vec<f32> {
    samples
        .chunks_exact(factor)
        .map(|group| group.iter().sum::<f32>() / factor as f32)
        .collect()
}

#[cfg(test)]
mod tests;
