//! The speaker's callback.

use std::sync::Arc;

use cpal::OutputCallbackInfo;
use ringbuf::traits::Consumer;
use ringbuf::{HeapCons, HeapProd};

use super::format::{self, DeviceSample};
use super::tally::Tally;
use super::{Health, Record};

/// The half of a speaker's ring that lives in the device callback.
pub(crate) struct RenderCallback {
    samples: HeapCons<f32>,
    tally: Tally,
    theirs: usize,
    ours: usize,
}

impl RenderCallback {
    /// For a device of `theirs` channels, of which the first `ours` (1 or 2) come from the ring.
    pub(crate) fn new(
        samples: HeapCons<f32>,
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

    /// One request of the device, of any size.
    pub(crate) fn on_data<T: DeviceSample>(&mut self, data: &mut [T], info: &OutputCallbackInfo) {
        let at = self.tally.now();
        let missing = format::render(data, self.theirs, self.ours, |block| {
            self.samples.pop_slice(block)
        });
        let stamp = info.timestamp();
        let latency = stamp.playback.checked_duration_since(stamp.callback);
        let samples = data.len() / self.theirs;
        self.tally.count(at, samples, missing, latency);
    }
}
