//! A budget that fills again at a steady rate (a token bucket). Pure: time comes in as a number.

use std::time::Duration;

/// Full at first.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    most: u32,
    per_second: u32,
    tokens: f64,
    filled_at: Duration,
}

impl TokenBucket {
    /// Of at most `most` tokens, with `per_second` new ones.
    pub(crate) fn new(most: u32, per_second: u32, now: Duration) -> Self {
        Self {
            most,
            per_second,
            tokens: most.into(),
            filled_at: now,
        }
    }

    /// Takes `count`, or none where there are fewer. Whether it took them.
    pub(crate) fn take(&mut self, count: u32, now: Duration) -> bool {
        self.fill(now);
        let count = f64::from(count);
        let has_them = self.tokens >= count;
        if has_them {
            self.tokens -= count;
        }
        has_them
    }

    /// Whether it holds all that it can.
    pub(crate) fn is_full(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.tokens >= self.most.into()
    }

    fn fill(&mut self, now: Duration) {
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = self.filled_at.max(now);
        self.tokens = (self.tokens + since * f64::from(self.per_second)).min(self.most.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_holds_what_may_come_at_once_and_fills_with_the_time() {
        let mut bucket = TokenBucket::new(200, 100, SECOND);
        assert!(bucket.is_full(SECOND));
        assert!(bucket.take(200, SECOND));
        assert!(!bucket.take(1, SECOND));
        let half = SECOND * 3 / 2;
        assert!(!bucket.is_full(half));
        assert!(bucket.take(50, half));
        assert!(!bucket.take(1, half));
        let later = SECOND * 3_600;
        assert!(bucket.take(200, later));
        assert!(!bucket.take(1, later));
    }

    #[test]
    fn what_is_too_much_takes_nothing_and_time_that_goes_back_gives_nothing() {
        let mut bucket = TokenBucket::new(100, 100, SECOND);
        assert!(!bucket.take(1_000, SECOND));
        assert!(bucket.take(100, SECOND));
        assert!(!bucket.take(1, Duration::ZERO));
        assert!(!bucket.take(1, SECOND));
    }
}
