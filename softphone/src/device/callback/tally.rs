//! What a data callback keeps count of, the same in both directions.

use std::sync::Arc;
use std::time::Duration;

use ringbuf::HeapProd;
use ringbuf::traits::Producer;

use super::Health;

/// Records that fit between two looks of the engine; what does not fit is made up for by the next
/// record, since the counts in it are totals.
pub(crate) const RECORDS: usize = 256;

/// One callback, as the engine sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// When it came, since the stream's epoch.
    pub(crate) at: Duration,
    /// Samples per channel that the device handed over or took until and including this callback.
    pub(crate) total: u64,
    /// Samples per channel until now that the ring could not take or did not have.
    pub(crate) faulty: u64,
    /// Callbacks until now that met such a ring.
    pub(crate) faults: u64,
    /// Samples per channel in this callback.
    pub(crate) samples: u32,
    /// The host's word for the time between this callback and the microphone or the ear, for the
    /// first sample of the callback; `None` if it gave none that is plausible.
    pub(crate) latency: Option<Duration>,
}

/// The counts of one stream, and where they are told.
pub(super) struct Tally {
    records: HeapProd<Record>,
    health: Arc<Health>,
    total: u64,
    faulty: u64,
    faults: u64,
}

impl Tally {
    pub(super) fn new(records: HeapProd<Record>, health: Arc<Health>) -> Self {
        Self {
            records,
            health,
            total: 0,
            faulty: 0,
            faults: 0,
        }
    }

    /// Now, on the stream's clock: the first thing that a callback asks.
    pub(super) fn now(&self) -> Duration {
        self.health.now()
    }

    /// The last thing that a callback does: it began `at`, moved `samples` per channel, and missed
    /// the ring by `faulty` of them.
    pub(super) fn count(
        &mut self,
        at: Duration,
        samples: usize,
        faulty: usize,
        latency: Option<Duration>,
    ) {
        self.total += samples as u64;
        if faulty > 0 {
            self.faulty += faulty as u64;
            self.faults += 1;
        }
        // A full ring of records: the next one will tell.
        let _ = self.records.try_push(Record {
            at,
            total: self.total,
            faulty: self.faulty,
            faults: self.faults,
            samples: samples as u32,
            latency: plausible(latency),
        });
        self.health.count_callback(at);
    }
}

/// A host's latency, if it is one: beyond a second it is nonsense.
fn plausible(latency: Option<Duration>) -> Option<Duration> {
    latency.filter(|&latency| !latency.is_zero() && latency < Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_latency() {
        assert_eq!(plausible(Some(Duration::from_secs(3))), None);
        assert_eq!(plausible(Some(Duration::ZERO)), None);
        assert_eq!(plausible(None), None);
        let latency = Some(Duration::from_millis(9));
        assert_eq!(plausible(latency), latency);
    }
}
