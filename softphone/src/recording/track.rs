//! One side of a recording: a device's sound on a timeline that both sides share. Pure.

use std::collections::VecDeque;

use audio::{Resampler, ResamplerError};

use super::RATE_HZ;

/// Samples that are farther than this from where they belong were not merely late: the device was
/// away, and silence takes its place. Of the side that the other follows, which nothing else moves.
const JUMP: i64 = RATE_HZ as i64;
/// And of the side that follows.
const FOLLOWER_JUMP: i64 = JUMP / 10;

/// Where a device's samples belong is known to a few milliseconds at a time: over how long that is
/// averaged.
const AVERAGE_S: f64 = 5.0;

/// A device's clock is followed when it is off by so many samples (0.5 ms), a sample at a time.
const MOST_OFF: f64 = 24.0;

/// At most one sample in so many is won or lost: 2,000 ppm, more than any two crystals differ.
const CORRECT_EVERY: usize = 480;

/// What is off by so many samples (4 ms), averaged over half a second, is no clock: the device gave
/// another time when it began, or stood still for a moment. It is put where it belongs at once.
const MISPLACED: f64 = 192.0;
const MISPLACED_AVERAGE_S: f64 = 0.5;

/// Samples over which the sound fades before and after such a place: 2 ms.
const FADE: usize = 96;

/// Samples of one device that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Mono.
    pub samples: &'a [f32],
    /// Their rate.
    pub sample_rate_hz: u32,
    /// When the last of them was at the microphone or left the speaker, in seconds since any origin.
    pub ends_s: f64,
}

/// A moment and where on the timeline it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at_s: f64,
    pub(super) position: i64,
}

/// One side.
pub(super) struct Track {
    resampler: Resampler,
    sample_rate_hz: u32,
    /// On the timeline, not yet written.
    pub(super) waiting: VecDeque<f32>,
    /// Where its next sample belongs.
    pub(super) position: i64,
    begun: bool,
    /// Whether it follows the mark's clock, or is the one that is followed.
    follows: bool,
    off: f64,
    recent_off: f64,
    /// Samples since the sound was last put somewhere.
    settled_for: usize,
    correcting: bool,
    since_correction: usize,
    fresh: Vec<f32>,
}

impl Track {
    /// An empty one. It follows the marks' clock if it `follows`; else it is what makes the marks.
    pub(super) fn new(follows: bool) -> Result<Self, ResamplerError> {
        Ok(Self {
            resampler: Resampler::new(RATE_HZ, RATE_HZ, 1)?,
            sample_rate_hz: RATE_HZ,
            waiting: VecDeque::new(),
            position: 0,
            begun: false,
            follows,
            off: 0.0,
            recent_off: 0.0,
            settled_for: 0,
            correcting: false,
            since_correction: 0,
            fresh: Vec::new(),
        })
    }

    /// Appends `batch`, and returns where it ends. Without a `mark` it begins the timeline.
    pub(super) fn push(
        &mut self,
        batch: &Batch<'_>,
        mark: Option<Mark>,
    ) -> Result<Option<Mark>, ResamplerError> {
        if batch.sample_rate_hz != self.sample_rate_hz {
            self.resampler = Resampler::new(batch.sample_rate_hz, RATE_HZ, 1)?;
            self.sample_rate_hz = batch.sample_rate_hz;
        }
        self.fresh.clear();
        self.resampler.process(batch.samples, &mut self.fresh);
        if self.fresh.is_empty() {
            return Ok(mark);
        }
        let rate = f64::from(RATE_HZ);
        let ends_s = batch.ends_s - f64::from(self.resampler.delay_us()) * 1e-6;
        let mark = mark.unwrap_or(Mark {
            at_s: ends_s - self.fresh.len() as f64 / rate,
            position: self.position,
        });
        let due = mark.position + ((ends_s - mark.at_s) * rate).round() as i64;
        let off = due - (self.position + self.fresh.len() as i64);
        let jump = if self.follows { FOLLOWER_JUMP } else { JUMP };
        if !self.begun || off.abs() > jump {
            self.jump(off);
        } else if self.follows {
            let length = self.fresh.len() as f64 / rate;
            self.off += (off as f64 - self.off) * (length / AVERAGE_S).min(1.0);
            self.recent_off +=
                (off as f64 - self.recent_off) * (length / MISPLACED_AVERAGE_S).min(1.0);
            self.settled_for += self.fresh.len();
            let is_sure = self.settled_for as f64 > MISPLACED_AVERAGE_S * rate;
            if is_sure && self.recent_off.abs() > MISPLACED {
                self.jump(self.recent_off.round() as i64);
            } else {
                self.correct();
            }
        }
        self.begun |= !self.fresh.is_empty();
        self.waiting.extend(&self.fresh);
        self.position += self.fresh.len() as i64;
        Ok(Some(Mark {
            at_s: ends_s,
            position: self.position,
        }))
    }

    /// Silence up to `position`, if it has not come so far.
    pub(super) fn fill_to(&mut self, position: i64) {
        let missing = usize::try_from(position - self.position).unwrap_or(0);
        self.waiting.extend(std::iter::repeat_n(0.0, missing));
        self.position += missing as i64;
    }

    /// Puts what is fresh later by `off`, or earlier, without a click on either side.
    fn jump(&mut self, off: i64) {
        self.off = 0.0;
        self.recent_off = 0.0;
        self.settled_for = 0;
        self.correcting = false;
        for (step, sample) in self.waiting.iter_mut().rev().take(FADE).enumerate() {
            *sample *= step as f32 / FADE as f32;
        }
        self.fill_to(self.position + off.max(0));
        let early = usize::try_from(-off).unwrap_or(0);
        self.fresh.drain(..early.min(self.fresh.len()));
        if self.begun {
            for (step, sample) in self.fresh.iter_mut().take(FADE).enumerate() {
                *sample *= step as f32 / FADE as f32;
            }
        }
    }

    fn correct(&mut self) {
        self.correcting = self.off.abs() > if self.correcting { 1.0 } else { MOST_OFF };
        self.since_correction += self.fresh.len();
        if !self.correcting || self.since_correction < CORRECT_EVERY || self.fresh.len() < 4 {
            return;
        }
        self.since_correction = 0;
        let change = if self.off > 0.0 { 1 } else { -1 };
        let length = (self.fresh.len() as i64 + change) as usize;
        self.fresh = stretched(&self.fresh, length);
        self.off -= change as f64;
        self.recent_off -= change as f64;
    }
}

/// `samples` as `length` ones, by cubic interpolation: a sample more or less that nobody hears.
fn stretched(samples: &[f32], length: usize) -> Vec<f32> {
    let step = samples.len() as f64 / length as f64;
    let at = |index: i64| samples[index.clamp(0, samples.len() as i64 - 1) as usize];
    (0..length)
        .map(|index| {
            let place = index as f64 * step;
            let (whole, part) = (place.floor() as i64, place.fract() as f32);
            let [a, b, c, d] = [-1, 0, 1, 2].map(|offset| at(whole + offset));
            // Catmull and Rom's spline.
            let (slope, next_slope) = ((c - a) / 2.0, (d - b) / 2.0);
            let cubic = 2.0 * (b - c) + slope + next_slope;
            let square = 3.0 * (c - b) - 2.0 * slope - next_slope;
            ((cubic * part + square) * part + slope) * part + b
        })
        .collect()
}
