//! What a device callback tells the rest of the program, and how: atomics for the supervisor, a
//! ring of records for the engine. No allocation, no lock, no log, no system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::ErrorKind;

use super::RebuildReason;

/// Records that fit between two looks of the engine; what does not fit is made up for by the next
/// record, since the counts in it are totals.
pub(super) const RECORDS: usize = 256;

/// Host timestamps beyond this are nonsense.
const PLAUSIBLE: Duration = Duration::from_secs(1);

/// One callback, as the engine sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// When it came, since the stream's epoch.
    pub(super) at: Duration,
    /// Samples per channel that the device handed over or took until and including this callback.
    pub(super) total: u64,
    /// Samples per channel until now that the ring could not take or did not have.
    pub(super) faulty: u64,
    /// Callbacks until now that met such a ring.
    pub(super) faults: u64,
    /// Samples per channel in this callback.
    pub(super) samples: u32,
    /// The host's word for the time between this callback and the microphone or the ear, for the
    /// first sample of the callback; `None` if it gave none that is plausible.
    pub(super) latency: Option<Duration>,
}

/// A host's latency, if it is one.
pub(super) fn plausible(latency: Option<Duration>) -> Option<Duration> {
    latency.filter(|&latency| !latency.is_zero() && latency < PLAUSIBLE)
}

/// What supervisor and statistics need to know of one stream. A stream that was given up keeps its
/// own, so that its late callbacks and its 700,000 errors a second disturb nobody.
#[derive(Debug)]
pub(super) struct Health {
    epoch: Instant,
    callbacks: AtomicU64,
    xruns: AtomicU64,
    backend_errors: AtomicU64,
    route_changes: AtomicU64,
    fault: AtomicU8,
}

impl Health {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            callbacks: AtomicU64::new(0),
            xruns: AtomicU64::new(0),
            backend_errors: AtomicU64::new(0),
            route_changes: AtomicU64::new(0),
            fault: AtomicU8::new(0),
        })
    }

    /// Time since the stream's epoch: the one clock of callback and engine half.
    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// From the data callback.
    pub(super) fn count_callback(&self) {
        self.callbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// From the error callback.
    pub(super) fn note_error(&self, kind: ErrorKind) {
        let fault = match kind {
            ErrorKind::Xrun => {
                self.xruns.fetch_add(1, Ordering::Relaxed);
                return;
            }
            ErrorKind::DeviceChanged => {
                self.route_changes.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // These may pass: ALSA over PulseAudio reports some while it starts. The watch waits
            // for what comes after.
            ErrorKind::BackendError => {
                self.backend_errors.fetch_add(1, Ordering::Relaxed);
                return;
            }
            ErrorKind::StreamInvalidated => RebuildReason::Invalidated,
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => {
                RebuildReason::Unavailable
            }
            // Anything else either passes or ends in silence, which the watchdog sees.
            _ => return,
        };
        self.fault.store(encode(Some(fault)), Ordering::Relaxed);
    }

    pub(super) fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Relaxed)
    }

    pub(super) fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    pub(super) fn backend_errors(&self) -> u64 {
        self.backend_errors.load(Ordering::Relaxed)
    }

    pub(super) fn route_changes(&self) -> u64 {
        self.route_changes.load(Ordering::Relaxed)
    }

    pub(super) fn fault(&self) -> Option<RebuildReason> {
        decode(self.fault.load(Ordering::Relaxed))
    }
}

/// A reason in an atomic; 0 is none.
pub(super) fn encode(reason: Option<RebuildReason>) -> u8 {
    match reason {
        None => 0,
        Some(RebuildReason::Silent) => 1,
        Some(RebuildReason::Backend) => 2,
        Some(RebuildReason::Invalidated) => 3,
        Some(RebuildReason::Unavailable) => 4,
    }
}

/// The reverse of [`encode`].
pub(super) fn decode(code: u8) -> Option<RebuildReason> {
    match code {
        1 => Some(RebuildReason::Silent),
        2 => Some(RebuildReason::Backend),
        3 => Some(RebuildReason::Invalidated),
        4 => Some(RebuildReason::Unavailable),
        _ => None,
    }
}

/// A line through the callbacks' timestamps: when a sample of the stream is at the microphone or
/// the ear. Smoothed, because hosts poll their latency rather than know it.
#[derive(Debug, Default)]
pub(super) struct LatencyLine {
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
    pub(super) fn observe(&mut self, first: u64, at_s: f64, rate_hz: u32) {
        let origin = at_s - first as f64 / f64::from(rate_hz);
        self.origin_s = Some(match self.origin_s {
            Some(old) if (origin - old).abs() < Self::JUMP_S => {
                old + (origin - old) * Self::SMOOTHING
            }
            _ => origin,
        });
    }

    /// When sample `index` is at the device's edge, in seconds since the epoch.
    pub(super) fn time_of(&self, index: u64, rate_hz: u32) -> Option<f64> {
        self.origin_s
            .map(|origin| origin + index as f64 / f64::from(rate_hz))
    }
}

/// Seconds as whole microseconds; nothing negative, nothing beyond the plausible.
pub(super) fn to_us(seconds: f64) -> u32 {
    (seconds.clamp(0.0, PLAUSIBLE.as_secs_f64()) * 1e6).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_pass_is_counted_and_what_cannot_is_a_fault() {
        let health = Health::new();
        use ErrorKind::{BackendError, DeviceChanged, Other, Xrun};
        for kind in [
            Xrun,
            Xrun,
            DeviceChanged,
            BackendError,
            BackendError,
            BackendError,
            Other,
        ] {
            health.note_error(kind);
        }
        assert_eq!(
            (
                health.xruns(),
                health.route_changes(),
                health.backend_errors()
            ),
            (2, 1, 3)
        );
        assert_eq!(health.fault(), None);
        for (kind, why) in [
            (ErrorKind::StreamInvalidated, RebuildReason::Invalidated),
            (ErrorKind::DeviceNotAvailable, RebuildReason::Unavailable),
        ] {
            health.note_error(kind);
            assert_eq!(health.fault(), Some(why));
        }
    }

    #[test]
    fn every_reason_survives_its_atomic() {
        use RebuildReason::{Backend, Invalidated, Silent, Unavailable};
        for reason in [
            None,
            Some(Silent),
            Some(Backend),
            Some(Invalidated),
            Some(Unavailable),
        ] {
            assert_eq!(decode(encode(reason)), reason);
        }
    }

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
    fn nonsense_is_no_latency() {
        assert_eq!(plausible(Some(Duration::from_secs(3))), None);
        assert_eq!(plausible(Some(Duration::ZERO)), None);
        assert_eq!(plausible(None), None);
        assert_eq!(
            plausible(Some(Duration::from_millis(9))),
            Some(Duration::from_millis(9))
        );
        assert_eq!(to_us(-0.5), 0);
        assert_eq!(to_us(0.0123), 12_300);
    }
}
