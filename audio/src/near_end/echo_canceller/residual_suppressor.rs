//! What the linear filter leaves of the echo, lowered where it is louder than the near end.
//!
//! How much is left is known from two sides: the filter's own uncertainty, which counts while it
//! learns, and the part of the filter's echo that is found again in its error (the leakage of Valin,
//! "On adjusting the learning rate in frequency domain echo cancellation with double-talk", IEEE
//! Trans. ASLP 15, 2007), which counts for what no linear filter models.

use std::{array, f32::consts::PI};

use rustfft::num_complex::Complex32;

use super::{BAND_SAMPLES, in_place_fft::InPlaceFft};

/// A transform of 10 ms, every 5 ms: half of it is the delay.
const FFT: usize = BAND_SAMPLES;
const HOP: usize = FFT / 2;
const BINS: usize = FFT / 2 + 1;

/// Samples of the band by which the suppressor delays it.
pub(super) const DELAY: usize = HOP;

/// Bins in which both ends are compared: 200 Hz to 4 kHz.
const VOICE: std::ops::Range<usize> = 2..40;

/// When the error is so many times what is expected to be left of the echo, all of it is echo, or
/// most of it is the near end.
const ALL_ECHO: f32 = 10.0;
const NEAR_END: f32 = 60.0;
/// By how much the residue is overestimated in each case, and the least gain (of amplitudes).
const ECHO_FACTOR: f32 = 24.0;
const NEAR_END_FACTOR: f32 = 1.0;
const ECHO_FLOOR: f32 = 0.001;
const NEAR_END_FLOOR: f32 = 0.2;
/// What is left after each 5 ms of the belief that the near end speaks.
const RELEASE: f32 = 0.95;

/// Part of a residue that is left after 5 ms: the room's echo beyond the filter.
const REVERB: f32 = 0.7;

/// Groups of bins with a leakage each, 1 kHz wide.
const GROUP: usize = 10;
const GROUPS: usize = BINS / GROUP;
/// More is not believed: in double talk both ends are at times loud together by chance, and a filter
/// that leaves more is doubted by itself.
const MAX_LEAKAGE: f32 = 0.05;
const MIN_LEAKAGE: f32 = 0.005;
const FIRST_LEAKAGE: f32 = MAX_LEAKAGE;

/// Weight of the last gain in the estimate of the near end.
const STEADY: f32 = 0.7;

/// By how much the noise is believed to rise in 5 ms: 2.6 dB a second.
const NOISE_RISE: f32 = 1.003;
/// Noise of which nothing is known yet.
const FIRST_NOISE: f32 = 1e-8;

/// Far below the least step of 16 bits.
const SILENCE: f32 = 1e-10;

pub(super) struct ResidualSuppressor {
    fft: InPlaceFft,
    window: [f32; FFT],
    /// Error and echo of the last 5 ms, as one complex signal.
    last: [Complex32; HOP],
    overlap: [f32; HOP],
    leakage: [Leakage; GROUPS],
    residue: [f32; BINS],
    /// Near end in the last 5 ms over the residue then.
    last_clean: [f32; BINS],
    noise: [f32; BINS],
    near_end: f32,
    random: u32,
}

/// How much of the echo's power is found again in the error's: the slope of a regression.
#[derive(Clone, Copy)]
struct Leakage {
    error: f32,
    echo: f32,
    covariance: f32,
    variance: f32,
}

impl Leakage {
    fn update(&mut self, error: f32, echo: f32) {
        self.error += 0.02 * (error - self.error);
        self.echo += 0.02 * (echo - self.echo);
        // The louder the near end, the less there is to be learned.
        let follow = 0.01 * (echo / (error + SILENCE)).min(1.0);
        let (error, echo) = (error - self.error, echo - self.echo);
        self.covariance += follow * (error * echo - self.covariance);
        self.variance += follow * (echo * echo - self.variance);
    }

    fn factor(&self) -> f32 {
        if self.variance <= SILENCE * SILENCE {
            return FIRST_LEAKAGE;
        }
        (self.covariance / self.variance).clamp(MIN_LEAKAGE, MAX_LEAKAGE)
    }
}

impl ResidualSuppressor {
    pub(super) fn new() -> Self {
        Self {
            fft: InPlaceFft::new(FFT),
            // Applied twice, its overlapping halves sum to one.
            window: array::from_fn(|n| (PI * (n as f32 + 0.5) / FFT as f32).sin()),
            last: [Complex32::ZERO; HOP],
            overlap: [0.0; HOP],
            leakage: [Leakage {
                error: 0.0,
                echo: 0.0,
                covariance: 0.0,
                variance: 0.0,
            }; GROUPS],
            residue: [0.0; BINS],
            last_clean: [0.0; BINS],
            noise: [FIRST_NOISE; BINS],
            near_end: 0.0,
            random: 1,
        }
    }

