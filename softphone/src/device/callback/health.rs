//! What a stream's callbacks tell its supervisor and the statistics: atomics, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::ErrorKind;

use crate::device::RebuildReason;

/// What supervisor and statistics need to know of one stream. A stream that was given up keeps its
/// own, so that its late callbacks and its 700,000 errors a second disturb nobody.
#[derive(Debug)]
pub(crate) struct Health {
    epoch: Instant,
    callbacks: AtomicU64,
    busy_ns: AtomicU64,
    worst_ns: AtomicU64,
    xruns: AtomicU64,
    backend_errors: AtomicU64,
    route_changes: AtomicU64,
    fault: AtomicU8,
}

impl Health {
    pub(crate) fn new() -> Arc<Self> {
        Self::since(Instant::now())
    }

    /// Of a stream that began so long ago.
    #[cfg(test)]
    pub(crate) fn begun(ago: Duration) -> Arc<Self> {
        Self::since(Instant::now() - ago)
    }

    fn since(epoch: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            callbacks: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            worst_ns: AtomicU64::new(0),
            xruns: AtomicU64::new(0),
            backend_errors: AtomicU64::new(0),
            route_changes: AtomicU64::new(0),
            fault: AtomicU8::new(0),
        })
    }

    /// Time since the stream's epoch: the one clock of callback and engine half.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// From the data callback, at its end; it `began` on this clock.
    pub(crate) fn count_callback(&self, began: Duration) {
        let took = self.now().saturating_sub(began).as_nanos() as u64;
        self.busy_ns.fetch_add(took, Ordering::Relaxed);
        self.worst_ns.fetch_max(took, Ordering::Relaxed);
        self.callbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// From the error callback.
    pub(crate) fn note_error(&self, kind: ErrorKind) {
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

    pub(crate) fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Relaxed)
    }

    /// Time spent in our callbacks altogether, in nanoseconds.
    pub(crate) fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }

    /// The longest callback, in nanoseconds.
    pub(crate) fn worst_ns(&self) -> u64 {
        self.worst_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn xruns(&self) -> u64 {
        self.xruns.load(Ordering::Relaxed)
    }

    pub(crate) fn backend_errors(&self) -> u64 {
        self.backend_errors.load(Ordering::Relaxed)
    }

    pub(crate) fn route_changes(&self) -> u64 {
        self.route_changes.load(Ordering::Relaxed)
    }

    pub(crate) fn fault(&self) -> Option<RebuildReason> {
        decode(self.fault.load(Ordering::Relaxed))
    }
}

/// A reason in an atomic; 0 is none.
pub(crate) fn encode(reason: Option<RebuildReason>) -> u8 {
    match reason {
        None => 0,
        Some(RebuildReason::Silent) => 1,
        Some(RebuildReason::Backend) => 2,
        Some(RebuildReason::Invalidated) => 3,
        Some(RebuildReason::Unavailable) => 4,
    }
}

/// The reverse of [`encode`].
pub(crate) fn decode(code: u8) -> Option<RebuildReason> {
    match code {
        1 => Some(RebuildReason::Silent),
        2 => Some(RebuildReason::Backend),
        3 => Some(RebuildReason::Invalidated),
        4 => Some(RebuildReason::Unavailable),
        _ => None,
    }
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
    fn the_time_of_callbacks_is_summed_and_the_worst_kept() {
        let health = Health::new();
        let now = health.now() + Duration::from_secs(10);
        health.count_callback(now); // the clock went backwards: no time at all
        assert_eq!((health.callbacks(), health.busy_ns()), (1, 0));
        health.count_callback(Duration::ZERO); // as old as the stream
        let first = health.worst_ns();
        assert!(first > 0);
        health.count_callback(now);
        assert_eq!((health.worst_ns(), health.busy_ns()), (first, first));
        assert_eq!(health.callbacks(), 3);
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
}
