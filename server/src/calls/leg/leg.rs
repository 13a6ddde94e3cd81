//! One leg of a call: what the contract says about one peer's stream, chunk by chunk.
//!
//! Pure: chunks in, chunks out, `now` passed in. The service around it does the waiting and turns
//! errors into statuses.

use std::time::Duration;

use audio::{Effects, Format, LegError as AudioError, PayloadError};
use bytes::Bytes;
use proto::{
    callcenter::{Accepted, AudioChunk, Gap},
    text::{is_carried, quoted},
};

use super::{answer::Answer, downlink::Downlink};

/// The longest call id we carry.
const MAX_CALL_ID_BYTES: usize = 128;

/// So many payloads in a row that no decoder understands are no accident.
const MAX_UNDECODABLE_IN_A_ROW: u32 = 50;

/// Why a leg ends with an error. All of these are the peer's doing, but the last.
#[derive(Debug, thiserror::Error)]
pub(super) enum LegError {
    /// One of codec, rate, channels.
    #[error("{0}")]
    Format(#[from] audio::FormatError),
    /// One of the effects in `Join`.
    #[error("join.effects: {0}")]
    Effects(#[from] audio::EffectsError),
    /// A payload that is not what the format says.
    #[error("chunk {chunk}: {error}{}", lab_hint(.error))]
    Payload {
        /// Which chunk of the stream, from 1.
        chunk: u64,
        /// What is wrong with it.
        error: PayloadError,
    },
    /// Nothing decodable for too long.
    #[error(
        "{MAX_UNDECODABLE_IN_A_ROW} packets in a row could not be decoded; check that codec names what audio_data holds"
    )]
    Undecodable,
    /// Too long a call id.
    #[error("call_id is {0} bytes long; accepted are at most {MAX_CALL_ID_BYTES}")]
    CallIdTooLong(usize),
    /// Line feeds and the like in a call id.
    #[error("call_id {0} holds control characters; accepted is any text without them")]
    CallIdControl(String),
    /// A later chunk differs from the first.
    #[error(
        "chunk {chunk}: {field} changed from {was} to {is}; the first chunk fixes it: leave it unset in later chunks, or begin a new stream"
    )]
    Changed {
        /// Which chunk of the stream, from 1.
        chunk: u64,
        /// The field's name in the contract.
        field: &'static str,
        /// Its value in the first chunk.
        was: String,
        /// Its value now.
        is: String,
    },
    /// Our own fault: the audio library failed.
    #[error("the server could not process the audio: {0}")]
    Internal(String),
}

fn lab_hint(error: &PayloadError) -> &'static str {
    match error {
        PayloadError::NotWholeSamples { .. } => {
            "; if these bytes are a lab exercise and not sound, start the server with --lab"
        }
        _ => "",
    }
}

/// What a leg has carried so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LegTotals {
    /// Chunks received.
    pub chunks: u64,
    /// Payloads that were dropped because no decoder understood them; their time was concealed.
    pub dropped: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// How long the sound lasts that they held.
    pub media: Duration,
}

/// One leg whose first chunk has been accepted.
pub(super) struct Leg {
    leg_id: String,
    call_id: String,
    codec_name: String,
    format: Format,
    audio: audio::Leg,
    /// Where the next sample of our direction stands, in samples per channel; for a peer that
    /// numbers its own chunks.
    media_time: Option<u64>,
    /// What the peer was told of the processing's delay.
    told_delay_us: Option<u32>,
    undecodable_in_a_row: u32,
    totals: LegTotals,
    answer: Vec<u8>,
}

impl Leg {
    /// Opens a leg with the first chunk of its stream. The chunk must then be given to
    /// [`Leg::answer`] like every other.
    ///
    /// # Errors
    /// The format, the call id or the wished effects are not acceptable.
    pub(super) fn open(
        first: &AudioChunk,
        leg_id: String,
        default_effects: &Effects,
    ) -> Result<Self, LegError> {
        let format = Format::parse(&first.codec, first.sample_rate, first.channels)?;
        let call_id = checked_call_id(&first.call_id)?;
        let wished = first.join.as_ref().map_or("", |join| join.effects.trim());
        let effects = if wished.is_empty() {
            default_effects.clone()
        } else {
            Effects::parse(wished)?
        };
        Ok(Self {
            leg_id,
            call_id,
            codec_name: first.codec.clone(),
            format,
            audio: audio::Leg::new(format, &effects),
            media_time: (first.sequence > 0).then_some(first.media_time),
            told_delay_us: None,
            undecodable_in_a_row: 0,
            totals: LegTotals::default(),
            answer: Vec::new(),
        })
    }

    /// The queue for the answers to this leg.
    pub(crate) fn downlink(&self) -> Downlink {
        match self.media_time {
            Some(media_time) => Downlink::numbered(self.header(), self.format, media_time),
            None => Downlink::plain(),
        }
    }

