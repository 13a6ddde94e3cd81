//! A line through the callbacks' timestamps: when a sample of the stream is at the microphone or
//! the ear. Smoothed, because hosts poll their latency rather than know it.
//!
//! Pure; the engine keeps one per stream.

use std::time::Duration;

/// A latency beyond this is none.
const PLAUSIBLE: Duration = Duration::from_secs(1);

/// When a sample of the stream is at the device's edge.
#[derive(Debug, Default)]
pub(crate) struct LatencyLine {
    /// Time, since the epoch, of sample 0, in seconds.
    origin_s: Option<f64>,
}

impl LatencyLine {
    /// A sixteenth of each callback's news: settles in some 300 ms, follows 200 ppm of drift
    /// within 0.1 ms.
    const SMOOTHING: f64 = 1.0 / 16.0;
    /// News this far off is a jump, not noise.
    const JUMP_S: f64 = 0.1;

    /// `first`: index of a sample; `at_s`: when it was or will be at the device's edge.
    pub(crate) fn observe(&mut self, first: u64, at_s: f64, rate_hz: u32) {
        let origin = at_s - first as f64 / f64::from(rate_hz);
        self.origin_s = Some(match self.origin_s {
            Some(old) if (origin - old).abs() < Self::JUMP_S => {
                old + (origin - old) * Self::SMOOTHING
            }
            _ => origin,
        });
    }

    /// When sample `index` is at the device's edge, in seconds since the epoch.
    pub(crate) fn time_of(&self, index: u64, rate_hz: u32) -> Option<f64> {
        self.origin_s
            .map(|origin| origin + index as f64 / f64::from(rate_hz))
    }
}

/// Seconds as whole microseconds; nothing negative, nothing beyond the plausible.
pub(crate) fn to_us(seconds: f64) -> u32 {
    (seconds.clamp(0.0, PLAUSIBLE.as_secs_f64()) * 1e6).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_line_averages_a_noisy_host() {
        let mut line = LatencyLine::default();
        // 12 ms of latency, reported with ±4 ms of noise at every 10 ms callback.
        for n in 0..400_u64 {
            let noise = [4.0, -4.0, 1.0, -1.0][n as usize % 4] / 1e3;
            line.observe(n * 480, n as f64 * 0.01 + 0.012 + noise, 48_000);
        }
        let at = line.time_of(400 * 480, 48_000).unwrap();
        assert!((at - 4.012).abs() < 0.0008, "{at}");
    }

    #[test]
    fn microseconds_are_neither_negative_nor_endless() {
        assert_eq!(to_us(-0.5), 0);
        assert_eq!(to_us(0.0123), 12_300);
        assert_eq!(to_us(7.0), 1_000_000);
    }
}
