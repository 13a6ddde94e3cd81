//! Phase-only spectra: every part of a sound made equally loud, in time and in frequency. Pure.
//!
//! What is loud only now and then, or only at some frequencies, such as speech, no longer hides
//! what is weak and spread out, such as a chirp.

use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex32};

/// Frames of some 32 ms: harmonics of a voice stand apart, and a voice changes little.
const FRAMES_PER_SECOND: usize = 32;

/// A short-time Fourier transform with half-overlapping frames and its inverse.
pub(crate) struct ShortTime {
    window: Vec<f32>,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

impl ShortTime {
    /// For samples at `rate_hz`.
    pub(crate) fn new(rate_hz: u32) -> Self {
        let length = (rate_hz as usize / FRAMES_PER_SECOND)
            .next_power_of_two()
            .max(2);
        let mut planner = FftPlanner::new();
        // The root of a Hann window: applied twice, its overlapping halves sum to one.
        let window = (0..length).map(|n| (std::f32::consts::PI * n as f32 / length as f32).sin());
        Self {
            window: window.collect(),
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
        }
    }

    fn hop(&self) -> usize {
        self.window.len() / 2
    }

    /// The spectra of frames that begin half a frame before the first sample.
    pub(crate) fn spectra(&self, samples: &[f32]) -> Vec<Vec<Complex32>> {
        let frames = samples.len() / self.hop() + 2;
        (0..frames)
            .map(|frame| {
                let mut spectrum: Vec<_> = (0..self.window.len())
                    .map(|n| {
                        let at = (frame * self.hop() + n).checked_sub(self.hop());
                        let sample = at.and_then(|at| samples.get(at)).copied();
                        Complex32::new(sample.unwrap_or(0.0) * self.window[n], 0.0)
                    })
                    .collect();
                self.forward.process(&mut spectrum);
                spectrum
            })
            .collect()
    }

    /// The first `count` samples of the sound with these spectra.
    fn samples(&self, spectra: Vec<Vec<Complex32>>, count: usize) -> Vec<f32> {
        let mut samples = vec![0.0; count];
        for (frame, mut spectrum) in spectra.into_iter().enumerate() {
            self.inverse.process(&mut spectrum);
            for (n, (value, window)) in spectrum.iter().zip(&self.window).enumerate() {
                let at = (frame * self.hop() + n).checked_sub(self.hop());
                if let Some(sample) = at.and_then(|at| samples.get_mut(at)) {
                    *sample += value.re * window;
                }
            }
        }
        samples
    }

    /// `samples` with only their phase left. Digital silence stays silent.
    pub(crate) fn phase_only(&self, samples: &[f32]) -> Vec<f32> {
        let mut spectra = self.spectra(samples);
        for value in spectra.iter_mut().flatten() {
            let magnitude = value.norm();
            *value = if magnitude > 1e-9 {
                *value / magnitude
            } else {
                Complex32::ZERO
            };
        }
        self.samples(spectra, samples.len())
    }
}
