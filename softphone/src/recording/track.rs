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

/// What is off by so many samples (4 ms), in the median of half a second, is no clock: the device gave
/// another time when it began, or stood still for a moment. It is put where it belongs at once.
const MISPLACED: i64 = 192;
const MISPLACED_FOR: usize = RATE_HZ as usize / 2;

/// Samples over which the sound fades before and after such a place: 2 ms.
pub(super) const FADE: usize = 96;

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
    /// Samples that are still to be left out.
    surplus: usize,
    /// Samples since the sound went on after such a place, up to `FADE`.
    faded_in: usize,
    /// By how much each batch was off in the last half second, and how long they are.
    recent: Vec<i64>,
    recent_length: usize,
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
            surplus: 0,
            faded_in: FADE,
            recent: Vec::new(),
            recent_length: 0,
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
        self.drop_surplus();
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
            match self.misplaced(off) {
                Some(off) => self.jump(off),
                None => self.correct(),
            }
        }
        if !self.fresh.is_empty() {
            self.fade_in();
            self.begun = true;
        }
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
        self.recent.clear();
        self.recent_length = 0;
        self.correcting = false;
        for (step, sample) in self.waiting.iter_mut().rev().take(FADE).enumerate() {
            *sample *= step as f32 / FADE as f32;
        }
        self.fill_to(self.position + off.max(0));
        self.surplus = usize::try_from(-off).unwrap_or(0);
        self.drop_surplus();
        if self.begun {
            self.faded_in = 0;
        }
    }

    fn fade_in(&mut self) {
        let left = FADE - self.faded_in;
        for (step, sample) in self.fresh.iter_mut().take(left).enumerate() {
            *sample *= (self.faded_in + step) as f32 / FADE as f32;
        }
        self.faded_in += left.min(self.fresh.len());
    }

    fn drop_surplus(&mut self) {
        let now = self.surplus.min(self.fresh.len());
        self.fresh.drain(..now);
        self.surplus -= now;
    }

    /// By how much all of the last half second is in the wrong place, once it has passed.
    fn misplaced(&mut self, off: i64) -> Option<i64> {
        self.recent.push(off);
        self.recent_length += self.fresh.len();
        if self.recent_length < MISPLACED_FOR {
            return None;
        }
        self.recent_length = 0;
        let middle = self.recent.len() / 2;
        let median = *self.recent.select_nth_unstable(middle).1;
        self.recent.clear();
        (median.abs() > MISPLACED).then_some(median)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(at_s: f64) -> f32 {
        (0.5 * (TAU * 440.0 * at_s).sin()) as f32
    }

    /// Ten seconds of a microphone that says of its samples, at each moment, that they are so much
    /// older than they are.
    fn recorded(says_older_s: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut track = Track::new(true).unwrap();
        for batch in 0..1_000 {
            let ends_s = f64::from(batch + 1) / 100.0;
            let samples: Vec<f32> = (0..480)
                .map(|n| tone(f64::from(batch * 480 + n) / 48_000.0))
                .collect();
            let mark = Mark {
                at_s: ends_s,
                position: i64::from(batch + 1) * 480,
            };
            let batch = Batch {
                samples: &samples,
                sample_rate_hz: 48_000,
                ends_s: ends_s - says_older_s(ends_s),
            };
            track.push(&batch, Some(mark)).unwrap();
        }
        track.waiting.into()
    }

    fn steepest(samples: &[f32]) -> f32 {
        let steps = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        steps.fold(0.0, f32::max)
    }

    /// Whether the last two seconds are where they belong, to half a millisecond.
    fn is_in_place(recorded: &[f32]) -> bool {
        let end = recorded.len() - 4_800;
        (-24..=24).any(|off| {
            let expected = |n: usize| tone((n as f64 + f64::from(off)) / 48_000.0);
            (end - 96_000..end).all(|n| (recorded[n] - expected(n)).abs() < 0.02)
        })
    }

    #[test]
    fn a_device_that_gives_another_time_at_first_is_put_right_at_once_and_without_a_click() {
        for older_s in [-0.03, 0.03] {
            let recorded = recorded(|now_s| if now_s < 0.3 { older_s } else { 0.0 });
            assert!(is_in_place(&recorded), "{older_s} s");
            // The tone rises by 0.029 a sample.
            let steepest = steepest(&recorded[4_800..]);
            assert!(steepest < 0.035, "{older_s} s: a step of {steepest}");
        }
    }

    #[test]
    fn a_clock_is_followed_without_clicks() {
        for ppm in [-300.0, 300.0] {
            let recorded = recorded(|now_s| now_s * ppm * 1e-6);
            let steepest = steepest(&recorded);
            assert!(steepest < 0.031, "{ppm} ppm: a step of {steepest}");
        }
    }
}