    /// Lowers what is left of `echo` in `error`. `uncertain` is the power the filter expects of it,
    /// per bin of a transform of twice the length, without a window. No gain is above `limit`.
    pub(super) fn process(
        &mut self,
        error: &[f32; BAND_SAMPLES],
        echo: &[f32; BAND_SAMPLES],
        uncertain: &[f32; BAND_SAMPLES + 1],
        limit: f32,
    ) -> [f32; BAND_SAMPLES] {
        let mut samples = [0.0; BAND_SAMPLES];
        for start in [0, HOP] {
            let new: [Complex32; HOP] =
                array::from_fn(|n| Complex32::new(error[start + n], echo[start + n]));
            self.half(&new, uncertain, limit, &mut samples[start..start + HOP]);
        }
        samples
    }

    fn half(
        &mut self,
        new: &[Complex32; HOP],
        uncertain: &[f32; BAND_SAMPLES + 1],
        limit: f32,
        output: &mut [f32],
    ) {
        let mut buffer: [Complex32; FFT] = array::from_fn(|n| {
            let value = if n < HOP { self.last[n] } else { new[n - HOP] };
            value * self.window[n]
        });
        self.last = *new;
        self.fft.forward(&mut buffer);
        // Both are real: one transform did for both.
        let mut error = [Complex32::ZERO; BINS];
        let mut echo_power = [0.0; BINS];
        for bin in 0..BINS {
            let (this, other) = (buffer[bin], buffer[(FFT - bin) % FFT].conj());
            error[bin] = (this + other) * 0.5;
            echo_power[bin] = ((this - other) * 0.5).norm_sqr();
        }
        let error_power = error.map(|value| value.norm_sqr());
        self.expect_residue(&error_power, &echo_power, uncertain);
        let gains = self.gains(&error_power, limit);
        self.follow_noise(&error_power);

        let mut noise = [Complex32::ZERO; BINS];
        for (bin, noise) in noise.iter_mut().enumerate() {
            self.random = self
                .random
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let turn = (self.random >> 8) as f32 / (1 << 24) as f32;
            let level = ((1.0 - gains[bin] * gains[bin]).max(0.0) * self.noise[bin]).sqrt();
            *noise = Complex32::from_polar(level, 2.0 * PI * turn);
        }
        for (bin, value) in buffer.iter_mut().enumerate() {
            let mirrored = if bin < BINS { bin } else { FFT - bin };
            let clean = error[mirrored] * gains[mirrored] + noise[mirrored];
            *value = if bin < BINS { clean } else { clean.conj() };
        }
        self.fft.inverse(&mut buffer);
        for n in 0..HOP {
            output[n] = self.overlap[n] + buffer[n].re * self.window[n] / FFT as f32;
            self.overlap[n] = buffer[HOP + n].re * self.window[HOP + n] / FFT as f32;
        }
    }

    fn expect_residue(
        &mut self,
        error: &[f32; BINS],
        echo: &[f32; BINS],
        uncertain: &[f32; BAND_SAMPLES + 1],
    ) {
        for (group, leakage) in self.leakage.iter_mut().enumerate() {
            let bins = group * GROUP..(group + 1) * GROUP;
            leakage.update(error[bins.clone()].iter().sum(), echo[bins].iter().sum());
        }
        for (bin, (residue, echo)) in self.residue.iter_mut().zip(echo).enumerate() {
            let leakage = self.leakage[(bin / GROUP).min(GROUPS - 1)].factor();
            let at = 2 * bin;
            let below = uncertain[at.saturating_sub(1)];
            let above = uncertain[(at + 1).min(BAND_SAMPLES)];
            // The window halves the power.
            let expected = 0.5 * (0.25 * below + 0.5 * uncertain[at] + 0.25 * above);
            let now = expected.max(leakage * echo);
            *residue = now.max(REVERB * *residue);
        }
    }

    fn gains(&mut self, error: &[f32; BINS], limit: f32) -> [f32; BINS] {
        let all: f32 = error[VOICE].iter().sum();
        let residue: f32 = self.residue[VOICE].iter().sum::<f32>() + SILENCE;
        let near_end = ((all / residue).ln() - ALL_ECHO.ln()) / (NEAR_END.ln() - ALL_ECHO.ln());
        self.near_end = near_end.clamp(0.0, 1.0).max(RELEASE * self.near_end);
        let factor = ECHO_FACTOR * (NEAR_END_FACTOR / ECHO_FACTOR).powf(self.near_end);
        let floor = ECHO_FLOOR * (NEAR_END_FLOOR / ECHO_FLOOR).powf(self.near_end);
        array::from_fn(|bin| {
            if self.residue[bin] < SILENCE {
                return limit;
            }
            let residue = factor * self.residue[bin] + SILENCE;
            let now = (error[bin] / residue - 1.0).max(0.0);
            let ratio = STEADY * self.last_clean[bin] / residue + (1.0 - STEADY) * now;
            let gain = (ratio / (1.0 + ratio)).max(floor).min(limit);
            self.last_clean[bin] = gain * gain * error[bin];
            gain
        })
    }

    /// The noise of the near end: what the error falls to again and again.
    fn follow_noise(&mut self, error: &[f32; BINS]) {
        for (noise, &error) in self.noise.iter_mut().zip(error) {
            *noise = if error < *noise {
                (*noise + 0.1 * (error - *noise)).max(SILENCE)
            } else {
                *noise * NOISE_RISE
            };
        }
    }
}
