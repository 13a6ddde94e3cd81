//! How many requests a ticker stream may send. Pure: time comes in as a number.

use std::time::Duration;

/// Requests that may come at once: a whole watchlist, twice.
pub const MAX_REQUESTS_AT_ONCE: u32 = 2_000;

/// Requests that may come each second, for ever.
pub const MAX_REQUESTS_A_SECOND: u32 = 100;

/// The requests were more than the limits allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many requests: a stream may send {MAX_REQUESTS_AT_ONCE} at once and \
     {MAX_REQUESTS_A_SECOND} a second after that"
)]
pub struct TooManyRequests;

/// A token bucket: full at first, a token for each request, filled up with the time.
#[derive(Debug)]
pub struct RequestRate {
    tokens: f64,
    filled_at: Duration,
}

impl RequestRate {
    /// A full one.
    pub fn new(now: Duration) -> Self {
        Self {
            tokens: MAX_REQUESTS_AT_ONCE.into(),
            filled_at: now,
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// [`TooManyRequests`] when it is one too many.
    pub fn take(&mut self, now: Duration) -> Result<(), TooManyRequests> {
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        let filled = self.tokens + since * f64::from(MAX_REQUESTS_A_SECOND);
        self.tokens = filled.min(MAX_REQUESTS_AT_ONCE.into());
        self.filled_at = now;
        if self.tokens < 1.0 {
            return Err(TooManyRequests);
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchlist_may_come_at_once_and_a_flood_may_not() {
        let mut now = Duration::from_secs(1_000);
        let mut rate = RequestRate::new(now);
        for _ in 0..MAX_REQUESTS_AT_ONCE {
            assert_eq!(rate.take(now), Ok(()));
        }
        assert_eq!(rate.take(now), Err(TooManyRequests));
        now += Duration::from_millis(11);
        assert_eq!(rate.take(now), Ok(()));
        assert_eq!(rate.take(now), Err(TooManyRequests));
        now += Duration::from_secs(3_600);
        for _ in 0..MAX_REQUESTS_AT_ONCE {
            assert_eq!(rate.take(now), Ok(()));
        }
        assert_eq!(rate.take(now), Err(TooManyRequests));
    }

    #[test]
    fn the_steady_rate_goes_on_for_ever() {
        let mut rate = RequestRate::new(Duration::ZERO);
        for n in 0..100_000_u32 {
            let now = Duration::from_secs(1) / MAX_REQUESTS_A_SECOND * n;
            assert_eq!(rate.take(now), Ok(()), "request {n}");
        }
    }
}
