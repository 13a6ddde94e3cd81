//! The linear part of the canceller: a partitioned-block Kalman filter in the frequency domain.
//!
//! The echo path is a state that drifts slowly, the near end is the noise of its observation (Enzner
//! and Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control in hands-free
//! telephones", Signal Processing 86, 2006; partitioned by Kuech et al., ICASSP 2014). Each step is
//! as long as the certainty about the path and the loudness of the near end allow, so a talker at
//! the near end does not shake the filter, and no double-talk detector is needed.

use std::{array, collections::VecDeque};

use rustfft::num_complex::Complex32;

use super::{BAND_SAMPLES, in_place_fft::InPlaceFft};

/// A transform holds a frame and the one before it.
const FFT: usize = 2 * BAND_SAMPLES;
const BINS: usize = FFT / 2 + 1;

/// Frames that the modelled path is long: 120 ms. Even, because two are transformed at once.
pub(super) const PARTITIONS: usize = 12;

/// Frames by which the echo may be late: 0.5 s.
pub(super) const MAX_OFFSET: usize = 50;

/// How sure the path's model stays from frame to frame. Half of what it knows of a path that
/// changes is forgotten in seven seconds.
const TRANSITION: f32 = 0.9995;

/// The power of a path of which nothing is known, per bin of the first partition, and how it falls
/// from one partition to the next: louder echoes are learned a little later, and a room's first
/// sound is its loudest.
const PRIOR_POWER: f32 = 0.04;
const PRIOR_DECAY: f32 = 0.7;

/// Uncertainty that always remains, as part of the path's mean power: so that a path that moves is
/// followed.
const MIN_UNCERTAINTY: f32 = 0.01;

/// The part of a partition's spectrum that one frame of error tells about (half of it is padding),
/// and by how much its uncertainty falls for it: less, for the frames overlap.
const OBSERVED: f32 = 0.5;
const LEARNED: f32 = 0.25;

/// Part by which the near end's power follows a new frame.
const FOLLOW: f32 = 0.3;

/// Parts by which the means and the variances of both powers follow a new frame, and how much of one
/// may be explained by the other by chance.
const MEAN_FOLLOW: f32 = 0.03;
const VARIANCE_FOLLOW: f32 = 0.05;
const CHANCE: f32 = 0.6;
/// A group in which the loudspeaker plays less than this part of the loudest group's is left out.
const QUIET: f32 = 1e-3;

/// The quantisation noise of 16 bits, in a bin.
const NOISE_FLOOR: f32 = 1e-8;

/// Groups of bins, 1 kHz wide, for which it is watched how much echo is left.
const GROUP: usize = 20;
const GROUPS: usize = BINS / GROUP;

type Spectrum = [Complex32; BINS];

pub(super) struct KalmanFilter {
    fft: InPlaceFft,
    buffer: Vec<Complex32>,
    last_render: [f32; BAND_SAMPLES],
    /// Of the loudspeaker, the newest first.
    spectra: VecDeque<Box<Spectrum>>,
    /// Frames by which the model's first partition is late.
    offset: usize,
    path: Vec<Spectrum>,
    uncertainty: Vec<[f32; BINS]>,
    error_power: Box<[f32; BINS]>,
    residue: Box<[f32; BINS]>,
    left: [Regression; GROUPS],
}

/// One frame without its echo, and that echo.
pub(super) struct Cancelled {
    pub(super) error: [f32; BAND_SAMPLES],
    pub(super) echo: [f32; BAND_SAMPLES],
}

impl KalmanFilter {
    pub(super) fn new() -> Self {
        let silence = || Box::new([Complex32::ZERO; BINS]);
        let mut filter = Self {
            fft: InPlaceFft::new(FFT),
            buffer: vec![Complex32::ZERO; FFT],
            last_render: [0.0; BAND_SAMPLES],
            spectra: (0..MAX_OFFSET + PARTITIONS).map(|_| silence()).collect(),
            offset: 0,
            path: vec![[Complex32::ZERO; BINS]; PARTITIONS],
            uncertainty: vec![[0.0; BINS]; PARTITIONS],
            error_power: Box::new([0.0; BINS]),
            residue: Box::new([0.0; BINS]),
            left: [Regression::default(); GROUPS],
        };
        filter.forget();
        filter
    }

    /// Forgets the path.
    pub(super) fn forget(&mut self) {
        let mut prior = PRIOR_POWER;
        for (path, uncertainty) in self.path.iter_mut().zip(&mut self.uncertainty) {
            path.fill(Complex32::ZERO);
            uncertainty.fill(prior);
            prior *= PRIOR_DECAY;
        }
    }

