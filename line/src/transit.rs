//! How long a chunk travelled, without synchronised clocks.
//!
//! Two things can be measured honestly: a round trip, on one's own clock alone; and by how much
//! more than the quickest of late an arrival took, since a constant difference of the clocks falls
//! out. One way is then half the smallest round trip plus that excess. It is exact when the line
//! at its best is as quick one way as the other; an asymmetry at rest stays hidden, and is shared
//! by halves. Pure, one per stream, whichever thread reads that stream.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sliding_minimum::SlidingMinimum;

/// Chunks remembered until they are acknowledged: 10 s of 2.5 ms ones.
const MOST_SENT: usize = 4_096;

/// How far back the quickest is looked for. Clocks that drift apart by 200 ppm falsify the excess
/// by 2 ms in this time; a queue that stands longer is taken for the line's own delay.
const WINDOW: Duration = Duration::from_secs(10);

/// What an arriving chunk says about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The newest of our chunks that the sender had received; 0: none.
    pub ack_sequence: u64,
    /// How long before this chunk's hand-over that was, in µs.
    pub ack_delay_us: u32,
    /// The sender's own clock at hand-over in µs, from any origin: `media_time` as µs plus
    /// `age_us`. `None` where the age is not known.
    pub sender_clock_us: Option<u64>,
}

/// Delay bookkeeping of one stream, both directions.
#[derive(Debug)]
pub struct Transit {
    /// Sequence and time of what was sent and not yet acknowledged, and the newest that was.
    sent: VecDeque<(u64, Duration)>,
    acknowledged: u64,
    round_trip: Option<Duration>,
    smallest: SlidingMinimum,
    quickest: SlidingMinimum,
    one_way: Option<Duration>,
}

impl Default for Transit {
    fn default() -> Self {
        Self::new()
    }
}

impl Transit {
    /// Of a stream that begins.
    pub fn new() -> Self {
        Self {
            sent: VecDeque::new(),
            acknowledged: 0,
            round_trip: None,
            smallest: SlidingMinimum::new(WINDOW),
            quickest: SlidingMinimum::new(WINDOW),
            one_way: None,
        }
    }

    /// A chunk of ours was handed to the transport. Sequences rise; one that does not is ignored.
    pub fn on_sent(&mut self, sequence: u64, now: Duration) {
        let newest = self
            .sent
            .back()
            .map_or(self.acknowledged, |&(newest, _)| newest);
        if sequence <= newest {
            return;
        }
        if self.sent.len() == MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((sequence, now));
    }

    /// A chunk arrived. Returns how long it travelled ([`Self::one_way`]) as far as known. An
    /// acknowledgement of what was never sent, that goes back, or that claims to have been held
    /// longer than we have waited, is ignored.
    pub fn on_received(&mut self, arrival: Arrival, now: Duration) -> Option<Duration> {
        let round_trip = self.on_acknowledged(arrival, now);
        self.one_way = arrival.sender_clock_us.and_then(|clock_us| {
            let clock_us = i64::try_from(clock_us).ok()?;
            let difference = i64::try_from(now.as_micros()).ok()?.checked_sub(clock_us)?;
            self.quickest.add(difference, now);
            let excess = difference.checked_sub(self.quickest.get()?)?;
            let excess = Duration::from_micros(u64::try_from(excess).ok()?);
            let at_rest = self.smallest_round_trip()? / 2;
            // A sender is not sure of its clock at first, and a wrong one would stay in the window.
            // But no way back can have taken longer than the whole round trip less the way there.
            let most = round_trip.map_or(Duration::MAX, |all| all.saturating_sub(at_rest));
            Some((at_rest + excess).min(most))
        });
        self.one_way
    }

    /// The round trip without the time that the peer held the acknowledgement, smoothed over some
    /// eight arrivals as RFC 6298 does (section 2, alpha 1/8): steady enough to read, and within a
    /// tenth of a second of the truth.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The smallest round trip of the last ten seconds: the line itself, without its queues.
    pub fn smallest_round_trip(&self) -> Option<Duration> {
        let smallest_us = u64::try_from(self.smallest.get()?).ok()?;
        Some(Duration::from_micros(smallest_us))
    }

    /// How long the newest arrival travelled; `None` while no round trip is known, or when it did
    /// not say its sender's clock.
    pub fn one_way(&self) -> Option<Duration> {
        self.one_way
    }

    /// How long the oldest chunk that is not acknowledged has been under way: what shows a stall
    /// before anything else does. `None`: nothing is.
    pub fn unacknowledged_for(&self, now: Duration) -> Option<Duration> {
        let mut sent = self.sent.iter();
        let (_, oldest) = sent.find(|(sequence, _)| *sequence > self.acknowledged)?;
        Some(now.saturating_sub(*oldest))
    }

