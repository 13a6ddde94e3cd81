//! The clock of a device that is not there.

use std::time::Duration;

/// The most that one look at the clock may advance a virtual device.
const MAX_STEP: Duration = Duration::from_millis(20);

/// Turns the engine's time into samples, as the crystal of a sound card would.
///
/// A real card goes on when the machine is busy and the engine late; a virtual one waits for it,
/// and counts how long: so a synthetic call judges the line, not the scheduler.
#[derive(Debug)]
pub struct VirtualClock {
    sample_rate_hz: u32,
    last: Option<Duration>,
    /// Time that has passed on the device.
    elapsed: Duration,
    /// Samples already handed out.
    samples: u64,
    waited: Duration,
}

impl VirtualClock {
    /// A clock that starts at the first [`VirtualClock::due`].
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz,
            last: None,
            elapsed: Duration::ZERO,
            samples: 0,
            waited: Duration::ZERO,
        }
    }

    /// Samples per channel that have come due since the last call.
    pub fn due(&mut self, now: Duration) -> usize {
        let passed = now.saturating_sub(self.last.unwrap_or(now));
        self.last = Some(now);
        let step = passed.min(MAX_STEP);
        self.waited += passed - step;
        self.elapsed += step;
        let total =
            (self.elapsed.as_nanos() * u128::from(self.sample_rate_hz) / 1_000_000_000) as u64;
        (total - std::mem::replace(&mut self.samples, total)) as usize
    }

    /// Samples per channel in a second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// How long the device has waited for an engine that was late, in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_comes_due_once() {
        let mut clock = VirtualClock::new(44_100);
        let mut total = 0;
        for step in 0..=10_000u64 {
            total += clock.due(Duration::from_micros(step * 1_357));
        }
        assert_eq!(total, (13_570_000u64 * 44_100 / 1_000_000) as usize);
        assert_eq!(clock.waited(), Duration::ZERO);
    }

    #[test]
    fn it_waits_for_a_late_engine() {
        let mut clock = VirtualClock::new(48_000);
        assert_eq!(clock.due(Duration::from_secs(7)), 0);
        assert_eq!(clock.due(Duration::from_millis(7_100)), 960);
        assert_eq!(clock.waited(), Duration::from_millis(80));
    }
}
