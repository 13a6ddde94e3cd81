//! The way of samples from the engine, which never waits, to the thread that writes them.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use ringbuf::{
    HeapCons, HeapProd, HeapRb,
    traits::{Observer, Producer, Split},
};

/// How far a file is, known to all who have to do with it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Samples per channel in the file.
    pub(super) written: AtomicU64,
    /// Samples per channel that did not fit into the queue.
    pub(super) lost: AtomicU64,
    /// Why it stopped before its time.
    pub(super) failure: OnceLock<String>,
}

/// The engine's end. When it is dropped, the file is complete.
pub struct SampleQueue {
    queue: HeapProd<f32>,
    channels: usize,
    progress: Arc<Progress>,
}

impl SampleQueue {
    /// A queue for so many samples per channel, and its other end.
    pub(super) fn new(
        capacity: usize,
        channels: u16,
        progress: Arc<Progress>,
    ) -> (Self, HeapCons<f32>) {
        let channels = usize::from(channels);
        let (queue, samples) = HeapRb::new(capacity * channels).split();
        let queue = Self {
            queue,
            channels,
            progress,
        };
        (queue, samples)
    }

    /// Adds samples, interleaved. What does not fit is lost, and counted.
    pub fn push(&mut self, samples: &[f32]) {
        // Only whole groups, or left and right would change places.
        let room = self.queue.vacant_len() / self.channels * self.channels;
        let queued = self.queue.push_slice(&samples[..room.min(samples.len())]);
        let lost = (samples.len() - queued) / self.channels;
        self.progress.lost.fetch_add(lost as u64, Ordering::Relaxed);
    }
}
