//! When a line that is gone is tried again. Pure: time and chance are passed in.
//!
//! While nothing answers, a new attempt begins every half second: each can only notice that the line
//! is back if it begins after that. It costs a connection, and no leg. Once the server has answered,
//! each further attempt costs it a leg, and the pauses double: a server that is slow is not helped by
//! more legs.

use std::time::Duration;

/// Between the beginnings of two attempts that nothing answers: at first, and at most.
const FIRST_INTERVAL: Duration = Duration::from_millis(250);
const MAX_INTERVAL: Duration = Duration::from_millis(500);

/// Between an attempt that was answered and the next: at first, and at most.
const FIRST_LEG_PAUSE: Duration = Duration::from_secs(1);
const MAX_LEG_PAUSE: Duration = Duration::from_secs(4);

/// By what part a pause is shorter or longer by chance, so that many phones that lost one server do
/// not come back in step.
const JITTER: f64 = 0.2;

/// A line that was well for so long starts anew: the legs before are forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(5);

/// The pace of the attempts of one call.
#[derive(Debug, Default)]
pub(super) struct AttemptPace {
    /// When the next attempt may begin.
    next: Duration,
    interval: Duration,
    /// Attempts that were answered since the line was last well for long.
    legs: u32,
    /// Since when the line is well; `None`: it is not.
    well_since: Option<Duration>,
}

impl AttemptPace {
    /// One of a line that is well.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            well_since: Some(now),
            ..Self::default()
        }
    }

    /// The line is gone, or still is. The first attempt is due at once, unless legs were opened just
    /// before.
    pub(super) fn line_is_gone(&mut self, now: Duration) {
        let Some(well_since) = self.well_since.take() else {
            return;
        };
        if now.saturating_sub(well_since) >= FORGIVEN_AFTER {
            self.legs = 0;
        }
        self.interval = FIRST_INTERVAL;
        self.next = match self.legs {
            0 => now,
            _ => self.next.max(now),
        };
    }

    /// The line is well.
    pub(super) fn line_is_well(&mut self, now: Duration) {
        self.well_since.get_or_insert(now);
    }

    /// When the next attempt begins.
    pub(super) fn next(&self) -> Duration {
        self.next
    }

    /// An attempt begins. `random` is from 0 to 1, likewise below.
    pub(super) fn begins(&mut self, now: Duration, random: f64) {
        self.next = now + jittered(self.interval, random);
        self.interval = (self.interval * 3 / 2).min(MAX_INTERVAL);
    }

    /// The server answered an attempt, which becomes a leg.
    pub(super) fn answered(&mut self, now: Duration, random: f64) {
        let doubled = 2_u32.saturating_pow(self.legs);
        let pause = FIRST_LEG_PAUSE.saturating_mul(doubled).min(MAX_LEG_PAUSE);
        self.next = now + jittered(pause, random);
        self.legs = self.legs.saturating_add(1);
    }

    /// Nobody listens any more where the server was: who comes next is not to pay for it.
    pub(super) fn refused(&mut self) {
        self.legs = 0;
    }
}

fn jittered(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither shorter nor longer.
    const EVEN: f64 = 0.5;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A line that was well for a minute and is gone now.
    fn gone(now: Duration) -> AttemptPace {
        let mut pace = AttemptPace::new(now - ms(60_000));
        pace.line_is_gone(now);
        pace
    }

    /// When attempts begin within this time, in milliseconds, if nothing answers.
    fn unanswered(pace: &mut AttemptPace, until: Duration, random: f64) -> Vec<u128> {
        let mut begun = Vec::new();
        while pace.next() < until {
            let now = pace.next();
            begun.push(now.as_millis());
            pace.begins(now, random);
        }
        begun
    }

    #[test]
    fn while_nothing_answers_the_next_attempt_is_never_far() {
        let now = ms(100_000);
        let begun = unanswered(&mut gone(now), now + ms(2_200), EVEN);
        assert_eq!(
            begun,
            [100_000, 100_250, 100_625, 101_125, 101_625, 102_125]
        );
        // After a minute, too.
        let begun = unanswered(&mut gone(now), now + ms(60_000), 1.0);
        let longest = begun.windows(2).map(|two| two[1] - two[0]).max();
        assert_eq!(longest, Some(600));
    }

    #[test]
    fn chance_decides_on_a_fifth_of_each_pause() {
        for (random, first, second) in [(0.0, 200, 800), (1.0, 300, 1_200)] {
            let mut pace = gone(ms(100_000));
            pace.begins(ms(100_000), random);
            assert_eq!(pace.next(), ms(100_000 + first));
            pace.answered(ms(100_000), random);
            assert_eq!(pace.next(), ms(100_000 + second));
        }
    }

    #[test]
    fn a_server_that_answers_and_does_no_more_is_asked_less_and_less() {
        let mut pace = gone(ms(100_000));
        let pauses: Vec<_> = (0..40)
            .map(|_| {
                let now = pace.next();
                pace.begins(now, EVEN);
                pace.answered(now + ms(10), EVEN);
                (pace.next() - now).as_millis()
            })
            .collect();
        assert_eq!(pauses[..4], [1_010, 2_010, 4_010, 4_010]);
        assert_eq!(pauses[39], 4_010);
    }

    #[test]
    fn a_line_that_comes_and_goes_costs_no_more_legs() {
        let mut pace = gone(ms(100_000));
        pace.begins(ms(100_000), EVEN);
        pace.answered(ms(100_010), EVEN);
        for now in (100_100..101_000).step_by(100) {
            pace.line_is_well(ms(now));
            pace.line_is_gone(ms(now + 50));
            assert_eq!(pace.next(), ms(101_010));
        }
        // Until it was well for long.
        pace.line_is_well(ms(101_000));
        pace.line_is_well(ms(105_900));
        pace.line_is_gone(ms(106_000));
        assert_eq!(pace.next(), ms(106_000));
        pace.answered(ms(106_000), EVEN);
        assert_eq!(pace.next(), ms(107_000));
    }

    #[test]
    fn a_server_that_starts_after_another_is_asked_at_once() {
        let mut pace = gone(ms(100_000));
        for _ in 0..5 {
            pace.answered(ms(100_000), EVEN);
        }
        let now = pace.next();
        assert_eq!(now, ms(104_000));
        pace.begins(now, EVEN);
        pace.refused();
        let begun = unanswered(&mut pace, now + ms(800), EVEN);
        assert_eq!(begun, [104_250, 104_625]);
        pace.answered(ms(104_625), EVEN);
        assert_eq!(pace.next(), ms(105_625));
    }
}
