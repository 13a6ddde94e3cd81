//! How much must wait in the jitter buffer for the sound not to stop: learned from how the line
//! has behaved, on the clock of the speaker. Pure bookkeeping in samples per channel.
//!
//! *Lead* is media received less time played, looked at when a packet arrives, just before it
//! counts: what would still have been waiting had nothing ever been cut, inserted or concealed. It
//! moves only because packets are late, pulls are uneven or clocks drift, so its low values of late
//! say what the schedule can afford, whatever was done meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Format;

/// What should be left at the low quantile, besides a quarter of the spread: covers what ten
/// seconds did not show.
const MARGIN: Duration = Duration::from_micros(2_500);
/// The same where the samples of a pull are there long before it, on a line whose spread is not more
/// than `MARGIN`: covers how far the resampler stays behind a place that moves. On others what
/// ten seconds did not show is more than that.
const SERVED_MARGIN: Duration = Duration::from_micros(750);
/// A packet that comes by so much less than `MARGIN` before the next pull counts the more as one that
/// missed it, so that a place that moves does not ask for a whole pull at once.
const NEARLY_MISSED: Duration = Duration::from_micros(500);
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
/// For so many slots the line has to be steady before that is relied on: a place that passes from the
/// end of a pull to the beginning of the next one looks as if it stood still for a moment.
const LEAST_STEADY: usize = 125;
/// From two seconds to the next, the place of the packets between two pulls moves by so much where
/// clocks differ by 75 ppm: faster, and the resampler does not follow it.
const STILL: Duration = Duration::from_micros(150);
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

/// What is kept of a slot: the least of each.
#[derive(Debug, Clone, Copy)]
struct Observation {
    lead: i64,
    /// What would have been left after the last pull before the packet, had that come by the margin
    /// later. Never less than the lead less the margin: a speaker that takes much at once has long
    /// been served when it takes it.
    served: i64,
    /// What was played from the last pull until the packet.
    since_pull: i64,
}

impl Observation {
    fn least(self, other: Self) -> Self {
        Self {
            lead: self.lead.min(other.lead),
            served: self.served.min(other.served),
            since_pull: self.since_pull.min(other.since_pull),
        }
    }
}

pub(crate) struct PlayoutSchedule {
    slot: i64,
    margin: i64,
    served_margin: i64,
    nearly_missed: i64,
    still: i64,
    received: i64,
    pulled: i64,
    /// Cut or skipped, less what was inserted or concealed: what waits is lead less this.
    removed: i64,
    observations: VecDeque<Observation>,
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
    /// The low quantile of the leads, and their median.
    low: Option<(i64, i64)>,
    /// The low quantile of what was served.
    low_served: i64,
    /// For so many slots the line has been steady.
    steady_for: usize,
    current: Option<Observation>,
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
            served_margin: format.samples_in(SERVED_MARGIN) as i64,
            nearly_missed: format.samples_in(NEARLY_MISSED) as i64,
            still: format.samples_in(STILL) as i64,
            received: 0,
            pulled: 0,
            removed: 0,
            observations: VecDeque::with_capacity(SLOTS + 1),
            sorted: Vec::with_capacity(SLOTS + 1),
            ranked: Vec::with_capacity(SLOTS + 1),
            recent: None,
            since_error: 0,
            anchored: 0,
            made: None,
            low: None,
            low_served: 0,
            steady_for: 0,
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

    /// The sound resumes after a pause whose length nobody can vouch for: what the line did before
    /// counts on, as if it were now where it mostly was.
    pub(crate) fn resume(&mut self) {
        self.anchor_pending = true;
        self.current = None;
        self.current_length = 0;
        // Nor does anybody know where between two pulls the packets will come.
        let margin = self.margin;
        for past in &mut self.observations {
            past.served = past.lead - margin;
        }
        self.low_served = self.low.map_or(0, |(low, _)| low - margin);
    }

