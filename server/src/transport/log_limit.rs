//! One line a minute about what may happen a thousand times a second.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(60);

/// Says when a line is due, and how many were left out before it.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    logged_at: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    /// One more event. When its line is due: how many events had none since the line before.
    pub(crate) fn is_due(&mut self, now: Instant) -> Option<u64> {
        if let Some(at) = self.logged_at
            && now.saturating_duration_since(at) < INTERVAL
        {
            self.left_out += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_that_counts_the_others() {
        let start = Instant::now();
        let mut limit = LogLimit::default();
        let lines: Vec<_> = (0..180_000)
            .filter_map(|ms| limit.is_due(start + Duration::from_millis(ms)))
            .collect();
        assert_eq!(lines, [0, 59_999, 59_999]);
    }
}
