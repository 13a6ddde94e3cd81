//! One leg of a call: what the contract says about one peer's stream, chunk by chunk.
//!
//! Pure: chunks in, chunks out, `now` passed in. The service around it does the waiting and turns
//! errors into statuses.

use std::time::Duration;

use audio::{
    Effects, Format, LegError as AudioError, PayloadError,
    transit::{Arrival, Transit},
};
use bytes::Bytes;
use proto::callcenter::{Accepted, AudioChunk, Gap};

use crate::text::{excerpt, is_printable};

/// The longest call id we carry.
const MAX_CALL_ID_BYTES: usize = 128;

/// So many payloads in a row that no decoder understands are no accident.
const MAX_UNDECODABLE_IN_A_ROW: u32 = 50;

/// Why a leg ends with an error. All of these are the peer's doing, but the last.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
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
pub struct LegTotals {
    /// Chunks received.
    pub chunks: u64,
    /// Payloads that were dropped because no decoder understood them; their time was concealed.
    pub dropped: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
}

/// One leg whose first chunk has been accepted.
pub struct Leg {
    leg_id: String,
    call_id: String,
    codec_name: String,
    format: Format,
    audio: audio::Leg,
    /// The numbering of a peer that numbers its own chunks.
    numbering: Option<Numbering>,
    undecodable_in_a_row: u32,
    accepted_sent: bool,
    totals: LegTotals,
    answer: Vec<u8>,
}

/// What a numbered stream remembers.
struct Numbering {
    sequence: u64,
    /// Where the next sample of our direction stands, in samples per channel.
    media_time: u64,
    transit: Transit,
}

impl Leg {
    /// Opens a leg with the first chunk of its stream. The chunk must then be given to
    /// [`Leg::answer`] like every other.
    ///
    /// # Errors
    /// The format, the call id or the wished effects are not acceptable.
    pub fn open(
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
            numbering: (first.sequence > 0).then(|| Numbering {
                sequence: 0,
                media_time: first.media_time,
                transit: Transit::default(),
            }),
            undecodable_in_a_row: 0,
            accepted_sent: false,
            totals: LegTotals::default(),
            answer: Vec::new(),
        })
    }

    /// The one answer to one chunk: the same number of samples, processed.
    ///
    /// `arrived` is when the chunk was read, `now` gives the time when the answer is ready; both
    /// count from the same origin.
    ///
    /// # Errors
    /// The chunk contradicts the first one, or its payload does not fit the format.
    pub fn answer(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        now: impl Fn() -> Duration,
    ) -> Result<AudioChunk, LegError> {
        self.totals.chunks += 1;
        self.totals.bytes_in += chunk.audio_data.len() as u64;
        self.check_unchanged(chunk)?;
        let (audio_data, samples, level) = if chunk.audio_data.is_empty() {
            (Bytes::new(), 0, None)
        } else {
            self.process(chunk)?
        };
        self.totals.bytes_out += audio_data.len() as u64;

        let mut answer = AudioChunk {
            audio_data,
            call_id: self.call_id.clone(),
            sample_rate: self.format.sample_rate_hz() as i32,
            channels: self.format.channels() as i32,
            codec: self.codec_name.clone(),
            ..AudioChunk::default()
        };
        let processing_delay_us = self.audio.processing_delay_us();
        if let Some(numbering) = &mut self.numbering {
            numbering.stamp(&mut answer, chunk, self.format, processing_delay_us, arrived, now());
            answer.media_time = numbering.advance(chunk.media_time, samples);
            answer.level = level.map_or(0, |level| 1 + u32::from(level));
            if !std::mem::replace(&mut self.accepted_sent, true) {
                answer.accepted = Some(Accepted {
                    leg_id: self.leg_id.clone(),
                    processing_delay_us,
                });
            }
        }
        Ok(answer)
    }

    /// The server's name for this leg.
    pub fn leg_id(&self) -> &str {
        &self.leg_id
    }

    /// The call it belongs to: the peer's own id, or the one that was assigned.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it has carried so far.
    pub fn totals(&self) -> LegTotals {
        self.totals
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
            return changed("call_id", excerpt(&self.call_id), excerpt(&chunk.call_id));
        }
        let rate = self.format.sample_rate_hz() as i32;
        if chunk.sample_rate != 0 && chunk.sample_rate != rate {
            return changed("sample_rate", rate.to_string(), chunk.sample_rate.to_string());
        }
        let channels = self.format.channels() as i32;
        if chunk.channels != 0 && chunk.channels != channels {
            return changed("channels", channels.to_string(), chunk.channels.to_string());
        }
        if !chunk.codec.is_empty()
            && chunk.codec != self.codec_name
            && audio::Codec::parse(&chunk.codec) != Ok(self.format.codec())
        {
            return changed("codec", excerpt(&self.codec_name), excerpt(&chunk.codec));
        }
        Ok(())
    }
}

impl Numbering {
    /// Fills the fields that a numbering peer gets, but media time and level.
    fn stamp(
        &mut self,
        answer: &mut AudioChunk,
        request: &AudioChunk,
        format: Format,
        processing_delay_us: u32,
        arrived: Duration,
        now: Duration,
    ) {
        self.transit.on_received(
            Arrival {
                ack_sequence: request.ack_sequence,
                ack_delay_us: request.ack_delay_us,
                sender_clock_us: sender_clock_us(request, format),
            },
            arrived,
        );
        self.sequence += 1;
        self.transit.on_sent(self.sequence, now);
        let residence_us = micros(now.saturating_sub(arrived));
        answer.sequence = self.sequence;
        answer.ack_sequence = request.sequence;
        answer.ack_delay_us = residence_us;
        answer.gap = Gap::try_from(request.gap).unwrap_or(Gap::None).into();
        if request.age_us > 0 && !answer.audio_data.is_empty() {
            let uplink_us = self.transit.one_way().map_or(0, micros);
            answer.age_us = request
                .age_us
                .saturating_add(uplink_us)
                .saturating_add(residence_us)
                .saturating_add(processing_delay_us);
        }
    }

    /// Where this answer's first sample stands. Follows the peer's jumps forward (they mark what is
    /// missing), never one back.
    fn advance(&mut self, request_media_time: u64, samples: usize) -> u64 {
        let position = request_media_time.max(self.media_time);
        self.media_time = position.saturating_add(samples as u64);
        position
    }
}

/// The sender's own clock at the hand-over of `chunk`, if it tells: its samples are its ticks.
fn sender_clock_us(chunk: &AudioChunk, format: Format) -> Option<u64> {
    if chunk.age_us == 0 {
        return None;
    }
    let position_us =
        u128::from(chunk.media_time) * 1_000_000 / u128::from(format.sample_rate_hz());
    u64::try_from(position_us + u128::from(chunk.age_us)).ok()
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn checked_call_id(wished: &str) -> Result<String, LegError> {
    if wished.is_empty() {
        return Ok(uuid::Uuid::new_v4().to_string());
    }
    if wished.len() > MAX_CALL_ID_BYTES {
        return Err(LegError::CallIdTooLong(wished.len()));
    }
    if !is_printable(wished) {
        return Err(LegError::CallIdControl(excerpt(wished)));
    }
    Ok(wished.to_owned())
}
