//! How much must wait in the jitter buffer for the sound not to stop: learned from how the line
//! has behaved, on the clock of the speaker. Pure bookkeeping in samples per channel.
//!
//! *Lead* is media received less time played, looked at when a packet arrives, just before it
//! counts: what would still have been waiting had nothing ever been cut, inserted or concealed, and
//! had pulls come when the speaker takes what they pulled. It moves only because packets are late,
//! pulls are uneven or clocks drift, so its low values of late say what the schedule can afford,
//! whatever was done meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use super::pull_phase::PullPhase;
use crate::Format;

/// What should be left at the low quantile, besides a quarter of the spread: covers what ten
/// seconds did not show.
const MARGIN: Duration = Duration::from_micros(2_500);
/// The same where packets always arrive at the same place between two pulls: covers how far the
/// resampler stays behind a place that moves slowly.
const STILL_MARGIN: Duration = Duration::from_micros(750);
/// One observation: the smallest lead within so much playing. A whole underrun is one, since
/// nothing arrives in it: a rare stall, however long, does not become everyone's delay.
const SLOT: Duration = Duration::from_millis(20);
/// What comes much too late, and the backlog behind it until it has caught up, is one observation as
/// well, if that takes no longer than so many slots.
const CATCHING_UP: i64 = 10;
/// Observations kept: ten seconds. Long enough for the tail of the jitter to show, short enough to
/// forget a bad moment, and for ±200 ppm of drift to falsify by 2 ms at most.
const SLOTS: usize = 500;
/// The newest observations, two seconds of them, whose median is where the line stands now: no
/// stall and no burst moves it, and drift shows by a second too late, which is 0.2 ms.
const RECENT: usize = 100;
/// Fewer say nothing about clocks.
const LEAST_RECENT: usize = 50;
/// One observation may be lower than the schedule allows for, and one more in so many: of ten
/// seconds the fourth lowest counts, a quantile of 0.7 %. By the E-model (ITU-T G.107.2) a concealed
/// ratio of 0.2 % costs as much as going from 100 to 200 ms of delay, and below 100 ms delay costs
/// nothing; so the quantile is low. It is not lower because a stall each five seconds is two
/// or three such observations: it is heard as such rather than paid for with its length in delay.
const ALLOWED: usize = 200;
/// Low observations so close together, in slots, have one cause. While that is among the newest,
/// each counts, for it may be the beginning of worse; afterwards they are one, and a bad moment that
/// comes alone is forgotten with it.
const ONE_CAUSE: usize = 12;

/// What waits against what should, in samples per channel.
pub(crate) struct ScheduleError {
    /// Too many, or (negative) too few.
    pub(crate) samples: i64,
    /// Part of the change since the error before that the lead has not made.
    pub(crate) adjusted: i64,
    /// Played since the error before.
    pub(crate) elapsed: usize,
}

pub(crate) struct PlayoutSchedule {
    slot: i64,
    margin: i64,
    still_margin: i64,
    phase: PullPhase,
    received: i64,
    pulled: i64,
    /// Pulls come so much before the speaker takes what they pulled.
    ahead: i64,
    /// Cut or skipped, less what was inserted or concealed: what waits is lead less this.
    removed: i64,
    lows: VecDeque<i64>,
    sorted: Vec<i64>,
    /// For finding the lowest: the observations with their places.
    ranked: Vec<(i64, usize)>,
    /// The median of the newest, and what was played since the error was last asked for.
    recent: Option<i64>,
    since_error: usize,
    /// By how much the observations were moved to where the line is now.
    anchored: i64,
    /// The error less the lead alone, when it was last asked for.
    made: Option<i64>,
    /// The low quantile and the median of `lows`.
    low: Option<(i64, i64)>,
    current: Option<i64>,
    current_length: i64,
    /// Played since something arrived for the current observation.
    open_for: i64,
    /// The newest lead.
    newest: i64,
    anchor_pending: bool,
    /// Whether the newest observation was kept without an older one giving way.
    starting: bool,
}

