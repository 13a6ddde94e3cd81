//! The microphone's callback.

use std::sync::Arc;

use cpal::InputCallbackInfo;
use ringbuf::HeapProd;
use ringbuf::traits::Producer;

use super::format::{self, DeviceSample};
use super::tally::Tally;
use super::{Health, Record};

/// The half of a microphone's ring that lives in the device callback.
pub(in crate::device) struct CaptureCallback {
    samples: HeapProd<f32>,
    tally: Tally,
    theirs: usize,
    ours: usize,
}

impl CaptureCallback {
    /// For a device of `theirs` channels, of which the first `ours` (1 or 2) go into the ring.
    pub(in crate::device) fn new(
        samples: HeapProd<f32>,
        records: HeapProd<Record>,
        health: Arc<Health>,
        theirs: usize,
        ours: usize,
    ) -> Self {
        Self {
            samples,
            tally: Tally::new(records, health),
            theirs,
            ours,
        }
    }

    /// One delivery of the device, of any size.
    pub(in crate::device) fn on_data<T: DeviceSample>(
        &mut self,
        data: &[T],
        info: &InputCallbackInfo,
    ) {
        let at = self.tally.now();
        let mut lost = 0;
        format::capture(data, self.theirs, self.ours, |block| {
            lost += block.len() - self.samples.push_slice(block);
        });
        let stamp = info.timestamp();
        let latency = stamp.callback.checked_duration_since(stamp.capture);
        let samples = data.len() / self.theirs;
        self.tally.count(at, samples, lost / self.ours, latency);
    }
}