    /// Frames by which the model's first partition is late.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Moves the model to an echo that comes at least `offset` frames late (at most
    /// [`MAX_OFFSET`]).
    pub(super) fn move_to(&mut self, offset: usize) {
        self.offset = offset.min(MAX_OFFSET);
        self.forget();
    }

    /// Takes the next frame of the loudspeaker.
    pub(super) fn render(&mut self, frame: &[f32; BAND_SAMPLES]) {
        for (n, value) in self.buffer.iter_mut().enumerate() {
            let sample = match n.checked_sub(BAND_SAMPLES) {
                None => self.last_render[n],
                Some(n) => frame[n],
            };
            *value = Complex32::new(sample, 0.0);
        }
        self.last_render = *frame;
        self.fft.forward(&mut self.buffer);
        if let Some(mut oldest) = self.spectra.pop_back() {
            oldest.copy_from_slice(&self.buffer[..BINS]);
            self.spectra.push_front(oldest);
        }
    }

    /// Removes the echo from the next frame of the microphone; and learns from it, unless it is
    /// `clipped`.
    pub(super) fn capture(&mut self, frame: &[f32; BAND_SAMPLES], clipped: bool) -> Cancelled {
        let mut sum = [Complex32::ZERO; BINS];
        let render = self.spectra.range(self.offset..self.offset + PARTITIONS);
        for (path, render) in self.path.iter().zip(render) {
            for ((sum, path), render) in sum.iter_mut().zip(path.iter()).zip(render.iter()) {
                *sum += path * render;
            }
        }
        for (n, value) in self.buffer.iter_mut().enumerate() {
            *value = if n < BINS {
                sum[n]
            } else {
                sum[FFT - n].conj()
            };
        }
        self.fft.inverse(&mut self.buffer);
        let echo = array::from_fn(|n| self.buffer[BAND_SAMPLES + n].re / FFT as f32);
        let error = array::from_fn(|n| frame[n] - echo[n]);
        if !clipped {
            self.learn(&error);
        }
        Cancelled { error, echo }
    }

    /// Power of the path above 4 kHz, at most, as far as it is known.
    pub(super) fn upper_power(&self) -> f32 {
        let bins = BINS / 2..BINS;
        let count = bins.len() as f32;
        let path = self.path.iter().flat_map(|path| &path[bins.clone()]);
        let uncertainty = self.uncertainty.iter().flat_map(|part| &part[bins.clone()]);
        (path.map(Complex32::norm_sqr).sum::<f32>() + uncertainty.sum::<f32>()) / count
    }

    /// What the filter expects to have left of the echo in the last frame it learned from: power per
    /// bin of a transform of the frame and as much silence.
    pub(super) fn expected_residue(&self) -> &[f32; BINS] {
        &self.residue
    }

    fn learn(&mut self, error: &[f32; BAND_SAMPLES]) {
        self.buffer[..BAND_SAMPLES].fill(Complex32::ZERO);
        for (value, &sample) in self.buffer[BAND_SAMPLES..].iter_mut().zip(error) {
            *value = Complex32::new(sample, 0.0);
        }
        self.fft.forward(&mut self.buffer);
        let error: Spectrum = array::from_fn(|bin| self.buffer[bin]);

        self.doubt(&error);

        // What the error is expected to be: what of the path is not known, and the near end.
        let mut expected = [0.0; BINS];
        let render = self.spectra.range(self.offset..self.offset + PARTITIONS);
        for (uncertainty, render) in self.uncertainty.iter().zip(render) {
            for ((expected, uncertainty), render) in expected
                .iter_mut()
                .zip(uncertainty.iter())
                .zip(render.iter())
            {
                *expected += OBSERVED * uncertainty * render.norm_sqr();
            }
        }
        *self.residue = expected;
        for ((expected, power), error) in expected
            .iter_mut()
            .zip(self.error_power.iter_mut())
            .zip(&error)
        {
            let now = error.norm_sqr();
            *power += FOLLOW * (now - *power);
            *expected += power.max(now) + NOISE_FLOOR;
        }

        let mut mean_power = [0.0; BINS];
        for path in &self.path {
            for (mean, path) in mean_power.iter_mut().zip(path.iter()) {
                *mean += path.norm_sqr() / PARTITIONS as f32;
            }
        }
        let floor = MIN_UNCERTAINTY * mean_power.iter().sum::<f32>() / BINS as f32 + 1e-10;

        let drift = 1.0 - TRANSITION * TRANSITION;
        for pair in 0..PARTITIONS / 2 {
            let mut steps = [[Complex32::ZERO; BINS]; 2];
            for (half, steps) in steps.iter_mut().enumerate() {
                let index = 2 * pair + half;
                let render = &self.spectra[self.offset + index];
                let path = &self.path[index];
                let uncertainty = &mut self.uncertainty[index];
                for bin in 0..BINS {
                    let gain = uncertainty[bin] / expected[bin];
                    steps[bin] = gain * render[bin].conj() * error[bin];
                    let learned = LEARNED * gain * render[bin].norm_sqr();
                    uncertainty[bin] =
                        (TRANSITION * TRANSITION * (1.0 - learned) * uncertainty[bin]
                            + drift * path[bin].norm_sqr())
                        .max(floor);
                }
            }
            self.constrain(&mut steps);
            for (half, steps) in steps.iter().enumerate() {
                for (path, step) in self.path[2 * pair + half].iter_mut().zip(steps) {
                    *path += step;
                }
            }
        }
    }

