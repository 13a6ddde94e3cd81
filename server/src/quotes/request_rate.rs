//! How many requests a ticker stream may send. Pure: time comes in as a number.

use std::time::Duration;

use crate::transport::TokenBucket;

/// Requests that may come at once: a whole watchlist, twice.
pub(super) const MAX_REQUESTS_AT_ONCE: u32 = 2_000;

/// Requests that may come each second, for ever.
pub(super) const MAX_REQUESTS_A_SECOND: u32 = 100;

/// The requests were more than the limits allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many requests: a stream may send {MAX_REQUESTS_AT_ONCE} at once and \
     {MAX_REQUESTS_A_SECOND} a second after that"
)]
pub(super) struct TooManyRequests;

/// Counts the requests of a stream.
#[derive(Debug)]
pub(super) struct RequestRate(TokenBucket);

impl RequestRate {
    /// With all that may come at once.
    pub(super) fn new(now: Duration) -> Self {
        Self(TokenBucket::new(
            MAX_REQUESTS_AT_ONCE,
            MAX_REQUESTS_A_SECOND,
            now,
        ))
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// [`TooManyRequests`] when it is one too many.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), TooManyRequests> {
        self.0.take(1, now).then_some(()).ok_or(TooManyRequests)
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
