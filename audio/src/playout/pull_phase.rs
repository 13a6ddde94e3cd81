//! Where between two pulls the packets arrive. On a line without jitter, under a speaker whose clock
//! is nearly the sender's, that place stands still: the next pull is then known to come so much after
//! each arrival, and nothing has to wait for the case that it came at once. The playout schedule's
//! own; pure bookkeeping in samples per channel.

use std::collections::VecDeque;

/// Observations that are judged, one a slot of the schedule: five seconds.
const SLOTS: usize = 250;
/// One observation may lie anywhere: a moment in which the machine was busy.
const ODD: usize = 1;
/// The place stands still if it moves by no more in these five seconds, as parts of a second: clocks
/// differ by no more than 100 ppm, and nothing comes early or late.
const STILL_PART: i64 = 2_000;
/// Before the next pull, as parts of a second, there is at least so much time …
const CLEAR_PART: i64 = 400;
/// … and remains so much, or what arrives a little later is a whole pull too late.
const STILL_CLEAR_PART: i64 = 700;

/// An arrival between two pulls.
#[derive(Debug, Clone, Copy)]
struct Place {
    since_pull: i64,
    until_pull: i64,
}

#[derive(Debug)]
pub(crate) struct PullPhase {
    rate: i64,
    /// Of each slot, the least of both.
    places: VecDeque<Place>,
    current: Option<Place>,
    sorted: Vec<i64>,
    /// Samples played between a pull and the earliest arrival after it, while that stands still.
    known: Option<i64>,
}

impl PullPhase {
    pub(crate) fn new(sample_rate_hz: u32) -> Self {
        Self {
            rate: i64::from(sample_rate_hz),
            places: VecDeque::with_capacity(SLOTS + 1),
            current: None,
            sorted: Vec::with_capacity(SLOTS),
            known: None,
        }
    }

    /// A packet arrives so long after a pull of `pulled` samples.
    pub(crate) fn observe(&mut self, since_pull: usize, pulled: usize) {
        let since_pull = since_pull as i64;
        let until_pull = pulled as i64 - since_pull;
        let current = self.current.get_or_insert(Place {
            since_pull,
            until_pull,
        });
        current.since_pull = current.since_pull.min(since_pull);
        current.until_pull = current.until_pull.min(until_pull);
    }

    /// A slot is over.
    pub(crate) fn end_slot(&mut self) {
        let Some(place) = self.current.take() else {
            return;
        };
        if self.places.len() == SLOTS {
            self.places.pop_front();
        }
        self.places.push_back(place);
        self.known = self.judge();
    }

    /// The place is another, or may be.
    pub(crate) fn forget(&mut self) {
        self.places.clear();
        self.current = None;
        self.known = None;
    }

    /// So much is played at least between a pull and the arrival after it; `None` where that is not
    /// known, or moves.
    pub(crate) fn since_pull(&self) -> Option<i64> {
        self.known
    }

    fn judge(&mut self) -> Option<i64> {
        if self.places.len() < SLOTS {
            return None;
        }
        let (earliest, latest) = self.bounds(|place| place.since_pull);
        let (nearest, farthest) = self.bounds(|place| place.until_pull);
        let clear = self.known.map_or(CLEAR_PART, |_| STILL_CLEAR_PART);
        let most = self.rate / STILL_PART;
        let is_still = latest - earliest <= most && farthest - nearest <= most;
        (is_still && nearest >= self.rate / clear).then_some(earliest)
    }

    /// The least and the most but for what may be odd.
    fn bounds(&mut self, value: impl Fn(&Place) -> i64) -> (i64, i64) {
        self.sorted.clear();
        self.sorted.extend(self.places.iter().map(value));
        self.sorted.sort_unstable();
        let last = self.sorted.len().saturating_sub(1);
        (
            self.sorted[ODD.min(last)],
            self.sorted[last.saturating_sub(ODD)],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: usize = 48;

    /// What is known after so many packets that arrive so many µs after a pull of 10 ms.
    fn known(packets: usize, since_us: impl Fn(usize) -> usize) -> Option<i64> {
        let mut phase = PullPhase::new(48_000);
        for packet in 0..packets {
            phase.observe(since_us(packet) * MS / 1_000, 10 * MS);
            phase.end_slot();
        }
        phase.since_pull().map(|since| since / MS as i64)
    }

    #[test]
    fn a_place_that_stands_still_is_known_after_five_seconds() {
        assert_eq!(known(249, |_| 6_700), None);
        assert_eq!(known(250, |_| 6_700), Some(6));
    }

    #[test]
    fn a_moving_place_is_not_relied_on() {
        // 200 ppm, and a line that jitters by a millisecond.
        assert_eq!(known(1_000, |packet| 2_000 + 4 * packet), None);
        assert_eq!(known(1_000, |packet| 3_000 + 1_000 * (packet % 2)), None);
    }

    #[test]
    fn a_place_just_before_the_next_pull_is_not_relied_on() {
        assert_eq!(known(250, |_| 8_000), None);
        // Coming from elsewhere it is, for a while.
        let slow = |packet: usize| 7_000 + packet;
        assert_eq!(known(1_300, slow), Some(8));
        assert_eq!(known(2_000, slow), None);
    }

    #[test]
    fn one_busy_moment_changes_nothing_and_more_do() {
        let busy = |until: usize| {
            move |packet| {
                if (260..until).contains(&packet) {
                    9_900
                } else {
                    6_700
                }
            }
        };
        assert_eq!(known(300, busy(261)), Some(6));
        assert_eq!(known(300, busy(263)), None);
    }
}
