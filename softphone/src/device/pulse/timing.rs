//! When the samples of a stream are at the device's edge, from what the server says now and then.
//! Pure.

use std::time::Duration;

/// Between two questions for the latency.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What the server says of a stream's way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// Latency of the device itself.
    pub(super) device: Duration,
    /// Bytes between the device and this program that are in the server's hands.
    pub(super) queued_bytes: i64,
}

/// The times of one stream. All of them on its own clock.
#[derive(Debug)]
pub(super) struct Timing {
    bytes_per_s: f64,
    /// When byte 0 of the stream is at the device's edge, in seconds.
    origin_s: Option<f64>,
    /// The open question: its number, when it was asked, and the bytes that were through by then.
    asked: Option<(u32, Duration, u64)>,
    next: Duration,
}

impl Timing {
    pub(super) fn new(bytes_per_s: u32) -> Self {
        Self {
            bytes_per_s: f64::from(bytes_per_s),
            origin_s: None,
            asked: None,
            next: Duration::ZERO,
        }
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.asked.is_none() && now >= self.next
    }

    /// The server was asked in the command of this `number`, when `bytes` were through.
    pub(super) fn asked(&mut self, number: u32, now: Duration, bytes: u64) {
        self.asked = Some((number, now, bytes));
        self.next = now + POLL_INTERVAL;
    }

    /// When the command of this number was sent and what was through by then, if it is the open
    /// question; it is closed.
    pub(super) fn answered(&mut self, number: u32) -> Option<(Duration, u64)> {
        let (open, sent, bytes) = self.asked?;
        (open == number).then(|| {
            self.asked = None;
            (sent, bytes)
        })
    }

    /// Playback: `report` is of the moment `at`, when `bytes` had been sent.
    pub(super) fn played(&mut self, report: Report, at: Duration, bytes: u64) {
        let ahead_s = report.device.as_secs_f64() + report.queued_bytes as f64 / self.bytes_per_s;
        self.origin_s = Some(at.as_secs_f64() + ahead_s - bytes as f64 / self.bytes_per_s);
    }

    /// Capture: `report` is of the moment `at`, when `bytes` had been received.
    pub(super) fn captured(&mut self, report: Report, at: Duration, bytes: u64) {
        let behind_s = report.device.as_secs_f64() + report.queued_bytes as f64 / self.bytes_per_s;
        self.origin_s = Some(at.as_secs_f64() - behind_s - bytes as f64 / self.bytes_per_s);
    }

    /// How long from `now` until this byte is heard, or since it was captured.
    pub(super) fn distance(&self, byte: u64, now: Duration) -> Option<Duration> {
        let at_s = self.origin_s? + byte as f64 / self.bytes_per_s;
        Some(Duration::from_secs_f64((at_s - now.as_secs_f64()).abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_PER_S: u32 = 192_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_sample_is_heard_behind_what_is_queued_and_the_device() {
        let mut timing = Timing::new(BYTES_PER_S);
        assert_eq!(timing.distance(0, ms(0)), None, "nothing is known yet");
        let report = Report {
            device: ms(3),
            queued_bytes: 192 * 10,
        };
        timing.played(report, ms(50), 192 * 50);
        // The next byte follows 10 ms of queue and 3 ms of device.
        assert_eq!(timing.distance(192 * 50, ms(50)), Some(ms(13)));
        assert_eq!(timing.distance(192 * 60, ms(58)), Some(ms(15)));
    }

    #[test]
    fn a_sample_is_as_old_as_the_device_and_what_was_queued() {
        let mut timing = Timing::new(BYTES_PER_S);
        let report = Report {
            device: ms(4),
            queued_bytes: 0,
        };
        timing.captured(report, ms(100), 192 * 90);
        assert_eq!(timing.distance(192 * 90, ms(100)), Some(ms(4)));
        assert_eq!(timing.distance(192 * 90, ms(105)), Some(ms(9)));
    }

    #[test]
    fn one_question_is_open_at_a_time_and_the_next_comes_after_a_while() {
        let mut timing = Timing::new(BYTES_PER_S);
        assert!(timing.is_due(ms(0)));
        timing.asked(7, ms(0), 10);
        assert!(!timing.is_due(ms(500)));
        assert_eq!(timing.answered(6), None, "of another command");
        assert_eq!(timing.answered(7), Some((ms(0), 10)));
        assert!(!timing.is_due(ms(99)));
        assert!(timing.is_due(ms(100)));
    }
}
