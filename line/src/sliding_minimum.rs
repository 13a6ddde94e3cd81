//! The smallest of what came in lately, in a few words of memory whatever the rate. Pure.

use std::time::Duration;

const SLOTS: usize = 10;

/// Minimum over a sliding window, which moves on in tenths of its length: a value counts for at
/// least nine tenths of the window and at most the whole of it. A beginning is not like what follows
/// it, so what came in the first two slots stops counting as soon as there is something newer.
#[derive(Debug, Clone)]
pub(crate) struct SlidingMinimum {
    slot: Duration,
    minima: [Option<i64>; SLOTS],
    /// Number of the newest slot since time zero.
    newest: u64,
    /// The same of the first that was used.
    first: Option<u64>,
}

impl SlidingMinimum {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            slot: (window / SLOTS as u32).max(Duration::from_nanos(1)),
            minima: [None; SLOTS],
            newest: 0,
            first: None,
        }
    }

    /// Adds a value. A `now` before the newest counts as the newest.
    pub(crate) fn add(&mut self, value: i64, now: Duration) {
        let slot = u64::try_from(now.as_nanos() / self.slot.as_nanos()).unwrap_or(u64::MAX);
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        self.newest = self.newest.max(slot);
        self.first.get_or_insert(self.newest);
        for back in 0..passed {
            self.minima[self.index(back)] = None;
        }
        let index = self.index(0);
        let minimum = &mut self.minima[index];
        *minimum = Some(minimum.map_or(value, |least| least.min(value)));
    }

    /// The smallest value in the window that ended with the newest addition.
    pub(crate) fn get(&self) -> Option<i64> {
        let counting = match self.newest - self.first? {
            slots @ (0 | 1) => slots + 1,
            slots => (slots - 1).min(SLOTS as u64),
        };
        (0..counting)
            .filter_map(|back| self.minima[self.index(back)])
            .min()
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
        for second in 0..20 {
            minimum.add(8, Duration::from_secs(second));
        }
        minimum.add(-5, Duration::from_millis(20_500));
        for second in 21..30 {
            minimum.add(7, Duration::from_secs(second));
            assert_eq!(minimum.get(), Some(-5), "{second}");
        }
        minimum.add(7, Duration::from_secs(30));
        assert_eq!(minimum.get(), Some(7));
        minimum.add(9, Duration::from_secs(1_000_000));
        assert_eq!(minimum.get(), Some(9));
        minimum.add(3, Duration::ZERO);
        assert_eq!(minimum.get(), Some(3));
    }

    #[test]
    fn a_beginning_is_forgotten_after_two_slots() {
        let mut minimum = SlidingMinimum::new(Duration::from_secs(10));
        minimum.add(-5, Duration::from_secs(40));
        assert_eq!(minimum.get(), Some(-5));
        minimum.add(-4, Duration::from_secs(41));
        assert_eq!(minimum.get(), Some(-5));
        minimum.add(7, Duration::from_secs(42));
        assert_eq!(minimum.get(), Some(7));
        minimum.add(6, Duration::from_secs(43));
        minimum.add(9, Duration::from_secs(50));
        assert_eq!(minimum.get(), Some(6));
    }
}
