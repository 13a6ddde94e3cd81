//! Samples waiting to be played, in one piece, so that they can be compared and joined in place.

/// First in, first out; with room kept before the first, into which sound can be stretched.
pub(crate) struct SampleFifo {
    channels: usize,
    /// Interleaved values kept free before the first.
    room: usize,
    values: Vec<f32>,
    first: usize,
}

impl SampleFifo {
    /// `room` and `capacity` in samples per channel. Grows beyond its capacity if it must.
    pub(crate) fn new(channels: usize, room: usize, capacity: usize) -> Self {
        let mut values = Vec::with_capacity((room + capacity) * channels * 2);
        values.resize(room * channels, 0.0);
        Self {
            channels,
            room: room * channels,
            values,
            first: room * channels,
        }
    }

    /// Samples per channel waiting.
    pub(crate) fn len(&self) -> usize {
        (self.values.len() - self.first) / self.channels
    }

    /// What waits, the oldest first.
    pub(crate) fn waiting(&mut self) -> &mut [f32] {
        &mut self.values[self.first..]
    }

    /// Moves the samples out that `out` takes, or as many as there are; returns how many values.
    pub(crate) fn read(&mut self, out: &mut [f32]) -> usize {
        let count = out.len().min(self.values.len() - self.first);
        out[..count].copy_from_slice(&self.values[self.first..self.first + count]);
        self.first += count;
        count
    }

    /// Forgets the oldest.
    pub(crate) fn skip(&mut self, samples: usize) {
        self.first += samples.min(self.len()) * self.channels;
    }

    /// Takes `samples` of the room before the first, and returns them with all that follows.
    pub(crate) fn extend_front(&mut self, samples: usize) -> &mut [f32] {
        let needed = samples * self.channels;
        if self.first < needed {
            let (first, end) = (self.first, self.values.len());
            self.values.resize(end + needed, 0.0);
            self.values.copy_within(first..end, first + needed);
            self.first += needed;
        }
        self.first -= needed;
        &mut self.values[self.first..]
    }

    /// Where to append whole samples, interleaved.
    pub(crate) fn tail(&mut self) -> &mut Vec<f32> {
        // Moved back only when more is free than is in use, so that each value moves once or so.
        let surplus = self.first.saturating_sub(self.room);
        if surplus > 0 && surplus >= (self.values.len() - self.first).max(self.room) {
            self.values.drain(..surplus);
            self.first = self.room;
        }
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_and_memory_stays() {
        let mut fifo = SampleFifo::new(2, 10, 500);
        let (mut written, mut read) = (0u32, 0u32);
        let capacity = fifo.tail().capacity();
        for round in 0..1_000 {
            for _ in 0..2 * (round % 50) {
                fifo.tail().push(written as f32);
                written += 1;
            }
            let mut out = vec![0.0; 2 * (round * 7 % 50)];
            let count = fifo.read(&mut out);
            for value in &out[..count] {
                assert_eq!(*value, read as f32);
                read += 1;
            }
            assert_eq!(fifo.len(), (written - read) as usize / 2);
        }
        assert_eq!(fifo.tail().capacity(), capacity);
        for more in 1..5 {
            assert_eq!(
                fifo.extend_front(10).len(),
                (written - read) as usize + 20 * more
            );
        }
    }
}
