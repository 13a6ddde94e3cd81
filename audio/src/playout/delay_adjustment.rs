//! Brings what waits in the jitter buffer to what the line needs: faster or slower by whole periods
//! of the voice, in pauses first where there are pauses; a great surplus at once. The jitter buffer's
//! own, on its thread.

use std::time::Duration;

use super::jitter_buffer_stats::Totals;
use super::playout_schedule::PlayoutSchedule;
use super::time_stretch::{Match, TimeStretch};
use crate::Format;
use crate::processing::SampleFifo;

/// A surplus beyond this is dropped at once; up to it, it is played faster.
const MOST_PLAYED_FASTER: Duration = Duration::from_millis(400);
/// The seam where much is dropped.
const DROP_FADE: Duration = Duration::from_millis(10);
/// The resampler behind the buffer makes up for less than this: what is wanting of the schedule's
/// margin is not missed yet, and a period of the voice would mostly be more.
const MIN_WANTING: Duration = Duration::from_micros(2_000);
/// Up to so much too much is left to the resampler while little is known of the line: it may be the
/// beginning alone that was early.
const MAX_LEFT_AT_FIRST: Duration = Duration::from_millis(8);
/// Nothing joined well enough: the next look is after so much more.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct DelayAdjustment {
    format: Format,
    stretch: TimeStretch,
    /// Samples to be played before the next cut or insertion.
    rest: usize,
}

impl DelayAdjustment {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            stretch: TimeStretch::new(format.sample_rate_hz(), format.channels()),
            rest: 0,
        }
    }

    /// The most that is inserted at once.
    pub(crate) fn longest_insertion(&self) -> usize {
        *self.stretch.periods().end()
    }

    /// These are played.
    pub(crate) fn played(&mut self, samples: &[f32]) {
        self.stretch.hear(samples);
        let count = samples.len() / self.format.channels();
        self.rest = self.rest.saturating_sub(count);
    }

    /// Before so much is pulled: lengthens or shortens what waits, all of it real sound, towards what
    /// the schedule says.
    pub(crate) fn approach_target(
        &mut self,
        wanted: usize,
        fifo: &mut SampleFifo,
        schedule: &mut PlayoutSchedule,
        totals: &mut Totals,
    ) {
        if self.rest > 0 || fifo.len() == 0 {
            return;
        }
        let surplus = schedule.surplus();
        let spare = fifo.len().saturating_sub(wanted);
        let extra = usize::try_from(surplus).unwrap_or(0).min(spare);
        if extra > self.format.samples_in(MOST_PLAYED_FASTER) {
            let dropped = self.drop_stretch(extra, fifo);
            schedule.remove(dropped);
            totals.dropped_late += dropped as u64;
        } else if extra >= *self.stretch.periods().start()
            && (schedule.is_known() || extra >= self.format.samples_in(MAX_LEFT_AT_FIRST))
        {
            let cut = self.cut_period(extra, fifo);
            schedule.remove(cut);
            totals.cut += cut as u64;
        } else if surplus < -(self.format.samples_in(MIN_WANTING) as i64) {
            let wanting = usize::try_from(-surplus).unwrap_or(0);
            let inserted = self.insert_period(wanting, fifo);
            schedule.insert(inserted);
            totals.inserted += inserted as u64;
        }
    }

    fn drop_stretch(&mut self, extra: usize, fifo: &mut SampleFifo) -> usize {
        let fade = self.format.samples_in(DROP_FADE);
        let least = extra - self.longest_insertion();
        let found = self.stretch.find(fifo.waiting(), least..=extra);
        let distance = found.map_or(extra, |found| found.distance);
        self.stretch.cut(fifo.waiting(), distance, fade);
        fifo.skip(distance);
        self.rest = fade;
        distance
    }

    fn cut_period(&mut self, extra: usize, fifo: &mut SampleFifo) -> usize {
        let ms = self.format.sample_rate_hz() as usize / 1_000;
        // A little too much waits for a pause, or for what repeats as exactly as a tone. The more
        // there is, the less it matters how well it joins, and the sooner the next may follow.
        let (correlation, pause) = match extra / ms {
            0..8 => (0.95, 100 * ms),
            8..15 => (0.8, 100 * ms),
            15..40 => (0.5, 20 * ms),
            _ => (-1.0, 0),
        };
        let Some(distance) = self.find(extra, correlation, fifo) else {
            return 0;
        };
        self.stretch.cut(fifo.waiting(), distance, distance);
        fifo.skip(distance);
        self.rest = distance + pause;
        distance
    }

    fn insert_period(&mut self, wanting: usize, fifo: &mut SampleFifo) -> usize {
        if fifo.len() > self.format.samples_in(MOST_PLAYED_FASTER) {
            return 0;
        }
        let ms = self.format.sample_rate_hz() as usize / 1_000;
        let correlation = match wanting / ms {
            0..3 => 0.95,
            3..6 => 0.6,
            _ => -1.0,
        };
        let most = wanting + 2 * *self.stretch.periods().start();
        let Some(distance) = self.find(most, correlation, fifo) else {
            return 0;
        };
        self.stretch.insert(fifo.extend_front(distance), distance);
        self.rest = 2 * distance;
        distance
    }

    /// A distance of at most so much that joins this well, or lies in a pause.
    fn find(&mut self, most: usize, correlation: f32, fifo: &mut SampleFifo) -> Option<usize> {
        let (least, longest) = self.stretch.periods().into_inner();
        let most = longest.min(most).min(fifo.len() / 2);
        self.rest = self.format.samples_in(LOOK_AGAIN);
        let good = |found: &Match| found.quiet || found.correlation >= correlation;
        let found = self.stretch.find(fifo.waiting(), least..=most);
        found.filter(good).map(|found| found.distance)
    }
}
