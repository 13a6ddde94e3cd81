//! The microphone's callback.

use std::sync::Arc;

use cpal::InputCallbackInfo;
use ringbuf::HeapProd;
use ringbuf::traits::Producer;

use super::format::{self, DeviceSample};
use super::lateness::Lateness;
use super::tally::Tally;
use super::{Health, Record};

/// The half of a microphone's ring that lives in the device callback.
pub(crate) struct CaptureCallback {
    samples: HeapProd<f32>,
    tally: Tally,
    lateness: Lateness,
    theirs: usize,
    ours: usize,
}

impl CaptureCallback {
    /// For a device of `rate_hz` and `theirs` channels, of which the first `ours` (1 or 2) go into the
    /// ring.
    pub(crate) fn new(
        samples: HeapProd<f32>,
        records: HeapProd<Record>,
        health: Arc<Health>,
        rate_hz: u32,
        theirs: usize,
        ours: usize,
    ) -> Self {
        Self {
            samples,
            tally: Tally::new(records, health),
            lateness: Lateness::new(rate_hz),
            theirs,
            ours,
        }
    }

    /// One delivery of the device, of any size. What is stale goes nowhere, and is lost.
    pub(crate) fn on_data<T: DeviceSample>(&mut self, data: &[T], info: &InputCallbackInfo) {
        let at = self.tally.now();
        let samples = data.len() / self.theirs;
        let lost = match self.lateness.is_stale(at, samples) {
            true => samples,
            false => self.push(data),
        };
        let stamp = info.timestamp();
        let latency = stamp.callback.checked_duration_since(stamp.capture);
        self.tally.count(at, samples, lost, latency);
    }

    /// Returns how many samples per channel did not fit.
    fn push<T: DeviceSample>(&mut self, data: &[T]) -> usize {
        let mut lost = 0;
        format::capture(data, self.theirs, self.ours, |block| {
            lost += block.len() - self.samples.push_slice(block);
        });
        lost / self.ours
    }
}
