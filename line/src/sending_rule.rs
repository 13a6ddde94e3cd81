//! The sending rule: what keeps a line that cannot send from becoming a line that is late.
//!
//! What the transport has taken cannot be taken back, and comes late once the line flows again. So
//! a sender hands over only while the oldest that was not acknowledged is young ([`is_stalled`]),
//! and lets the rest wait in a queue where it is dropped, oldest first, when it has waited too long
//! ([`LateQueue`]). Pure; both ends of a call live by it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::transit::Transit;

/// The longest that sound may wait for the transport.
pub const LONGEST_WAIT: Duration = Duration::from_millis(150);

/// As long may the oldest chunk be unacknowledged, or two round trips where that is longer.
pub const MOST_UNDER_WAY: Duration = LONGEST_WAIT;

/// Whether what is handed over now would only wait in the transport: the oldest chunk that was not
/// acknowledged is older than it can be on a line that flows. Of a peer that is known to
/// acknowledge; of any other it says nothing.
pub fn is_stalled(transit: &Transit, now: Duration) -> bool {
    let round_trip = transit.smallest_round_trip().unwrap_or_default();
    transit
        .unacknowledged_for(now)
        .is_some_and(|time| time >= MOST_UNDER_WAY.max(round_trip * 2))
}

/// Something that waits to be sent.
pub trait Waiting {
    /// Since when, on the clock of the `now` that the queue is given.
    fn since(&self) -> Duration;
    /// Whether a listener misses it. What is not missed is dropped without being counted.
    fn has_sound(&self) -> bool;
    /// What it holds, in bytes.
    fn bytes(&self) -> usize;
}

/// Waits to be sent, for at most [`LONGEST_WAIT`].
#[derive(Debug)]
pub struct LateQueue<T> {
    waiting: VecDeque<T>,
    bytes: usize,
    /// Sound was dropped, and nothing that was taken since has told of it.
    untold: bool,
    dropped: u64,
}

impl<T> Default for LateQueue<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            untold: false,
            dropped: 0,
        }
    }
}

impl<T: Waiting> LateQueue<T> {
    /// Adds the newest, and drops what has waited too long by the time when it was made.
    pub fn push(&mut self, newest: T) {
        self.drop_late(newest.since());
        self.bytes += newest.bytes();
        self.waiting.push_back(newest);
    }

    /// The oldest that is in time, and whether sound is missing before it that nobody has told of.
    pub fn pop(&mut self, now: Duration) -> Option<(T, bool)> {
        self.drop_late(now);
        let oldest = self.take_oldest()?;
        Some((oldest, std::mem::take(&mut self.untold)))
    }

    /// Drops all that has waited too long.
    pub fn drop_late(&mut self, now: Duration) {
        while self
            .waiting
            .front()
            .is_some_and(|oldest| now.saturating_sub(oldest.since()) > LONGEST_WAIT)
        {
            if let Some(late) = self.take_oldest() {
                self.count_drop(&late);
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        while let Some(waiting) = self.take_oldest() {
            self.count_drop(&waiting);
        }
    }

    /// Counts something that is dropped without ever having waited here.
    pub fn count_drop(&mut self, dropped: &T) {
        if dropped.has_sound() {
            self.dropped += 1;
            self.untold = true;
        }
    }

    /// Whether sound was dropped that nobody has told of yet.
    pub fn is_drop_untold(&self) -> bool {
        self.untold
    }

    /// How many with sound were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What those that wait hold, in bytes: a sender that is quicker than real time is to wait
    /// while this is much.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take_oldest(&mut self) -> Option<T> {
        let oldest = self.waiting.pop_front()?;
        self.bytes -= oldest.bytes();
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::Arrival;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Made at so many milliseconds; silent if made at an odd one.
    #[derive(Debug, PartialEq)]
    struct Chunk(u64);

    impl Waiting for Chunk {
        fn since(&self) -> Duration {
            ms(self.0)
        }
        fn has_sound(&self) -> bool {
            self.0.is_multiple_of(2)
        }
        fn bytes(&self) -> usize {
            10
        }
    }

    #[test]
    fn what_has_waited_too_long_is_dropped_oldest_first_and_told_once() {
        let mut queue = LateQueue::default();
        for at in (0..400).step_by(10) {
            queue.push(Chunk(at));
        }
        assert_eq!(queue.dropped(), 24);
        assert_eq!((queue.len(), queue.bytes()), (16, 160));
        assert_eq!(queue.pop(ms(395)), Some((Chunk(250), true)));
        assert_eq!(queue.pop(ms(395)), Some((Chunk(260), false)));
        queue.clear();
        assert_eq!(queue.pop(ms(395)), None);
        assert_eq!(queue.dropped(), 25 + 13);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn silence_is_dropped_without_a_word() {
        let mut queue = LateQueue::default();
        queue.push(Chunk(1));
        queue.push(Chunk(301));
        assert_eq!(queue.dropped(), 0);
        queue.push(Chunk(302));
        assert_eq!(queue.pop(ms(310)), Some((Chunk(301), false)));
        queue.drop_late(ms(600));
        assert_eq!(queue.dropped(), 1);
        assert!(queue.is_drop_untold());
        queue.push(Chunk(601));
        assert_eq!(queue.pop(ms(603)), Some((Chunk(601), true)));
        assert!(!queue.is_drop_untold());
    }

    #[test]
    fn a_line_has_stalled_when_the_oldest_is_older_than_two_round_trips() {
        for (round_trip, limit) in [(ms(1), ms(150)), (ms(70), ms(150)), (ms(300), ms(600))] {
            let mut transit = Transit::new();
            transit.on_sent(1, ms(0));
            let ack = Arrival {
                ack_sequence: 1,
                ack_delay_us: 0,
                sender_clock_us: None,
            };
            transit.on_received(ack, round_trip);
            let sent = ms(1_000);
            transit.on_sent(2, sent);
            transit.on_sent(3, sent + ms(100));
            assert!(
                !is_stalled(&transit, sent + limit - ms(1)),
                "{round_trip:?}"
            );
            assert!(is_stalled(&transit, sent + limit), "{round_trip:?}");
            let ack = Arrival {
                ack_sequence: 3,
                ..ack
            };
            transit.on_received(ack, sent + limit);
            assert!(!is_stalled(&transit, ms(100_000)), "nothing is under way");
        }
    }
}