impl PlayoutSchedule {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            slot: format.samples_in(SLOT) as i64,
            margin: format.samples_in(MARGIN) as i64,
            still_margin: format.samples_in(STILL_MARGIN) as i64,
            phase: PullPhase::new(format.sample_rate_hz()),
            received: 0,
            pulled: 0,
            ahead: 0,
            removed: 0,
            lows: VecDeque::with_capacity(SLOTS + 1),
            sorted: Vec::with_capacity(SLOTS + 1),
            ranked: Vec::with_capacity(SLOTS + 1),
            recent: None,
            since_error: 0,
            anchored: 0,
            made: None,
            low: None,
            current: None,
            current_length: 0,
            open_for: 0,
            newest: 0,
            anchor_pending: false,
            starting: false,
        }
    }

    /// Media arrived to be played.
    pub(crate) fn receive(&mut self, samples: usize) {
        self.received += samples as i64;
    }

    /// Media passed by that never arrives.
    pub(crate) fn skip(&mut self, samples: usize) {
        self.received += samples as i64;
        self.removed += samples as i64;
    }

    /// Waiting samples were taken out.
    pub(crate) fn remove(&mut self, samples: usize) {
        self.removed += samples as i64;
    }

    /// Samples that never were media are added to those waiting.
    pub(crate) fn insert(&mut self, samples: usize) {
        self.removed -= samples as i64;
    }

    /// Time passed in which nothing was played of what waits.
    pub(crate) fn idle(&mut self, samples: usize) {
        self.pulled += samples as i64;
        self.removed -= samples as i64;
    }

    /// From now on pulls come so much before the speaker takes what they pulled.
    pub(crate) fn set_ahead(&mut self, samples: usize) {
        self.ahead = samples as i64;
    }

    /// The sound resumes after a pause whose length nobody can vouch for: what the line did before
    /// counts on, as if it were now where it mostly was.
    pub(crate) fn resume(&mut self) {
        self.anchor_pending = true;
        self.current = None;
        self.current_length = 0;
        self.phase.forget();
    }

    /// A new stream: nothing is known.
    pub(crate) fn forget(&mut self) {
        self.lows.clear();
        self.low = None;
        self.recent = None;
        self.made = None;
        self.resume();
    }

    /// Samples were played.
    pub(crate) fn pull(&mut self, samples: usize) {
        self.pulled += samples as i64;
        self.current_length += samples as i64;
        self.since_error += samples;
        self.open_for += samples as i64;
        if self.current_length >= self.slot
            && !self.is_catching_up()
            && let Some(lead) = self.current.take()
        {
            // A stream begins unlike it goes on: devices fill their buffers, caches are cold. Until
            // the history is full, its older half is left out, so that this is soon forgotten.
            self.starting = !self.starting && self.lows.len() < SLOTS;
            if !self.starting {
                self.lows.pop_front();
            }
            self.lows.push_back(lead);
            self.phase.end_slot();
            self.current_length = 0;
            self.judge();
        }
    }

    /// A packet arrives, so many samples' time after the last pull, which took `pulled`.
    pub(crate) fn observe(&mut self, since_pull: usize, pulled: usize) {
        self.phase.observe(since_pull, pulled);
        let lead = self.received - self.pulled + self.ahead - since_pull as i64;
        let usual = self.low.map(|(_, median)| median).or(self.current);
        // A second earlier than usual: not the line, but a media time that jumped.
        if let Some(usual) = usual
            && (self.anchor_pending || lead > usual + 50 * self.slot)
        {
            self.lows.iter_mut().for_each(|low| *low += lead - usual);
            self.anchored += lead - usual;
            self.current = None;
            self.judge();
        }
        self.anchor_pending = false;
        self.newest = lead;
        if self.current.is_none() {
            self.open_for = 0;
        }
        self.current = Some(self.current.map_or(lead, |least| least.min(lead)));
    }

    /// What waits beyond the need after a pull, at the line's worst moments of late; negative: so
    /// much is wanting. 0 while nothing is known.
    pub(crate) fn surplus(&self) -> i64 {
        self.low
            .map_or(0, |(low, _)| low - self.removed - self.needed())
    }

    /// Whether the line was observed for long enough to tell what is usual on it.
    pub(crate) fn is_known(&self) -> bool {
        self.lows.len() >= LEAST_RECENT
    }

    /// By how much more waits than should where the line mostly was these last two seconds: once for
    /// each observation.
    pub(crate) fn take_error(&mut self) -> Option<ScheduleError> {
        let recent = self.recent.take()?;
        let (low, median) = self.low?;
        let samples = recent - (median - low) - self.removed - self.needed();
        let made = samples - (recent - self.anchored);
        let adjusted = made - self.made.replace(made).unwrap_or(made);
        Some(ScheduleError {
            samples,
            adjusted,
            elapsed: std::mem::take(&mut self.since_error),
        })
    }

    /// What must wait beyond the usual for the line's worst moments.
    pub(crate) fn reserve(&self) -> usize {
        let spread = self.low.map_or(0, |(low, median)| median - low);
        usize::try_from(self.margin + spread * 5 / 4).unwrap_or(0)
    }

    /// What should be left of the lead at its worst. Negative where the next pull is known to come
    /// later than at once: what arrives until then serves it, too.
    fn needed(&self) -> i64 {
        let left = self.phase.since_pull().map_or(self.margin, |since| {
            self.margin.min(self.still_margin - since)
        });
        left + self.ahead
    }

    fn is_catching_up(&self) -> bool {
        let late = self
            .low
            .is_some_and(|(low, _)| self.newest < low - self.slot);
        late && self.open_for < CATCHING_UP * self.slot
    }

    fn judge(&mut self) {
        self.recent = None;
        if self.is_known() {
            let newest = self.lows.iter().rev().take(RECENT);
            self.sorted.clear();
            self.sorted.extend(newest);
            let middle = self.sorted.len() / 2;
            self.recent = Some(*self.sorted.select_nth_unstable(middle).1);
        }
        self.ranked.clear();
        let placed = self.lows.iter().enumerate();
        self.ranked.extend(placed.map(|(place, &low)| (low, place)));
        self.ranked.sort_unstable();
        let count = self.ranked.len();
        let low = self.lowest_that_counts();
        self.low = low.map(|low| (low, self.ranked[count / 2].0.max(low)));
    }

    /// The lowest observation but for those that are allowed to be lower.
    fn lowest_that_counts(&self) -> Option<i64> {
        let count = self.ranked.len();
        let newest = count.saturating_sub(RECENT);
        let mut left = (1 + count / ALLOWED).min(count.saturating_sub(1));
        let mut causes = [usize::MAX; 2 + SLOTS / ALLOWED];
        let mut known = 0;
        for &(low, place) in &self.ranked {
            let is_known = causes[..known]
                .iter()
                .any(|&cause| place.abs_diff(cause) < ONE_CAUSE);
            if place < newest {
                if is_known {
                    continue;
                }
                causes[known] = place;
                known += 1;
            }
            if left == 0 {
                return Some(low);
            }
            left -= 1;
        }
        self.ranked.first().map(|&(low, _)| low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must wait after so long on a line whose packets of 20 ms come so late.
    fn reserve_ms(seconds: u64, late_ms: impl Fn(u64) -> i64) -> f64 {
        let mut schedule = PlayoutSchedule::new(Format::OPUS_48K_MONO);
        for packet in 0..seconds * 50 {
            let late = (late_ms(packet) * 48) as usize;
            schedule.observe(late, 960);
            schedule.receive(960);
            schedule.pull(960);
        }
        schedule.reserve() as f64 / 48.0
    }

    #[test]
    fn a_bad_moment_that_comes_alone_is_forgotten_after_two_seconds() {
        let bad = |packet| {
            if (1_000..1_008).contains(&packet) {
                15
            } else {
                0
            }
        };
        let quiet = reserve_ms(20, bad);
        assert!(reserve_ms(21, bad) > quiet + 10.0);
        assert_eq!(reserve_ms(23, bad), quiet);
    }

    #[test]
    fn bad_moments_that_recur_are_prepared_for() {
        let bad = |packet| if packet % 100 < 8 { 15 } else { 0 };
        assert!(reserve_ms(30, bad) > 15.0);
    }
}