    /// Returns the round trip that ends with this arrival.
    fn on_acknowledged(&mut self, arrival: Arrival, now: Duration) -> Option<Duration> {
        if arrival.ack_sequence == 0 || arrival.ack_sequence < self.acknowledged {
            return None;
        }
        // Sorted, so found by halves: a hostile peer must not make us walk thousands each time.
        let found = self
            .sent
            .binary_search_by_key(&arrival.ack_sequence, |&(sequence, _)| sequence);
        let index = found.ok()?;
        let (sequence, sent_at) = self.sent[index];
        let held = Duration::from_micros(u64::from(arrival.ack_delay_us));
        let sample = now.checked_sub(sent_at)?.checked_sub(held)?;
        self.acknowledged = sequence;
        self.sent.drain(..index);
        self.smallest
            .add(i64::try_from(sample.as_micros()).unwrap_or(i64::MAX), now);
        self.round_trip = Some(match self.round_trip {
            None => sample,
            Some(smoothed) => (smoothed * 7 + sample) / 8,
        });
        Some(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A peer that answers each chunk after holding it 3 ms, on a clock of its own.
    struct Line {
        transit: Transit,
        now: Duration,
        sequence: u64,
        newest_arrival: Duration,
        peer_clock_offset_us: u64,
        drift_ppm: i64,
        out: Duration,
        back: Duration,
        true_one_way: Duration,
    }

    impl Line {
        fn new(out: Duration, back: Duration) -> Self {
            Self {
                transit: Transit::new(),
                now: ms(1_000),
                sequence: 0,
                newest_arrival: Duration::ZERO,
                peer_clock_offset_us: 77_000_000,
                drift_ppm: 0,
                out,
                back,
                true_one_way: Duration::ZERO,
            }
        }

        /// Sends a chunk and takes its answer, which is delayed on its way back by `extra`.
        fn step(&mut self, extra: Duration) -> Option<Duration> {
            self.sequence += 1;
            self.transit.on_sent(self.sequence, self.now);
            let handed_over = self.now + self.out + ms(3);
            // In order, as a stream is.
            let arrival = (handed_over + self.back + extra).max(self.newest_arrival);
            self.newest_arrival = arrival;
            self.true_one_way = arrival - handed_over;
            let us = handed_over.as_micros() as i64;
            let clock_us = us + us * self.drift_ppm / 1_000_000;
            self.now += ms(10);
            self.transit.on_received(
                Arrival {
                    ack_sequence: self.sequence,
                    ack_delay_us: 3_000,
                    sender_clock_us: Some(self.peer_clock_offset_us + clock_us as u64),
                },
                arrival,
            )
        }
    }

    #[test]
    fn a_constant_delay_is_halved() {
        let mut line = Line::new(ms(20), ms(20));
        for _ in 0..100 {
            assert_eq!(line.step(ms(0)), Some(ms(20)));
        }
        assert_eq!(line.transit.round_trip(), Some(ms(40)));
        assert_eq!(line.transit.smallest_round_trip(), Some(ms(40)));
    }

    #[test]
    fn jitter_is_seen_packet_by_packet() {
        let mut line = Line::new(ms(20), ms(20));
        for _ in 0..300 {
            line.step(ms(0));
        }
        let mut seed = 1u32;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let heard = line.step(ms(u64::from(seed >> 24) % 40)).unwrap();
            assert!(heard.abs_diff(line.true_one_way) < ms(2), "{heard:?}");
        }
    }

    #[test]
    fn a_stall_shows_in_full_and_passes() {
        let mut line = Line::new(ms(5), ms(5));
        for _ in 0..300 {
            line.step(ms(0));
        }
        assert_eq!(line.step(ms(2_000)), Some(ms(2_005)));
        // All that was sent meanwhile arrives at once, each less late than the one before.
        for _ in 0..250 {
            line.step(ms(0));
        }
        assert_eq!(line.step(ms(0)), Some(ms(5)));
        assert!(line.transit.round_trip().unwrap() < ms(11));
    }

    #[test]
    fn a_clock_that_was_wrong_at_first_is_no_delay() {
        let mut line = Line::new(ms(5), ms(5));
        for n in 0..1_000 {
            // As a microphone that thinks itself 12 ms slower than it is, for three seconds.
            if n == 300 {
                line.peer_clock_offset_us -= 12_000;
            }
            let heard = line.step(ms(0)).unwrap();
            assert!(heard <= ms(5), "{n}: {heard:?}");
        }
        assert_eq!(line.step(ms(40)), Some(ms(45)));
    }

    #[test]
    fn drift_does_not_add_up() {
        for drift_ppm in [-200, 200] {
            let mut line = Line::new(ms(20), ms(20));
            line.drift_ppm = drift_ppm;
            for _ in 0..360_000 {
                let heard = line.step(ms(0)).unwrap();
                assert!(heard.abs_diff(ms(20)) <= ms(3), "{drift_ppm} {heard:?}");
            }
        }
    }

    #[test]
    fn an_asymmetric_line_is_shared_by_halves() {
        let mut line = Line::new(ms(10), ms(50));
        line.step(ms(0));
        assert_eq!(line.step(ms(0)), Some(ms(30)));
    }

    #[test]
    fn a_slow_start_is_forgotten() {
        let mut line = Line::new(ms(20), ms(20));
        for _ in 0..10 {
            line.step(ms(300));
        }
        for _ in 0..1_200 {
            line.step(ms(0));
        }
        assert_eq!(line.step(ms(0)), Some(ms(20)));
        // Slower for good: believed once the window has passed.
        line.back = ms(80);
        for _ in 0..1_200 {
            line.step(ms(0));
        }
        assert_eq!(line.step(ms(0)), Some(ms(50)));
    }

    #[test]
    fn without_round_trip_or_clock_nothing_is_claimed() {
        let mut transit = Transit::new();
        let no_ack = Arrival {
            ack_sequence: 0,
            ack_delay_us: 0,
            sender_clock_us: Some(1),
        };
        assert_eq!(transit.on_received(no_ack, ms(10)), None);
        transit.on_sent(1, ms(10));
        let no_clock = Arrival {
            ack_sequence: 1,
            ack_delay_us: 0,
            sender_clock_us: None,
        };
        assert_eq!(transit.on_received(no_clock, ms(30)), None);
        assert_eq!(transit.round_trip(), Some(ms(20)));
        assert_eq!(
            transit.on_received(
                Arrival {
                    ack_sequence: 0,
                    ..no_ack
                },
                ms(30)
            ),
            Some(ms(10 + 20))
        );
    }

    #[test]
    fn hostile_acknowledgements_are_ignored() {
        let mut transit = Transit::new();
        for sequence in 1..=10 {
            transit.on_sent(sequence, ms(10 * sequence));
        }
        for (ack_sequence, ack_delay_us) in [
            (0, 0),
            (11, 0),
            (u64::MAX, 0),
            (5, u32::MAX),
            (5, 1_000_000),
        ] {
            let arrival = Arrival {
                ack_sequence,
                ack_delay_us,
                sender_clock_us: Some(u64::MAX),
            };
            assert_eq!(transit.on_received(arrival, ms(200)), None);
            assert_eq!(transit.round_trip(), None, "{ack_sequence} {ack_delay_us}");
        }
        let good = Arrival {
            ack_sequence: 5,
            ack_delay_us: 10_000,
            sender_clock_us: None,
        };
        transit.on_received(good, ms(200));
        assert_eq!(transit.round_trip(), Some(ms(140)));
        // Back again: ignored.
        transit.on_received(
            Arrival {
                ack_sequence: 4,
                ..good
            },
            ms(900),
        );
        assert_eq!(transit.round_trip(), Some(ms(140)));
        // Time that stands still or goes back does no harm.
        transit.on_received(
            Arrival {
                ack_sequence: 10,
                ..good
            },
            ms(0),
        );
        let clocks = [0, 1, i64::MAX as u64, u64::MAX];
        for clock in clocks {
            let arrival = Arrival {
                sender_clock_us: Some(clock),
                ..good
            };
            transit.on_received(arrival, ms(300));
        }
    }

    #[test]
    fn the_oldest_unacknowledged_chunk_shows_a_stall() {
        let mut transit = Transit::new();
        assert_eq!(transit.unacknowledged_for(ms(5)), None);
        transit.on_sent(1, ms(10));
        transit.on_sent(2, ms(20));
        assert_eq!(transit.unacknowledged_for(ms(110)), Some(ms(100)));
        let ack = Arrival {
            ack_sequence: 1,
            ack_delay_us: 0,
            sender_clock_us: None,
        };
        transit.on_received(ack, ms(110));
        assert_eq!(transit.unacknowledged_for(ms(110)), Some(ms(90)));
        transit.on_received(
            Arrival {
                ack_sequence: 2,
                ..ack
            },
            ms(120),
        );
        assert_eq!(transit.unacknowledged_for(ms(130)), None);
    }

    #[test]
    fn memory_is_bounded_when_nothing_is_acknowledged() {
        let mut transit = Transit::new();
        for sequence in 1..100_000 {
            transit.on_sent(sequence, ms(sequence));
        }
        assert_eq!(transit.sent.len(), MOST_SENT);
    }
}