    /// The one answer to one chunk: the same number of samples, processed.
    ///
    /// `arrived` is when the chunk was read, `age_us` how old its first sample was then.
    ///
    /// # Errors
    /// The chunk contradicts the first one, or its payload does not fit the format.
    pub(super) fn answer(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        age_us: Option<u32>,
    ) -> Result<Answer, LegError> {
        self.totals.chunks += 1;
        self.totals.bytes_in += chunk.audio_data.len() as u64;
        self.check_unchanged(chunk)?;
        #[cfg(test)]
        crate::transport::forced::at(crate::transport::forced::IN_LEG, &self.call_id);
        let (audio_data, samples, level) = if chunk.audio_data.is_empty() {
            (Bytes::new(), 0, None)
        } else {
            self.process(chunk)?
        };
        self.totals.media += self.format.duration_of(samples);
        let mut answer = Answer {
            samples_per_channel: samples as u64,
            request: chunk.sequence,
            arrived,
            age_us: age_us
                .filter(|_| !audio_data.is_empty())
                .map(|age_us| age_us.saturating_add(self.audio.processing_delay_us())),
            chunk: AudioChunk {
                audio_data,
                ..self.header()
            },
        };
        if let Some(media_time) = &mut self.media_time {
            // Follows the peer's jumps forward (they mark what is missing), never one back.
            let position = chunk.media_time.max(*media_time);
            *media_time = position.saturating_add(samples as u64);
            answer.chunk.media_time = position;
            answer.chunk.level = level.map_or(0, |level| 1 + u32::from(level));
            answer.chunk.gap = Gap::try_from(chunk.gap).unwrap_or(Gap::None).into();
            // Before the first sound it is reckoned for chunks of 10 ms, and where their length changes it
            // may grow.
            let processing_delay_us = self.audio.processing_delay_us();
            if self.told_delay_us.replace(processing_delay_us) != Some(processing_delay_us) {
                answer.chunk.accepted = Some(Accepted {
                    leg_id: self.leg_id.clone(),
                    processing_delay_us,
                    echo: Some(true),
                });
            }
        }
        Ok(answer)
    }

    /// The call it belongs to: the peer's own id, or the one that was assigned.
    pub(super) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Its format.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// What it has carried so far.
    pub(super) fn totals(&self) -> LegTotals {
        self.totals
    }

    /// Fields 2 to 5, which every answer holds.
    fn header(&self) -> AudioChunk {
        AudioChunk {
            call_id: self.call_id.clone(),
            sample_rate: self.format.sample_rate_hz() as i32,
            channels: self.format.channels() as i32,
            codec: self.codec_name.clone(),
            ..AudioChunk::default()
        }
    }

    fn process(&mut self, chunk: &AudioChunk) -> Result<(Bytes, usize, Option<u8>), LegError> {
        let number = self.totals.chunks;
        let processed = self
            .audio
            .process(&chunk.audio_data, &mut self.answer)
            .map_err(|error| match error {
                AudioError::Payload(error) => LegError::Payload {
                    chunk: number,
                    error,
                },
                other => LegError::Internal(other.to_string()),
            })?;
        if processed.concealed {
            self.totals.dropped += 1;
            self.undecodable_in_a_row += 1;
            if self.undecodable_in_a_row >= MAX_UNDECODABLE_IN_A_ROW {
                return Err(LegError::Undecodable);
            }
        } else {
            self.undecodable_in_a_row = 0;
        }
        Ok((
            Bytes::copy_from_slice(&self.answer),
            processed.samples_per_channel,
            processed.level,
        ))
    }

    fn check_unchanged(&self, chunk: &AudioChunk) -> Result<(), LegError> {
        let changed = |field, was: String, is: String| {
            Err(LegError::Changed {
                chunk: self.totals.chunks,
                field,
                was,
                is,
            })
        };
        if !chunk.call_id.is_empty() && chunk.call_id != self.call_id {
            return changed("call_id", quoted(&self.call_id), quoted(&chunk.call_id));
        }
        let rate = self.format.sample_rate_hz() as i32;
        if chunk.sample_rate != 0 && chunk.sample_rate != rate {
            return changed(
                "sample_rate",
                rate.to_string(),
                chunk.sample_rate.to_string(),
            );
        }
        let channels = self.format.channels() as i32;
        if chunk.channels != 0 && chunk.channels != channels {
            return changed("channels", channels.to_string(), chunk.channels.to_string());
        }
        if !chunk.codec.is_empty()
            && chunk.codec != self.codec_name
            && audio::Codec::parse(&chunk.codec) != Ok(self.format.codec())
        {
            return changed("codec", quoted(&self.codec_name), quoted(&chunk.codec));
        }
        Ok(())
    }
}

fn checked_call_id(wished: &str) -> Result<String, LegError> {
    if wished.is_empty() {
        return Ok(uuid::Uuid::new_v4().to_string());
    }
    if wished.len() > MAX_CALL_ID_BYTES {
        return Err(LegError::CallIdTooLong(wished.len()));
    }
    if !is_carried(wished) {
        return Err(LegError::CallIdControl(quoted(wished)));
    }
    Ok(wished.to_owned())
}

#[cfg(test)]
mod tests;