    /// A new stream: nothing is known.
    pub(crate) fn forget(&mut self) {
        self.observations.clear();
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
            && let Some(observation) = self.current.take()
        {
            // A stream begins unlike it goes on: devices fill their buffers, caches are cold. Until
            // the history is full, its older half is left out, so that this is soon forgotten.
            self.starting = !self.starting && self.observations.len() < SLOTS;
            if !self.starting {
                self.observations.pop_front();
            }
            self.observations.push_back(observation);
            self.current_length = 0;
            self.judge();
        }
    }

    /// A packet arrives, so many samples' time after the last pull, which took `pulled`.
    pub(crate) fn observe(&mut self, since_pull: usize, pulled: usize) {
        let lead = self.received - self.pulled - since_pull as i64;
        let usual = self.low.map(|(_, median)| median);
        let usual = usual.or(self.current.map(|current| current.lead));
        // A second earlier than usual: not the line, but a media time that jumped.
        if let Some(usual) = usual
            && (self.anchor_pending || lead > usual + 50 * self.slot)
        {
            for past in &mut self.observations {
                past.lead += lead - usual;
                past.served += lead - usual;
            }
            self.anchored += lead - usual;
            self.current = None;
            self.judge();
        }
        self.anchor_pending = false;
        self.newest = lead;
        if self.current.is_none() {
            self.open_for = 0;
        }
        let (since_pull, pulled) = (since_pull as i64, pulled as i64);
        let observed = Observation {
            lead,
            served: lead + self.left_until_pull(since_pull, pulled),
            since_pull,
        };
        self.current = Some(match self.current {
            Some(current) => current.least(observed),
            None => observed,
        });
    }

    /// By how much more would be left than the lead, had a packet that came `since_pull` after a pull
    /// come by the margin later: all that was played since the pull, unless the next pull comes first.
    fn left_until_pull(&self, since_pull: i64, pulled: i64) -> i64 {
        let until_pull = pulled - since_pull;
        let clear = (until_pull - self.margin).clamp(0, self.nearly_missed);
        let missed = pulled * (self.nearly_missed - clear) / self.nearly_missed;
        (since_pull - missed).max(-self.margin)
    }

    /// What waits beyond the need after a pull, at the line's worst moments of late; negative: so
    /// much is wanting. 0 while nothing is known.
    pub(crate) fn surplus(&self) -> i64 {
        self.low
            .map_or(0, |(low, _)| low - self.removed - self.needed())
    }

    /// Whether the line was observed for long enough to tell what is usual on it.
    pub(crate) fn is_known(&self) -> bool {
        self.observations.len() >= LEAST_RECENT
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

    /// What should be left of the lead at its worst. Negative where the next pull comes so much later
    /// than a packet that what arrives until then serves it, too.
    fn needed(&self) -> i64 {
        match self.low {
            Some((low, _)) if self.steady_for >= LEAST_STEADY => {
                self.margin.min(low - self.low_served + self.served_margin)
            }
            _ => self.margin,
        }
    }

    /// The median of `value` in `RECENT` observations; `skipped` are newer.
    fn median_of(&mut self, skipped: usize, value: impl Fn(&Observation) -> i64) -> Option<i64> {
        self.sorted.clear();
        let newest = self.observations.iter().rev().skip(skipped).take(RECENT);
        self.sorted.extend(newest.map(value));
        let middle = self.sorted.len() / 2;
        (!self.sorted.is_empty()).then(|| *self.sorted.select_nth_unstable(middle).1)
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
            self.recent = self.median_of(0, |past| past.lead);
        }
        let leads = self.observations.iter().map(|past| past.lead);
        let low = lowest_that_counts(&mut self.ranked, leads);
        let median = self
            .ranked
            .get(self.ranked.len() / 2)
            .map(|&(lead, _)| lead);
        self.low = low.map(|low| (low, median.unwrap_or(low).max(low)));
        let served = self.observations.iter().map(|past| past.served);
        self.low_served = lowest_that_counts(&mut self.ranked, served).unwrap_or(0);
        self.steady_for = match self.looks_steady() {
            true => self.steady_for + 1,
            false => 0,
        };
    }

