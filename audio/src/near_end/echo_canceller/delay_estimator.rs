//! How late the loudspeaker's echo arrives at the microphone, while both ends may speak.
//!
//! The cross-spectrum of both, with only its phase left so that the near end does not hide the echo,
//! is averaged over a few seconds of far-end speech; its transform has a peak at the echo's delay
//! (the generalised cross-correlation of Knapp and Carter, IEEE Trans. ASSP 24, 1976).

use rustfft::num_complex::Complex32;

use super::{BAND_HZ, BAND_SAMPLES, in_place_fft::InPlaceFft};

/// Speech is loudest below 2 kHz.
const DECIMATION: usize = 4;
const SAMPLES_PER_MS: usize = BAND_HZ / DECIMATION / 1_000;

/// A transform: 1,024 ms.
const FFT: usize = 4_096;
/// Of these, how much of the microphone is compared at a time, and how often.
const WINDOW: usize = 1_024;
const HOP_FRAMES: usize = 12;
const MAX_LAG: usize = 510 * SAMPLES_PER_MS;

/// Parts that remain of the averages after each hop of 120 ms. The short one, of half a second, finds
/// an echo that moved; the long one, of three seconds, one that is far below the near end.
const MEMORIES: [f32; 2] = [0.8, 0.96];

/// A loudspeaker below this (mean square, −60 dBFS) tells nothing.
const SILENCE: f32 = 1e-6;

/// A peak is an echo when it is so many times as high as the rest's root mean square.
const MIN_PEAK: f32 = 8.0;

/// An echo that was found stays found until another peak is so many times as high.
const BETTER: f32 = 1.8;

pub(super) struct DelayEstimator {
    fft: InPlaceFft,
    played: Vec<f32>,
    heard: Vec<f32>,
    frames: usize,
    averages: [Vec<Complex32>; 2],
    lag: Option<usize>,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        Self {
            fft: InPlaceFft::new(FFT),
            played: vec![0.0; FFT],
            heard: vec![0.0; FFT],
            frames: 0,
            averages: MEMORIES.map(|_| vec![Complex32::ZERO; FFT / 2]),
            lag: None,
        }
    }

    /// The echo's delay in samples of the band; `None` before one was found.
    pub(super) fn delay(&self) -> Option<usize> {
        self.lag.map(|lag| lag * DECIMATION)
    }

    /// Takes the next frame of both.
    pub(super) fn update(&mut self, played: &[f32; BAND_SAMPLES], heard: &[f32; BAND_SAMPLES]) {
        push(&mut self.played, played);
        push(&mut self.heard, heard);
        self.frames += 1;
        if self.frames.is_multiple_of(HOP_FRAMES) {
            let power = self.played.iter().map(|x| x * x).sum::<f32>() / FFT as f32;
            if power > SILENCE {
                self.compare();
            }
        }
    }

    fn compare(&mut self) {
        // Both are real: one transform does for both.
        let mut spectrum: Vec<_> = (0..FFT)
            .map(|n| {
                let heard = if n < FFT - WINDOW { 0.0 } else { self.heard[n] };
                Complex32::new(self.played[n], heard)
            })
            .collect();
        self.fft.forward(&mut spectrum);
        let mut pairs = Vec::with_capacity(FFT / 2);
        let mut mean = 0.0;
        for bin in 1..FFT / 2 {
            let (this, other) = (spectrum[bin], spectrum[FFT - bin].conj());
            let played = (this + other) * 0.5;
            let heard = (this - other) * -0.5 * Complex32::I;
            mean += played.norm_sqr() / (FFT / 2) as f32;
            pairs.push((played, heard));
        }
        for (bin, (played, heard)) in pairs.into_iter().enumerate() {
            let product = heard * played.conj();
            let power = played.norm_sqr();
            // What the loudspeaker hardly plays tells nothing.
            let weight = power / (power + 0.01 * mean);
            let phase = product * (weight / (product.norm() + 1e-12));
            for (average, memory) in self.averages.iter_mut().zip(MEMORIES) {
                average[bin + 1] = average[bin + 1] * memory + phase * (1.0 - memory);
            }
        }
        for average in &self.averages {
            spectrum[..FFT / 2].copy_from_slice(average);
            spectrum[FFT / 2..].fill(Complex32::ZERO);
            self.fft.inverse(&mut spectrum);
            let correlation: Vec<f32> = spectrum[..MAX_LAG]
                .iter()
                .map(|value| value.re.abs())
                .collect();
            if let Some(lag) = self.judge(&correlation) {
                self.lag = Some(lag);
                break;
            }
        }
    }

    /// The delay, if there is no doubt about it.
    fn judge(&self, correlation: &[f32]) -> Option<usize> {
        let highest =
            (0..correlation.len()).max_by(|&a, &b| correlation[a].total_cmp(&correlation[b]))?;
        let peak = correlation[highest];
        let mean_square = correlation.iter().map(|x| x * x).sum::<f32>() / correlation.len() as f32;
        if peak < MIN_PEAK * mean_square.sqrt() {
            return None;
        }
        // The direct sound may be weaker than a reflection.
        let earliest = highest.saturating_sub(20 * SAMPLES_PER_MS);
        let first = (earliest..=highest)
            .find(|&lag| correlation[lag] > 0.5 * peak)
            .unwrap_or(highest);
        let Some(known) = self.lag else {
            return Some(first);
        };
        let around = known.saturating_sub(2)..(known + 3).min(correlation.len());
        let still = correlation[around].iter().copied().fold(0.0, f32::max);
        Some(if peak > BETTER * still { first } else { known })
    }
}

/// Takes a frame, decimated, into the newest end.
fn push(samples: &mut [f32], frame: &[f32; BAND_SAMPLES]) {
    let new = BAND_SAMPLES / DECIMATION;
    samples.copy_within(new.., 0);
    let places = samples[FFT - new..].iter_mut();
    for (place, group) in places.zip(frame.chunks_exact(DECIMATION)) {
        *place = group.iter().sum::<f32>() / DECIMATION as f32;
    }
}
