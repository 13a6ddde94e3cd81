//! What is heard in place of sound that is missing: the decoder's guess, faded out before it becomes
//! a drone, then silence; and a seam without a click when the sound is back. The jitter buffer's own,
//! on its thread.

use std::time::Duration;

use super::jitter_buffer_stats::{JitterBufferStats, Totals};
use crate::processing::SampleFifo;
use crate::{Codec, Decoder, Format};

/// The most that is concealed in one piece: what follows would be a guess, and is silence.
pub(crate) const MOST_CONCEALED: Duration = Duration::from_millis(60);
/// Concealment is at full level for so long and then fades to the end of [`MOST_CONCEALED`].
pub(crate) const CONCEALED_IN_FULL: Duration = Duration::from_millis(20);
/// Concealment is made in such steps: libopus makes multiples of 2.5 ms.
pub(crate) const CONCEALMENT_STEP: Duration = Duration::from_millis(5);
/// Sound sets in and ends over this beside silence.
pub(crate) const RAMP: Duration = Duration::from_millis(5);

pub(crate) struct Concealment {
    format: Format,
    /// Samples since the last real one.
    in_a_row: usize,
    /// Level that the sound has faded to.
    gain: f32,
    /// Concealment that fades out under the sound that begins.
    overlap: Vec<f32>,
}

impl Concealment {
    /// Of a stream that has not begun: what comes first is ramped up.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            in_a_row: 0,
            gain: 0.0,
            overlap: Vec::with_capacity(format.samples_in(RAMP) * format.channels()),
        }
    }

    /// What comes first follows sound that was heard elsewhere, and is not ramped up.
    pub(crate) fn continue_sound(&mut self) {
        self.gain = 1.0;
    }

    /// Samples since the last real one; 0 where the sound is real.
    pub(crate) fn in_a_row(&self) -> usize {
        self.in_a_row
    }

    /// The counts, with what goes on.
    pub(crate) fn stats(&self, totals: &Totals) -> JitterBufferStats {
        let most = self.format.samples_in(MOST_CONCEALED);
        totals.stats(self.format, self.in_a_row, most)
    }

    /// Appends a step of concealment, at least as long as `wanted` unless that is longer than one.
    /// Returns its length.
    pub(crate) fn append(
        &mut self,
        wanted: usize,
        decoder: &mut Decoder,
        fifo: &mut SampleFifo,
        totals: &mut Totals,
    ) -> usize {
        let most = self.format.samples_in(MOST_CONCEALED);
        let length = if self.in_a_row < most && self.gain > 0.0 {
            self.append_guess(decoder, fifo)
        } else {
            self.gain = 0.0;
            let end = fifo.tail().len() + wanted * self.format.channels();
            fifo.tail().resize(end, 0.0);
            wanted
        };
        if self.in_a_row == 0 {
            totals.events += 1;
        }
        self.in_a_row += length;
        totals.concealed += length as u64;
        length
    }

    fn append_guess(&mut self, decoder: &mut Decoder, fifo: &mut SampleFifo) -> usize {
        let channels = self.format.channels();
        let start = fifo.len() * channels;
        let step = self.format.samples_in(CONCEALMENT_STEP);
        decoder.conceal(step, fifo.tail());
        let full = self.format.samples_in(CONCEALED_IN_FULL);
        let fade_step = 1.0 / (self.format.samples_in(MOST_CONCEALED) - full) as f32;
        let made = &mut fifo.waiting()[start..];
        for (index, sample) in made.chunks_exact_mut(channels).enumerate() {
            if self.in_a_row + index >= full {
                self.gain = (self.gain - fade_step).max(0.0);
            }
            sample.iter_mut().for_each(|value| *value *= self.gain);
        }
        step
    }

    /// What was concealed turns out to have been the beginning of so much silence.
    pub(crate) fn take_back(&mut self, silence: usize, totals: &mut Totals) {
        if self.in_a_row > 0 && self.in_a_row <= silence {
            totals.concealed -= (self.in_a_row as u64).min(totals.concealed);
            totals.events = totals.events.saturating_sub(1);
            self.in_a_row = 0;
        }
    }

    /// Before a packet is decoded. libopus leads from its own concealment into the next packet; for
    /// the others, a little more concealment is made.
    pub(crate) fn before_packet(&mut self, decoder: &mut Decoder) {
        self.overlap.clear();
        if self.in_a_row > 0 && self.gain > 0.0 && self.format.codec() != Codec::Opus {
            decoder.conceal(self.format.samples_in(RAMP) / 2, &mut self.overlap);
        }
    }

    /// The packet's `sound` is there: ramps it up from where the sound had faded to.
    pub(crate) fn join(&mut self, sound: &mut [f32], totals: &mut Totals) {
        let channels = self.format.channels();
        let ramp_step = 1.0 / self.format.samples_in(RAMP) as f32;
        let fade_step = channels as f32 / self.overlap.len().max(1) as f32;
        let (mut gain, faded) = (self.gain, self.gain);
        for (index, sample) in sound.chunks_exact_mut(channels).enumerate() {
            if gain >= 1.0 && index * channels >= self.overlap.len() {
                break;
            }
            let weight = (index as f32 * fade_step).min(1.0);
            for (channel, value) in sample.iter_mut().enumerate() {
                *value *= gain;
                if let Some(old) = self.overlap.get(index * channels + channel) {
                    *value = old * faded + (*value - old * faded) * weight;
                }
            }
            gain = (gain + ramp_step).min(1.0);
        }
        self.gain = gain;
        self.finish(totals);
    }

    /// Fades out the end of `sound`: silence follows.
    pub(crate) fn fade_out(&mut self, sound: &mut [f32]) {
        let channels = self.format.channels();
        let length = sound.len() / channels;
        let fade = self.format.samples_in(RAMP).min(length);
        let tail = &mut sound[(length - fade) * channels..];
        for (index, sample) in tail.chunks_exact_mut(channels).enumerate() {
            let weight = 1.0 - (index + 1) as f32 / fade as f32;
            sample.iter_mut().for_each(|value| *value *= weight);
        }
        self.gain = 0.0;
    }

    /// Nothing is missing any more.
    pub(crate) fn finish(&mut self, totals: &mut Totals) {
        if self.in_a_row > self.format.samples_in(MOST_CONCEALED) {
            totals.long_events += 1;
        }
        totals.longest = totals.longest.max(self.in_a_row as u64);
        self.in_a_row = 0;
    }
}
