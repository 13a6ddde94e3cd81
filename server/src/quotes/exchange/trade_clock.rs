//! When trades were, as people are told it: by this machine's clock, which may be set at any time, while
//! the market goes on by one that may not.
//!
//! Pure: both clocks are passed in.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// What a machine's clock may be off without having been set: it is steered all the time. In
/// microseconds.
const STEERED_US: i64 = 1_000_000;

/// The market's time on the machine's clock. Trades keep their distances, unless that clock is set, or
/// the machine has slept: from then on they are told by the new time.
#[derive(Debug)]
pub(crate) struct TradeClock {
    /// Microseconds since 1970-01-01 00:00 UTC at the opening.
    opened_unix_us: AtomicI64,
}

impl TradeClock {
    /// Of a market that opens now.
    pub(crate) fn open(unix: Duration) -> Self {
        Self {
            opened_unix_us: AtomicI64::new(micros(unix)),
        }
    }

    /// It is `since_opening` by a clock that is never set, and `unix` by the machine's, since 1970.
    pub(crate) fn observe(&self, since_opening: Duration, unix: Duration) {
        let opened_unix_us = micros(unix).saturating_sub(micros(since_opening));
        let known = self.opened_unix_us.load(Ordering::Relaxed);
        if opened_unix_us.abs_diff(known) > STEERED_US.unsigned_abs() {
            self.opened_unix_us.store(opened_unix_us, Ordering::Relaxed);
        }
    }

    /// A moment since the opening, in microseconds since 1970.
    pub(crate) fn unix_us(&self, since_opening: Duration) -> i64 {
        let opened_unix_us = self.opened_unix_us.load(Ordering::Relaxed);
        opened_unix_us.saturating_add(micros(since_opening))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3_600);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn trades_follow_a_clock_that_is_set_either_way_and_a_machine_that_slept() {
        let clock = TradeClock::open(NOON);
        for (since_opening, unix) in [
            (ms(1_000), NOON + ms(1_000)),
            (ms(2_000), NOON + HOUR),
            (ms(3_000), NOON - 5 * HOUR),
            (ms(4_000), NOON + ms(4_000)),
            (HOUR, Duration::ZERO),
        ] {
            clock.observe(since_opening, unix);
            assert_eq!(clock.unix_us(since_opening), micros(unix));
        }
    }

    #[test]
    fn a_clock_that_is_steered_moves_no_trade() {
        let clock = TradeClock::open(NOON);
        for off_ms in [0, 3, 900] {
            clock.observe(ms(5_000), NOON + ms(5_000 + off_ms));
            assert_eq!(clock.unix_us(ms(5_000)), micros(NOON + ms(5_000)));
        }
        // What it was off in all shows once it is more than that.
        clock.observe(ms(5_000), NOON + ms(6_100));
        assert_eq!(clock.unix_us(ms(5_000)), micros(NOON + ms(6_100)));
    }
}
