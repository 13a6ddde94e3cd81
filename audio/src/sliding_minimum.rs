//! The smallest of what came in lately, in a few words of memory whatever the rate. Pure.

use std::time::Duration;

const SLOTS: usize = 10;

/// Minimum over a sliding window, which moves on in tenths of its length: a value counts for at
/// least nine tenths of the window and at most the whole of it.
#[derive(Debug, Clone)]
pub(crate) struct SlidingMinimum {
    slot: Duration,
    minima: [Option<i64>; SLOTS],
    /// Number of the newest slot since time zero.
    newest: u64,
}

impl SlidingMinimum {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            slot: (window / SLOTS as u32).max(Duration::from_nanos(1)),
            minima: [None; SLOTS],
            newest: 0,
        }
    }

    /// Adds a value. A `now` before the newest counts as the newest.
    pub(crate) fn add(&mut self, value: i64, now: Duration) {
        let slot = u64::try_from(now.as_nanos() / self.slot.as_nanos()).unwrap_or(u64::MAX);
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        self.newest = self.newest.max(slot);
        for back in 0..passed {
            self.minima[self.index(back)] = None;
        }
        let index = self.index(0);
        let minimum = &mut self.minima[index];
        *minimum = Some(minimum.map_or(value, |least| least.min(value)));
    }

    /// The smallest value in the window that ended with the newest addition.
    pub(crate) fn get(&self) -> Option<i64> {
        self.minima.iter().flatten().copied().min()
    }

    fn index(&self, back: u64) -> usize {
        // The remainder is below SLOTS.
        (self.newest.wrapping_sub(back) % SLOTS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_forgotten_after_the_window_and_not_before() {
        let mut minimum = SlidingMinimum::new(Duration::from_secs(10));
        assert_eq!(minimum.get(), None);
        minimum.add(-5, Duration::from_millis(500));
        for second in 1..10 {
            minimum.add(7, Duration::from_secs(second));
            assert_eq!(minimum.get(), Some(-5), "{second}");
        }
        minimum.add(7, Duration::from_secs(10));
        assert_eq!(minimum.get(), Some(7));
        minimum.add(9, Duration::from_secs(1_000_000));
        assert_eq!(minimum.get(), Some(9));
        minimum.add(3, Duration::ZERO);
        assert_eq!(minimum.get(), Some(3));
    }
}
