//! The averaged phase-only cross-spectrum of two sounds, for each of many lags.

use std::collections::VecDeque;
use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex32};

/// The rate of both sounds, in Hz: the band that every speaker and microphone carries fits in.
pub(super) const RATE_HZ: usize = 8_000;
/// One step, and the distance of two lags: 10 ms.
pub(super) const HOP: usize = RATE_HZ / 100;
/// Samples of a frame: 32 ms.
const FRAME: usize = 256;
/// 300 to 3,400 Hz.
const FIRST_BIN: usize = 300 * FRAME / RATE_HZ + 1;
const END_BIN: usize = 3_400 * FRAME / RATE_HZ;
const BINS: usize = END_BIN - FIRST_BIN;
/// Quieter than this in a bin (of a frame's spectrum, full scale 64) says nothing: the noise of
/// 16 bits.
const LEAST: f32 = 2e-3;

/// Steps within which the echo of a room has faded: more than the overlap of frames.
const ASIDE: usize = 6;

type Bins = [Complex32; BINS];

/// What a step showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// The best lag, in steps.
    pub(super) lag: usize,
    /// Its power over the median of all; or over a third of what is [`ASIDE`] of it where that is
    /// more, for a tone that is held agrees with itself at all lags that are shorter than it; or
    /// over a sixth of what comes of the played sound with itself, for what repeats itself, such
    /// as a voice of one pitch, agrees with itself at lags that are no way of sound.
    pub(super) ratio: f32,
    /// The level of what was captured at this lag over what was played, in dB: least squares.
    pub(super) gain_db: f32,
}

/// Of a frame.
struct Spectrum {
    bins: Bins,
    /// The same, of length 1.
    phase: Bins,
    power: [f32; BINS],
}

/// The average, over some time, for each lag.
pub(super) struct CrossSpectrum {
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    played: Vec<f32>,
    captured: Vec<f32>,
    /// Of what was played, the newest first.
    reference: VecDeque<Box<Spectrum>>,
    averages: Vec<Average>,
    /// Per lag: of what was played with itself, phase only.
    repetition: Vec<Bins>,
    /// The part by which an average follows a new step.
    follow: f32,
}

/// Of one lag.
#[derive(Clone)]
struct Average {
    /// Of the cross-spectrum's phases.
    phase: Box<Bins>,
    /// Of the cross-spectrum.
    product: Box<Bins>,
    /// Of what was played.
    power: Box<[f32; BINS]>,
}

impl CrossSpectrum {
    /// For `lags` lags of a step each, averaged over `steps` steps.
    pub(super) fn new(lags: usize, steps: f32) -> Self {
        let nothing = Average {
            phase: Box::new([Complex32::ZERO; BINS]),
            product: Box::new([Complex32::ZERO; BINS]),
            power: Box::new([0.0; BINS]),
        };
        let window = (0..FRAME).map(|n| {
            let turn = std::f32::consts::TAU * n as f32 / FRAME as f32;
            0.5 - 0.5 * turn.cos()
        });
        Self {
            fft: FftPlanner::new().plan_fft_forward(FRAME),
            window: window.collect(),
            played: vec![0.0; FRAME],
            captured: vec![0.0; FRAME],
            reference: (0..lags).map(|_| Box::new(Spectrum::SILENCE)).collect(),
            averages: vec![nothing; lags],
            repetition: vec![[Complex32::ZERO; BINS]; lags],
            follow: 1.0 / steps,
        }
    }

    /// Takes the next step of both: [`HOP`] samples each. `is_telling`: whether the averages shall
    /// follow; without anything played there is nothing to be learned.
    pub(super) fn step(&mut self, played: &[f32], captured: &[f32], is_telling: bool) {
        for (frame, new) in [(&mut self.played, played), (&mut self.captured, captured)] {
            frame.copy_within(HOP.., 0);
            frame[FRAME - HOP..].copy_from_slice(new);
        }
        let reference = self.spectrum(&self.played);
        let heard = self.spectrum(&self.captured);
        self.reference.pop_back();
        self.reference.push_front(reference);
        if !is_telling {
            return;
        }
        let follow = self.follow;
        for (average, before) in self.repetition.iter_mut().zip(&self.reference) {
            for (bin, average) in average.iter_mut().enumerate() {
                *average += (self.reference[0].phase_to(before, bin) - *average) * follow;
            }
        }
        for (average, reference) in self.averages.iter_mut().zip(&self.reference) {
            for bin in 0..BINS {
                let phase = heard.phase_to(reference, bin);
                let product = heard.bins[bin] * reference.bins[bin].conj();
                average.phase[bin] += (phase - average.phase[bin]) * follow;
                average.product[bin] += (product - average.product[bin]) * follow;
                average.power[bin] += (reference.power[bin] - average.power[bin]) * follow;
            }
        }
    }

    /// The lag from `first` on that stands out most.
    pub(super) fn peak(&self, first: usize) -> Peak {
        let mut powers: Vec<f32> = self.averages.iter().map(|a| power(&a.phase)).collect();
        let repetition = self.repetition[ASIDE..].iter().map(power);
        let repetition = repetition.fold(0.0, f32::max);
        let best = (first..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b]));
        let lag = best.unwrap_or(first);
        let best = powers[lag];
        let middle = powers.len() / 2;
        let aside = [lag.checked_sub(ASIDE), Some(lag + ASIDE)];
        let aside = aside
            .into_iter()
            .flatten()
            .filter_map(|lag| powers.get(lag));
        let aside = aside.copied().fold(0.0, f32::max);
        let median = *powers.select_nth_unstable_by(middle, f32::total_cmp).1;
        Peak {
            lag,
            ratio: best / median.max(aside / 3.0).max(repetition / 6.0).max(1e-3),
            gain_db: self.gain_db(lag),
        }
    }

    fn gain_db(&self, lag: usize) -> f32 {
        let average = &self.averages[lag];
        let power: f32 = average.power.iter().map(|power| power * power).sum();
        10.0 * (self::power(&average.product) / power.max(1e-12) + 1e-12).log10()
    }

    fn spectrum(&self, frame: &[f32]) -> Box<Spectrum> {
        let mut spectrum: [Complex32; FRAME] =
            std::array::from_fn(|n| Complex32::new(frame[n] * self.window[n], 0.0));
        self.fft.process(&mut spectrum);
        let bins: Bins = std::array::from_fn(|bin| spectrum[FIRST_BIN + bin]);
        let power = bins.map(|bin| bin.norm_sqr());
        let phase = std::array::from_fn(|bin| bins[bin] / power[bin].sqrt().max(f32::MIN_POSITIVE));
        Box::new(Spectrum { bins, phase, power })
    }
}

impl Spectrum {
    const SILENCE: Self = Self {
        bins: [Complex32::ZERO; BINS],
        phase: [Complex32::ZERO; BINS],
        power: [0.0; BINS],
    };

    /// The phase of the product with the conjugate of `other`, of length 1; nothing where there is
    /// nothing.
    fn phase_to(&self, other: &Self, bin: usize) -> Complex32 {
        match self.power[bin] * other.power[bin] > LEAST.powi(4) {
            true => self.phase[bin] * other.phase[bin].conj(),
            false => Complex32::ZERO,
        }
    }
}

fn power(bins: &Bins) -> f32 {
    bins.iter().map(Complex32::norm_sqr).sum()
}
