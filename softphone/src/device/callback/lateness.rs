//! Tells what a device hands over as it is captured from what waited while this program stood still.
//!
//! A host keeps what nobody takes, for seconds, and then hands it over in one go. Neither a count nor
//! a time stamp alone shows that; both together do: samples that come later than their number says.
//! Pure, and arithmetic only: it runs in the callback.

use std::time::Duration;

use line::sending_rule::LONGEST_WAIT;

/// A device that came back to within this is punctual again, in seconds.
const CAUGHT_UP_S: f64 = 0.03;
/// One that did not come nearer for so long will not: it lost what is missing, and what it hands
/// over is fresh. In seconds.
const STANDSTILL_S: f64 = 0.1;
/// Nearer is: by so much, in seconds. A crystal that is fast does not gain it while we wait.
const GAIN_S: f64 = 0.001;
/// By so much a device may be slower than our clock, as a ratio. Far more than crystals are.
const MAX_DRIFT: f64 = 0.01;

/// How late a stream of samples is, against the promptest of its own deliveries.
#[derive(Debug)]
pub(super) struct Lateness {
    rate_hz: f64,
    total: u64,
    /// When sample 0 was due, if it was as prompt as the promptest, in seconds.
    prompt_s: f64,
    catching_up: Option<CatchingUp>,
}

/// What waited is coming.
#[derive(Debug, Clone, Copy)]
struct CatchingUp {
    /// The promptest since, as [`Lateness::prompt_s`], and when that was.
    prompt_s: f64,
    at_s: f64,
}

impl Lateness {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: f64::from(rate_hz),
            total: 0,
            prompt_s: f64::INFINITY,
            catching_up: None,
        }
    }

    /// Whether the `samples` per channel that came `at` this time are stale: the first that were late
    /// for longer than sound may wait, and all after them until the device has caught up.
    pub(super) fn is_stale(&mut self, at: Duration, samples: usize) -> bool {
        let at_s = at.as_secs_f64();
        self.total += samples as u64;
        let came_s = at_s - self.total as f64 / self.rate_hz;
        let Some(best) = &mut self.catching_up else {
            let drift_s = samples as f64 / self.rate_hz * MAX_DRIFT;
            self.prompt_s = came_s.min(self.prompt_s + drift_s);
            let is_late = came_s - self.prompt_s > LONGEST_WAIT.as_secs_f64();
            self.catching_up = is_late.then_some(CatchingUp {
                prompt_s: came_s,
                at_s,
            });
            return is_late;
        };
        if came_s < best.prompt_s - GAIN_S {
            *best = CatchingUp {
                prompt_s: came_s,
                at_s,
            };
        }
        let has_caught_up = came_s - self.prompt_s <= CAUGHT_UP_S;
        if has_caught_up || at_s - best.at_s >= STANDSTILL_S {
            self.prompt_s = best.prompt_s;
            self.catching_up = None;
        }
        self.catching_up.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 48_000;

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1e3)
    }

    /// A stream with ten seconds of punctual deliveries of 10 ms.
    fn punctual() -> Lateness {
        let mut lateness = Lateness::new(RATE_HZ);
        for n in 1..=1_000 {
            assert!(!lateness.is_stale(ms(f64::from(n) * 10.0), 480), "{n}");
        }
        lateness
    }

    #[test]
    fn what_waited_during_a_stop_is_stale_and_what_comes_after_it_is_not() {
        let mut lateness = punctual();
        // Three seconds that are handed over within 6 ms, in pieces of another size.
        let stale: Vec<bool> = (0..600)
            .map(|n| lateness.is_stale(ms(13_000.0 + f64::from(n) * 0.01), 240))
            .collect();
        let stale_ms = stale.iter().filter(|stale| **stale).count() * 5;
        assert!((2_960..=2_990).contains(&stale_ms), "{stale_ms} ms");
        assert!(stale.is_sorted_by(|a, b| a >= b), "all of it at first");
        for n in 1..=1_000 {
            assert!(!lateness.is_stale(ms(13_006.0 + f64::from(n) * 10.0), 480));
        }
        // And again.
        assert!(lateness.is_stale(ms(24_006.0), 480));
    }

    #[test]
    fn what_waited_is_stale_however_slowly_it_is_handed_over() {
        let mut lateness = punctual();
        // Three seconds and what comes meanwhile, twice as fast as it lasts.
        let fresh = (0..1_000)
            .map(|n| 13_000.0 + f64::from(n) * 5.0)
            .find(|&at| !lateness.is_stale(ms(at), 480));
        let fresh = fresh.expect("it is heard again");
        assert!((15_950.0..=16_000.0).contains(&fresh), "{fresh} ms");
    }

    #[test]
    fn a_device_that_lost_what_is_missing_is_heard_again_soon() {
        let mut lateness = punctual();
        let fresh = (0..1_000)
            .map(|n| 13_000.0 + f64::from(n) * 10.0)
            .find(|&at| !lateness.is_stale(ms(at), 480));
        let fresh = fresh.expect("it is heard again");
        assert!((13_100.0..=13_110.0).contains(&fresh), "{fresh} ms");
        assert!(!lateness.is_stale(ms(13_120.0), 480));
        // Its new pace is what it is measured by.
        assert!(lateness.is_stale(ms(13_400.0), 480));
    }

    #[test]
    fn one_that_lost_a_part_of_it_hands_over_the_rest_first() {
        let mut lateness = punctual();
        // One of three seconds is left.
        for n in 0..100 {
            let at = ms(13_000.0 + f64::from(n) * 0.01);
            assert!(lateness.is_stale(at, 480), "{n}");
        }
        let fresh = (1..100).find(|&n| !lateness.is_stale(ms(13_001.0 + f64::from(n) * 10.0), 480));
        assert_eq!(fresh, Some(10));
    }

    #[test]
    fn a_delivery_that_is_merely_late_is_not_stale() {
        let mut lateness = punctual();
        assert!(!lateness.is_stale(ms(10_155.0), 480));
        for _ in 0..14 {
            assert!(!lateness.is_stale(ms(10_156.0), 480));
        }
        assert!(!lateness.is_stale(ms(10_160.0), 480));
    }

    #[test]
    fn periods_of_any_length_and_wild_deliveries_are_punctual() {
        for samples in [24, 480, 4_096, 30_000] {
            let mut lateness = Lateness::new(RATE_HZ);
            let period_ms = samples as f64 / 48.0;
            for n in 1..=1_000_u32 {
                let jitter_ms = [0.0, 90.0, 20.0, 60.0][n as usize % 4];
                let at = ms(f64::from(n) * period_ms + jitter_ms);
                assert!(!lateness.is_stale(at, samples), "{samples}");
            }
        }
    }

    #[test]
    fn a_crystal_may_be_off_for_hours() {
        for ppm in [-500.0, 500.0] {
            let mut lateness = Lateness::new(RATE_HZ);
            let period_ms = 10.0 * (1.0 + ppm * 1e-6);
            for n in 1..=2_000_000 {
                assert!(!lateness.is_stale(ms(f64::from(n) * period_ms), 480));
            }
        }
    }

    #[test]
    fn a_stream_may_begin_with_what_was_there_before() {
        let mut lateness = Lateness::new(RATE_HZ);
        // A second at once; and a pause, for the device is ahead.
        for _ in 0..100 {
            assert!(!lateness.is_stale(ms(5.0), 480));
        }
        let fresh = (100..200).find(|&n| !lateness.is_stale(ms(f64::from(n) * 10.0 + 15.0), 480));
        assert!(fresh.is_some_and(|n| n <= 111), "{fresh:?}");
    }
}
