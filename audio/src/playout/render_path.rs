//! From packets to the speaker's samples: the jitter buffer, and behind it the resampler that makes
//! up for the speaker's clock not being the sender's.
//!
//! Each does one thing. The buffer meets jitter, by cutting and inserting periods of the voice; the
//! resampler meets drift, by a ratio that follows what waits in the buffer. On the thread that owns
//! the audio, never in a device callback. Pure: `now` is the caller's.

use std::time::Duration;

use crate::{
    CodecError, DriftControl, Format, JitterBuffer, JitterBufferStats, Packet, Playout, Resampler,
    ResamplerError,
};

/// A render path that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RenderPathError {
    /// The decoder.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The speaker's rate.
    #[error(transparent)]
    Resampler(#[from] ResamplerError),
}

/// The receiving half of one leg, down to the samples that a speaker takes.
pub struct RenderPath {
    format: Format,
    speaker_hz: u32,
    jitter_buffer: JitterBuffer,
    drift: DriftControl,
    resampler: Resampler,
    /// From the jitter buffer, at the format's rate.
    pulled: Vec<f32>,
    /// At the speaker's rate: a sample or two more than it wanted last.
    ready: Vec<f32>,
    /// So many samples of what comes next were heard elsewhere, per channel at the speaker's rate.
    skip: usize,
}

impl RenderPath {
    /// Packets of `format` in, samples of the same channels at `speaker_hz` out.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub fn new(format: Format, speaker_hz: u32) -> Result<Self, RenderPathError> {
        let (from_hz, channels) = (format.sample_rate_hz(), format.channels());
        Ok(Self {
            format,
            speaker_hz,
            jitter_buffer: JitterBuffer::new(format)?,
            drift: DriftControl::new(from_hz),
            resampler: Resampler::adjustable(from_hz, speaker_hz, channels)?,
            pulled: Vec::new(),
            ready: Vec::new(),
            skip: 0,
        })
    }

    /// Takes a packet as it arrives ([`JitterBuffer::insert`]).
    pub fn insert(&mut self, packet: Packet<'_>, now: Duration) {
        self.jitter_buffer.insert(packet, now);
    }

    /// Takes a packet that was heard elsewhere, so that what follows it joins it without a seam. Returns
    /// its sound, interleaved, at the speaker's rate.
    pub fn warm(&mut self, payload: &[u8]) -> Vec<f32> {
        let channels = self.format.channels();
        self.pulled.clear();
        self.jitter_buffer.warm(payload, &mut self.pulled);
        let mut resampled = Vec::new();
        self.resampler.process(&self.pulled, &mut resampled);
        let (from_hz, to_hz) = (
            u64::from(self.format.sample_rate_hz()),
            u64::from(self.speaker_hz),
        );
        let heard = (self.pulled.len() / channels) as u64 * to_hz / from_hz;
        // The filter gives out later what was heard in full.
        if self.skip == 0 {
            let delay = u64::from(self.resampler.delay_us()) * to_hz;
            self.skip = (delay as f64 / 1e6).round() as usize;
        }
        self.skip += (heard as usize).saturating_sub(resampled.len() / channels);
        self.ready.clear();
        match from_hz == to_hz {
            true => self.pulled.clone(),
            false => resampled,
        }
    }

    /// A new stream begins ([`JitterBuffer::reset`]). Its clock is likely the one before.
    pub fn reset(&mut self) {
        self.jitter_buffer.reset();
        self.drift.hold();
        self.steer();
    }

    /// The speaker became another. What was learned of its clock counts on until something else is
    /// learned.
    ///
    /// # Errors
    /// The rate cannot be resampled to; nothing has changed.
    pub fn set_speaker_rate(&mut self, speaker_hz: u32) -> Result<(), ResamplerError> {
        if speaker_hz != self.speaker_hz {
            let (from_hz, channels) = (self.format.sample_rate_hz(), self.format.channels());
            self.resampler = Resampler::adjustable(from_hz, speaker_hz, channels)?;
            self.speaker_hz = speaker_hz;
            self.ready.clear();
            self.drift.hold();
            self.steer();
        }
        Ok(())
    }

    /// Fills `samples` (interleaved, at the speaker's rate, any number of whole samples of all
    /// channels) with what is to be played next.
    pub fn pull(&mut self, samples: &mut [f32], now: Duration) -> Playout {
        let channels = self.format.channels();
        let mut playout = Playout::Silence;
        let skipped = self.skip * channels;
        while self.ready.len() < samples.len() + skipped {
            let missing = (samples.len() + skipped - self.ready.len()).div_ceil(channels) as u64;
            let missing = missing * u64::from(self.format.sample_rate_hz());
            // All at once but for a sample or two, so that hardly anything waits behind the buffer,
            // where it could not be steered any more.
            let missing = missing.div_ceil(u64::from(self.speaker_hz));
            self.pulled.clear();
            // A count of samples that fit into memory once.
            self.pulled.resize(missing as usize * channels, 0.0);
            playout = match (playout, self.jitter_buffer.pull(&mut self.pulled, now)) {
                (Playout::Concealed, _) | (_, Playout::Concealed) => Playout::Concealed,
                (Playout::Sound, _) | (_, Playout::Sound) => Playout::Sound,
                _ => Playout::Silence,
            };
            // What was heard elsewhere is joined by what follows it, and by no silence between them.
            if self.skip > 0 && playout == Playout::Silence {
                samples.fill(0.0);
                return playout;
            }
            if let Some(error) = self.jitter_buffer.take_depth_error() {
                self.drift.adjust(error.adjusted);
                self.drift.update(error.samples, error.elapsed);
                self.steer();
            }
            self.resampler.process(&self.pulled, &mut self.ready);
        }
        self.ready.drain(..skipped);
        self.skip = 0;
        samples.copy_from_slice(&self.ready[..samples.len()]);
        self.ready.drain(..samples.len());
        playout
    }

    /// From now on samples are pulled so long before the speaker takes them
    /// ([`JitterBuffer::set_ahead`]).
    pub fn set_ahead(&mut self, ahead: Duration) {
        self.jitter_buffer.set_ahead(ahead);
    }

    /// The speaker played so much silence, in samples per channel at its rate, because there was
    /// nothing to take ([`JitterBuffer::underrun`]).
    pub fn underrun(&mut self, samples: u64) {
        let samples = samples * u64::from(self.format.sample_rate_hz());
        let samples = samples / u64::from(self.speaker_hz);
        self.jitter_buffer
            .underrun(usize::try_from(samples).unwrap_or(usize::MAX));
    }

    /// Whether what arrives is no sound, and not to be played.
    pub fn is_garbage(&self) -> bool {
        self.jitter_buffer.is_garbage()
    }

    /// Where the jitter buffer stands.
    pub fn stats(&self) -> JitterBufferStats {
        self.jitter_buffer.stats()
    }

    /// What a sample spends behind the jitter buffer, in µs: in the resampler's filter, and waiting
    /// for the next pull.
    pub fn resampler_us(&self) -> u32 {
        let waiting = self.ready.len() / self.format.channels();
        let waiting_us = waiting as u64 * 1_000_000 / u64::from(self.speaker_hz);
        self.resampler.delay_us() + u32::try_from(waiting_us).unwrap_or(u32::MAX)
    }

    /// By how many parts per million the speaker's clock is faster than the sender's, as far as
    /// learned.
    pub fn drift_ppm(&self) -> f64 {
        self.drift.ppm()
    }

    fn steer(&mut self) {
        self.resampler
            .set_relative_ratio(self.drift.relative_ratio());
    }
}
