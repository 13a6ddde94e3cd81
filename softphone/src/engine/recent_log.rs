//! What happened in a call, one entry after another, for readers who look now and then.

/// So many are kept.
const KEPT: usize = 100;

/// Entries, the oldest forgotten when there are too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentLog<T> {
    forgotten: usize,
    kept: Vec<T>,
}

impl<T> RecentLog<T> {
    /// One more.
    pub fn push(&mut self, entry: T) {
        if self.kept.len() == KEPT {
            self.kept.remove(0);
            self.forgotten += 1;
        }
        self.kept.push(entry);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.forgotten + self.kept.len()
    }

    /// Those after the first `seen` of the call.
    #[must_use]
    pub fn after(&self, seen: usize) -> &[T] {
        &self.kept[seen.saturating_sub(self.forgotten).min(self.kept.len())..]
    }
}

impl<T> Default for RecentLog<T> {
    fn default() -> Self {
        Self {
            forgotten: 0,
            kept: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_seen_once_though_old_ones_are_forgotten() {
        let mut log = RecentLog::default();
        let mut seen = 0;
        for number in 0..3 * KEPT {
            log.push(number);
            if number % 70 == 0 {
                assert_eq!(log.after(seen).last(), Some(&number));
                seen = log.count();
                assert!(log.after(seen).is_empty());
            }
        }
        assert_eq!(log.count(), 3 * KEPT);
        assert_eq!(log.after(0).len(), KEPT);
    }
}