    fn looks_steady(&mut self) -> bool {
        let spread = self.low.map(|(low, median)| median - low);
        let place = self.median_of(0, |past| past.since_pull);
        let before = self.median_of(RECENT, |past| past.since_pull);
        let moved = place
            .zip(before)
            .map(|(place, before)| (place - before).abs());
        spread.is_some_and(|spread| spread <= self.margin)
            && moved.is_some_and(|moved| moved <= self.still)
    }
}

/// The lowest observation but for those that are allowed to be lower. `ranked` becomes all of them
/// with their places, lowest first.
fn lowest_that_counts(
    ranked: &mut Vec<(i64, usize)>,
    observations: impl Iterator<Item = i64>,
) -> Option<i64> {
    ranked.clear();
    let placed = observations.enumerate();
    ranked.extend(placed.map(|(place, low)| (low, place)));
    ranked.sort_unstable();
    let count = ranked.len();
    let newest = count.saturating_sub(RECENT);
    let mut left = (1 + count / ALLOWED).min(count.saturating_sub(1));
    let mut causes = [usize::MAX; 2 + SLOTS / ALLOWED];
    let mut known = 0;
    for &(low, place) in &*ranked {
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
    ranked.first().map(|&(low, _)| low)
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

    /// What is needed of the lead, in ms, after so many packets of 20 ms that arrive so many µs after a
    /// pull of 20 ms.
    fn needed_ms(packets: u64, since_us: impl Fn(u64) -> u64) -> f64 {
        let mut schedule = PlayoutSchedule::new(Format::OPUS_48K_MONO);
        for packet in 0..packets {
            schedule.observe((since_us(packet) * 48 / 1_000) as usize, 960);
            schedule.receive(960);
            schedule.pull(960);
        }
        schedule.needed() as f64 / 48.0
    }

    #[test]
    fn what_comes_long_before_the_next_pull_needs_nothing_to_wait() {
        // Where a line is seen for the first time, every other observation is kept.
        assert_eq!(needed_ms(240, |_| 6_700), 2.5);
        assert!((needed_ms(300, |_| 6_700) - (0.75 - 6.7)).abs() < 0.1);
        // Where the latest come so late, too: some jitter takes nothing from that.
        let jitters = |packet| 6_000 + 1_500 * (packet % 3 / 2);
        assert!((needed_ms(1_000, jitters) - (0.75 - 7.5)).abs() < 0.1);
    }

    #[test]
    fn what_comes_just_before_the_next_pull_may_miss_it() {
        assert_eq!(needed_ms(1_000, |_| 17_600), 2.5);
        // So it does if that is seldom, but not if it is hardly ever.
        let late = |each: u64| move |packet| if packet % each == 0 { 17_600 } else { 16_000 };
        assert!(needed_ms(1_000, late(50)) > 1.0);
        assert!(needed_ms(1_000, late(400)) < -10.0);
    }

    #[test]
    fn a_place_that_moves_is_not_relied_on() {
        // 200 ppm: 4 µs in 20 ms.
        assert_eq!(needed_ms(1_000, |packet| 2_000 + 4 * packet), 2.5);
        assert!(needed_ms(1_000, |packet| 2_000 + packet) < 0.0);
    }

    #[test]
    fn after_a_pause_the_place_is_another() {
        let mut schedule = PlayoutSchedule::new(Format::OPUS_48K_MONO);
        for packet in 0..1_000 {
            if packet == 900 {
                schedule.resume();
            }
            schedule.observe(320, 960);
            schedule.receive(960);
            schedule.pull(960);
        }
        assert_eq!(schedule.needed(), schedule.margin);
    }
}
