//! What a listener hears, from mixed frames to packets of its own format and length: limiter, resampler,
//! encoder. One for all listeners that hear the same in the same format.

use super::MixingError;
use crate::{
    Encoder, Format, Resampler,
    codec::default_bitrate,
    frame::{Frame, SAMPLE_RATE_HZ},
    measure::rfc6464_level,
    processing::OutputLimiter,
};

/// One packet.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    /// The encoded sound.
    pub payload: &'a [u8],
    /// How much of it, in samples per channel.
    pub samples_per_channel: usize,
    /// Its level as RFC 6464 writes it (−dBov, 0–127).
    pub level: u8,
}

/// The way from the mixer to the listeners.
pub struct OutboundPath {
    /// Samples per channel in a packet.
    packet_samples: usize,
    limiter: OutputLimiter,
    resampler: Resampler,
    encoder: Encoder,
    interleaved: Vec<f32>,
    /// At the listeners' rate, not yet a packet.
    pending: Vec<f32>,
    payload: Vec<u8>,
    delay_us: u32,
    begins_anew: bool,
}

impl OutboundPath {
    /// Packets of `packet_samples` per channel in `format`. The first is short of `already` samples of
    /// silence, so that its packets end where those of others end that began earlier.
    ///
    /// # Errors
    /// The codec or the resampler cannot be set up.
    pub fn new(format: Format, packet_samples: usize, already: usize) -> Result<Self, MixingError> {
        let channels = format.channels();
        let mut encoder = Encoder::new(format, default_bitrate(format))?;
        let resampler = Resampler::new(SAMPLE_RATE_HZ, format.sample_rate_hz(), channels)?;
        let lookahead = encoder.lookahead() as u64 * 1_000_000 / u64::from(format.sample_rate_hz());
        let delay_us = resampler.delay_us() + u32::try_from(lookahead).unwrap_or(u32::MAX);
        let packet_samples = packet_samples.max(1);
        Ok(Self {
            packet_samples,
            // Interleaved samples: one gain for both sides.
            limiter: OutputLimiter::new(SAMPLE_RATE_HZ * channels as u32),
            interleaved: Vec::new(),
            resampler,
            encoder,
            pending: vec![0.0; already % packet_samples * channels],
            payload: Vec::new(),
            delay_us,
            begins_anew: true,
        })
    }

    /// The format of its packets.
    pub fn format(&self) -> Format {
        self.encoder.format()
    }

    /// By how much its packets lag what it is given, in microseconds, but for the wait until a packet is
    /// full.
    pub fn delay_us(&self) -> u32 {
        self.delay_us
    }

    /// Samples per channel, at the listeners' rate, that wait for a packet to be full.
    pub fn pending_samples(&self) -> usize {
        self.pending.len() / self.encoder.format().channels()
    }

    /// Goes on as loud as `other`, which the listeners have heard until now.
    pub fn limit_like(&mut self, other: &Self) {
        self.limiter = other.limiter.clone();
    }

    /// The next packet must be understood by a decoder that has heard something else before.
    pub fn begin_anew(&mut self) {
        self.begins_anew = true;
    }

    /// Takes the next 10 ms, and gives out the packets that are full by it.
    ///
    /// # Errors
    /// libopus failed.
    pub fn push(
        &mut self,
        frame: &Frame,
        mut packet: impl FnMut(Encoded<'_>),
    ) -> Result<(), MixingError> {
        self.interleaved.clear();
        frame.append_interleaved(&mut self.interleaved);
        self.limiter.process(&mut self.interleaved);
        self.resampler.process(&self.interleaved, &mut self.pending);
        let length = self.packet_samples * self.encoder.format().channels();
        let mut taken = 0;
        for samples in self.pending.chunks_exact(length) {
            taken += length;
            self.payload.clear();
            // Such a packet costs more bits, so it is one.
            let anew = std::mem::take(&mut self.begins_anew);
            self.encoder.set_independent(anew)?;
            self.encoder.encode(samples, &mut self.payload)?;
            packet(Encoded {
                payload: &self.payload,
                samples_per_channel: self.packet_samples,
                level: rfc6464_level(samples),
            });
        }
        self.pending.drain(..taken);
        Ok(())
    }
}
