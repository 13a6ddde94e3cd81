//! A budget that fills again at a steady rate. Pure: time comes in as a number.

use std::time::Instant;

/// Holds at most a second's worth, and never owes.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: u32,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            tokens: per_second.into(),
            filled_at: now,
        }
    }

    /// Takes `count`, and says whether there were as many. Where there were not, it is empty.
    pub(super) fn take(&mut self, count: u32, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = self.filled_at.max(now);
        let most = f64::from(self.per_second);
        let left = (self.tokens + since * most).min(most) - f64::from(count);
        self.tokens = left.max(0.0);
        left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_empty_after_a_seconds_worth_and_full_again_a_second_later() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(100, now);
        assert!(bucket.take(100, now));
        assert!(!bucket.take(1, now));
        let half = now + Duration::from_millis(500);
        assert!(bucket.take(50, half));
        assert!(!bucket.take(1, half));
        let later = now + Duration::from_secs(3_600);
        assert!(bucket.take(100, later));
        assert!(!bucket.take(1, later));
    }

    #[test]
    fn what_was_too_much_is_not_owed_and_time_that_goes_back_gives_nothing() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut bucket = TokenBucket::new(100, now);
        for _ in 0..1_000 {
            assert!(!bucket.take(1_000, later));
        }
        assert!(!bucket.take(1, now));
        assert!(bucket.take(100, later + Duration::from_secs(1)));
    }
}