    /// Where the error's power follows the loudspeaker's, the path is known less well than believed.
    fn doubt(&mut self, error: &Spectrum) {
        let mut heard = [0.0; BINS];
        let mut weight = 1.0 - PRIOR_DECAY;
        for render in self.spectra.range(self.offset..self.offset + PARTITIONS) {
            for (heard, render) in heard.iter_mut().zip(render.iter()) {
                *heard += weight * render.norm_sqr();
            }
            weight *= PRIOR_DECAY;
        }
        for (group, left) in self.left.iter_mut().enumerate() {
            let bins = group * GROUP..(group + 1) * GROUP;
            let error = error[bins.clone()].iter().map(Complex32::norm_sqr).sum();
            left.update(error, heard[bins].iter().sum());
        }
        // Speech over a telephone has nothing to say of the upper groups.
        let loudest = self.left.iter().map(|left| left.heard).fold(0.0, f32::max);
        let heard = |left: &&Regression| left.heard > QUIET * loudest;
        let count = self.left.iter().filter(heard).count().max(1);
        let together = self
            .left
            .iter()
            .filter(heard)
            .map(Regression::determination)
            .sum::<f32>()
            / count as f32;
        let sure = ((together - CHANCE) / (1.0 - CHANCE)).max(0.0);
        for bin in 0..BINS {
            let left = &self.left[(bin / GROUP).min(GROUPS - 1)];
            let mut least = sure * left.slope() * (1.0 - PRIOR_DECAY) / OBSERVED;
            for uncertainty in &mut self.uncertainty {
                uncertainty[bin] = uncertainty[bin].max(least);
                least *= PRIOR_DECAY;
            }
        }
    }

    /// Makes two steps those of paths that are a frame long. They are real in time, so one transform
    /// does for both: one is its real part, the other its imaginary part.
    fn constrain(&mut self, steps: &mut [Spectrum; 2]) {
        let i = Complex32::I;
        for (n, value) in self.buffer.iter_mut().enumerate() {
            *value = if n < BINS {
                steps[0][n] + i * steps[1][n]
            } else {
                steps[0][FFT - n].conj() + i * steps[1][FFT - n].conj()
            };
        }
        self.fft.inverse(&mut self.buffer);
        for value in &mut self.buffer[..BAND_SAMPLES] {
            *value /= FFT as f32;
        }
        self.buffer[BAND_SAMPLES..].fill(Complex32::ZERO);
        self.fft.forward(&mut self.buffer);
        let [first, second] = steps;
        for (bin, (first, second)) in first.iter_mut().zip(second).enumerate() {
            let (this, other) = (self.buffer[bin], self.buffer[(FFT - bin) % FFT].conj());
            *first = (this + other) * 0.5;
            *second = (this - other) * -0.5 * i;
        }
    }
}

/// How much of one power is found again in another.
#[derive(Clone, Copy, Default)]
struct Regression {
    error: f32,
    heard: f32,
    covariance: f32,
    error_variance: f32,
    heard_variance: f32,
}

impl Regression {
    fn update(&mut self, error: f32, heard: f32) {
        self.error += MEAN_FOLLOW * (error - self.error);
        self.heard += MEAN_FOLLOW * (heard - self.heard);
        let (error, heard) = (error - self.error, heard - self.heard);
        self.covariance += VARIANCE_FOLLOW * (error * heard - self.covariance);
        self.error_variance += VARIANCE_FOLLOW * (error * error - self.error_variance);
        self.heard_variance += VARIANCE_FOLLOW * (heard * heard - self.heard_variance);
    }

    /// The part of one that the other explains, 0 to 1.
    fn determination(&self) -> f32 {
        let product = self.error_variance * self.heard_variance;
        if self.covariance <= 0.0 || product <= f32::MIN_POSITIVE {
            return 0.0;
        }
        self.covariance * self.covariance / product
    }

    /// How much of the other there is in one.
    fn slope(&self) -> f32 {
        self.covariance.max(0.0) / self.heard_variance.max(f32::MIN_POSITIVE)
    }
}
