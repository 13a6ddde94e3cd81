//! One leg's packets, as they arrive, to a frame for each 10 ms of the mixer's clock.
//!
//! Jitter buffer and drift control as before a speaker: the mixer's tick is the speaker. Then the leg's
//! effects, which work on the same frames. Packets that say that they are silent are neither decoded nor
//! processed; the last of them are kept, so that the decoder is warm when there is sound again.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::MixingError;
use crate::{
    Chain, Effects, Format, Gap, Packet, Playout, RenderPath,
    frame::{Frame, SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    measure::rfc6464_level,
};

/// At and below this level (−dBov, RFC 6464) a packet is silent.
const SILENT_LEVEL: u8 = 80;

/// So many packets are kept to warm a decoder with.
const KEPT_PACKETS: usize = 3;

/// Effects hear so much silence, in frames, before they are left out: what they hold has come out.
const FRAMES_UNTIL_IDLE: u32 = 50;

/// One packet of a leg.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Position of its first sample, in samples per channel at the leg's rate.
    pub media_time: u64,
    /// Why sound before it (without a payload: from it on) is missing.
    pub gap: Gap,
    /// Encoded sound; empty: none.
    pub payload: Bytes,
    /// Its level as RFC 6464 writes it (−dBov, 0–127), if the sender says.
    pub level: Option<u8>,
    /// When it arrived.
    pub at: Duration,
    /// How old its first sample was then, in microseconds, if known.
    pub age_us: Option<u32>,
}

impl Arrived {
    /// Whether it says that nothing is to be heard.
    pub fn is_silent(&self) -> bool {
        self.level.is_some_and(|level| level >= SILENT_LEVEL)
    }
}

/// One leg's way to the mixer.
pub struct InboundPath {
    format: Format,
    render: RenderPath,
    chain: Option<Chain>,
    /// Packets since sound was last decoded that said they were silent.
    kept: VecDeque<Arrived>,
    is_asleep: bool,
    silent_frames: u32,
    frame: Frame,
    samples: Vec<f32>,
    /// When the end of the newest packet was at the microphone, in microseconds of the caller's clock.
    captured_us: Option<i64>,
    /// Where the newest packet ends, in samples per channel.
    end: Option<u64>,
    age_us: Option<u32>,
    is_playing: bool,
}

impl InboundPath {
    /// For packets of `format` that go through `effects`.
    ///
    /// # Errors
    /// The codec or a resampler cannot be set up.
    pub fn new(format: Format, effects: &Effects) -> Result<Self, MixingError> {
        let channels = format.channels();
        let chain = match effects.is_none() {
            true => None,
            false => Some(Chain::new(
                effects,
                SAMPLE_RATE_HZ,
                channels,
                SAMPLES_PER_CHANNEL,
            )?),
        };
        Ok(Self {
            format,
            render: RenderPath::new(format, SAMPLE_RATE_HZ)?,
            chain,
            kept: VecDeque::new(),
            is_asleep: false,
            silent_frames: 0,
            frame: Frame::silence(channels),
            samples: Vec::new(),
            captured_us: None,
            end: None,
            age_us: None,
            is_playing: false,
        })
    }

    /// Decodes a packet that was heard elsewhere, so that the next one joins what came before. Returns
    /// its sound at 48 kHz, interleaved.
    pub fn warm(&mut self, payload: &[u8]) -> Vec<f32> {
        self.render.warm(payload)
    }

    /// Takes a packet as it arrives.
    pub fn insert(&mut self, arrived: &Arrived) {
        if arrived.payload.is_empty() {
            return self.mark(arrived.media_time, arrived.gap, arrived.at);
        }
        let samples = self
            .format
            .samples_per_channel(&arrived.payload)
            .unwrap_or(0);
        self.end = Some(arrived.media_time.saturating_add(samples as u64));
        let length = self.format.duration_of(samples);
        self.captured_us = arrived
            .age_us
            .map(|age_us| micros(arrived.at) - i64::from(age_us) + micros(length));
        if arrived.is_silent() {
            if self.kept.len() == KEPT_PACKETS {
                self.kept.pop_front();
            }
            self.kept.push_back(arrived.clone());
            if !self.is_asleep {
                self.is_asleep = true;
                self.mark(arrived.media_time, Gap::Silence, arrived.at);
            }
            return;
        }
        let mut gap = arrived.gap;
        if std::mem::take(&mut self.is_asleep) {
            // A short pause is within what still waits: there it is as it was.
            let is_within = self.render.stats().depth_us > 0;
            for kept in std::mem::take(&mut self.kept) {
                match is_within {
                    true => self.insert_sound(&kept, kept.gap),
                    false => _ = self.render.warm(&kept.payload),
                }
            }
            if !is_within {
                gap = Gap::Silence;
            }
        }
        self.insert_sound(arrived, gap);
    }

    fn insert_sound(&mut self, arrived: &Arrived, gap: Gap) {
        let packet = Packet {
            media_time: arrived.media_time,
            gap,
            payload: &arrived.payload,
        };
        self.render.insert(packet, arrived.at);
    }

    /// The next 10 ms, at the tick `now`.
    pub fn pull(&mut self, now: Duration) -> Playout {
        let channels = self.format.channels();
        let waiting_us = self.render.stats().depth_us as i64;
        self.samples.clear();
        self.samples.resize(SAMPLES_PER_CHANNEL * channels, 0.0);
        let playout = self.render.pull(&mut self.samples, now);
        self.is_playing = playout != Playout::Silence;
        if self.render.is_garbage() {
            self.samples.fill(0.0);
        }
        self.silent_frames = match self.is_playing {
            true => 0,
            false => self.silent_frames.saturating_add(1),
        };
        if let Some(chain) = &mut self.chain
            && self.silent_frames <= FRAMES_UNTIL_IDLE
        {
            chain.process(&mut self.samples);
        }
        self.frame.fill_from_interleaved(&self.samples);
        self.age_us = self
            .captured_us
            .filter(|_| self.is_playing)
            .map(|captured| {
                let age = micros(now) - captured + waiting_us + i64::from(self.behind_buffer_us());
                u32::try_from(age.max(0)).unwrap_or(u32::MAX)
            });
        playout
    }

    /// The frame of the last [`InboundPath::pull`].
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Its level as RFC 6464 writes it (−dBov, 0–127).
    pub fn level(&self) -> u8 {
        rfc6464_level(&self.samples)
    }

    /// How old the first sample of that frame is as it leaves here, in microseconds, if the sender says.
    pub fn age_us(&self) -> Option<u32> {
        self.age_us
    }

    /// Whether that frame holds the leg's sound, or what was made up for it.
    pub fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// The media time of the next sample to be pulled, in samples per channel at the leg's rate; `None`
    /// before the first packet.
    pub fn position(&self) -> Option<u64> {
        let waiting =
            u128::from(self.render.stats().depth_us) * u128::from(self.format.sample_rate_hz());
        self.end
            .map(|end| end.saturating_sub(u64::try_from(waiting / 1_000_000).unwrap_or(u64::MAX)))
    }

    fn behind_buffer_us(&self) -> u32 {
        let chain = self.chain.as_ref().map_or(0, Chain::delay_samples) as u64;
        let chain_us = chain * 1_000_000 / u64::from(SAMPLE_RATE_HZ);
        self.render.resampler_us() + u32::try_from(chain_us).unwrap_or(u32::MAX)
    }

    fn mark(&mut self, media_time: u64, gap: Gap, now: Duration) {
        let packet = Packet {
            media_time,
            gap,
            payload: &[],
        };
        self.render.insert(packet, now);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
