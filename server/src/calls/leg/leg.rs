//! One leg of a call: what the contract says about one peer's stream, chunk by chunk.
//!
//! Pure: chunks in, chunks out, `now` passed in. The service around it does the waiting and turns
//! errors into statuses.

use std::time::Duration;

use audio::{
    Effects, Format, LegError as AudioError, PayloadError,
    mixing::{Arrived, HoldMusic},
};
use bytes::Bytes;
use proto::{
    callcenter::{Accepted, Alone, AudioChunk, Gap, Join},
    text::{is_carried, quoted},
};

use super::downlink::Downlink;
use crate::calls::route::{LegFormat, Outgoing, Place, Received};

/// The longest call id we carry.
const MAX_CALL_ID_BYTES: usize = 128;

/// What is older was not said in this call.
const MAX_AGE_US: u32 = 60_000_000;

/// The longest name of a party.
const MAX_NAME_BYTES: usize = 64;

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
    /// Too long a name.
    #[error("join.display_name is {0} bytes long; accepted are at most {MAX_NAME_BYTES}")]
    NameTooLong(usize),
    /// Line feeds and the like in a name.
    #[error("join.display_name {0} holds control characters; accepted is any text without them")]
    NameControl(String),
    /// An event that only the server tells, or one of something that there is not.
    #[error("chunk {chunk}: {what}")]
    Event {
        /// Which chunk of the stream, from 1.
        chunk: u64,
        /// What is wrong with it.
        what: String,
    },
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
    /// More events than anybody needs.
    #[error("more than {0} events a second; leave some time between them")]
    TooManyEvents(u32),
    /// Our own fault: the thread that the call lived on has ended.
    #[error("the call was lost, by a fault of the server or because it stops; begin a new stream")]
    CallLost,
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
    effects: Effects,
    /// Where our direction begins, in samples per channel; for a peer that numbers its own chunks.
    media_time: Option<u64>,
    display_name: String,
    alone: Alone,
    wants_events: bool,
    /// What lets another stream take its place.
    resume_token: String,
    /// The stream whose place it takes; empty: none.
    resumes: String,
    /// What the peer was told last of the processing's delay.
    accepted_delay_us: Option<u32>,
    music: Option<HoldMusic>,
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
        let join = first.join.as_ref();
        Ok(Self {
            leg_id,
            call_id,
            codec_name: first.codec.clone(),
            format,
            audio: audio::Leg::new(format, &effects),
            effects,
            media_time: (first.sequence > 0).then_some(first.media_time),
            display_name: checked_name(join.map_or("", |join| &join.display_name))?,
            alone: join.map_or(Alone::Unspecified, Join::alone),
            wants_events: join.is_some() && first.sequence > 0,
            resume_token: uuid::Uuid::new_v4().simple().to_string(),
            resumes: join.map_or_else(String::new, |join| join.resume_token.clone()),
            accepted_delay_us: None,
            music: None,
            undecodable_in_a_row: 0,
            totals: LegTotals::default(),
            answer: Vec::new(),
        })
    }

    /// The queue for the answers to this leg.
    pub(crate) fn downlink(&self) -> Downlink {
        match self.media_time {
            Some(media_time) => Downlink::numbered(self.header(), self.format, media_time),
            None => Downlink::plain(self.header()),
        }
    }

    /// What its call must know of its sound.
    pub(super) fn leg_format(&self) -> LegFormat {
        LegFormat {
            format: self.format,
            effects: self.effects.clone(),
            is_numbered: self.media_time.is_some(),
        }
    }

    /// What it calls itself; may be empty.
    pub(super) fn display_name(&self) -> &str {
        &self.display_name
    }

    /// What it hears while nobody else is in its call.
    pub(super) fn alone(&self) -> Alone {
        self.alone
    }

    /// What lets another stream take its place.
    pub(super) fn resume_token(&self) -> &str {
        &self.resume_token
    }

    /// What it was told as an earlier stream; empty: it was none.
    pub(super) fn resumes(&self) -> &str {
        &self.resumes
    }

    /// Whether it is told what happens in its call.
    pub(super) fn wants_events(&self) -> bool {
        self.wants_events
    }

    /// Takes one chunk that others are to hear.
    ///
    /// # Errors
    /// As [`Leg::answer`].
    pub(super) fn take(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        age_us: Option<u32>,
    ) -> Result<Arrived, LegError> {
        self.begin_chunk(chunk)?;
        let mut gap = Gap::try_from(chunk.gap).unwrap_or(Gap::None);
        let mut payload = chunk.audio_data.clone();
        if !payload.is_empty() {
            match self.format.samples_per_channel(&payload) {
                Ok(samples) => {
                    self.undecodable_in_a_row = 0;
                    self.totals.media += self.format.duration_of(samples);
                }
                // What is missing is concealed where it is heard.
                Err(PayloadError::NotOpus) => {
                    self.count_undecodable()?;
                    payload = Bytes::new();
                    gap = Gap::Late;
                }
                Err(error) => return Err(self.payload_error(error)),
            }
        }
        Ok(Arrived {
            media_time: chunk.media_time,
            gap: audio_gap(gap),
            payload,
            level: chunk
                .level
                .checked_sub(1)
                .and_then(|level| u8::try_from(level).ok())
                .filter(|level| *level <= 127),
            at: arrived,
            age_us: age_us.filter(|age_us| *age_us <= MAX_AGE_US),
        })
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
    ) -> Result<Outgoing, LegError> {
        self.begin_chunk(chunk)?;
        let (payload, samples, level) = if chunk.audio_data.is_empty() {
            (Bytes::new(), 0, None)
        } else {
            self.process(chunk)?
        };
        self.totals.media += self.format.duration_of(samples);
        Ok(Outgoing {
            age_us: age_us
                .filter(|_| !payload.is_empty())
                .map(|age_us| age_us.saturating_add(self.audio.processing_delay_us())),
            payload,
            samples_per_channel: samples as u64,
            place: Place::At(chunk.media_time),
            gap: Gap::try_from(chunk.gap).unwrap_or(Gap::None),
            level,
            since: arrived,
            answers: Some(Received {
                sequence: chunk.sequence,
                at: arrived,
            }),
        })
    }

    /// What the peer is to be told of its leg, if that is news. Before the first sound the processing's
    /// delay is reckoned for chunks of 10 ms, and where their length changes it may grow.
    pub(super) fn accepted(&mut self) -> Option<Accepted> {
        let is_echo = matches!(self.alone, Alone::Unspecified | Alone::Echo);
        let processing_delay_us = match is_echo {
            true => self.audio.processing_delay_us(),
            false => 0,
        };
        let accepted = self.accepted_delay_us.replace(processing_delay_us);
        (accepted != Some(processing_delay_us)).then(|| Accepted {
            leg_id: self.leg_id.clone(),
            processing_delay_us,
            resume_token: self.resume_token.clone(),
            echo: Some(is_echo),
        })
    }

    /// The leg was in a call of several, and is alone again: what it is told of is news.
    pub(super) fn begin_alone(&mut self) {
        self.accepted_delay_us = None;
    }

    /// Music in answer to one chunk, of as many samples.
    ///
    /// # Errors
    /// As [`Leg::answer`].
    pub(super) fn play_music(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
    ) -> Result<Outgoing, LegError> {
        let taken = self.take(chunk, arrived, None)?;
        let samples = self.format.samples_per_channel(&taken.payload).unwrap_or(0);
        let mut payload = Vec::new();
        if samples > 0 {
            let music = match &mut self.music {
                Some(music) if music.packet_samples() == samples => music,
                music => music.insert(
                    HoldMusic::new(self.format, samples)
                        .map_err(|error| LegError::Internal(error.to_string()))?,
                ),
            };
            music
                .next_packet(&mut payload)
                .map_err(|error| LegError::Internal(error.to_string()))?;
        }
        Ok(Outgoing {
            payload: payload.into(),
            samples_per_channel: samples as u64,
            place: Place::After(0),
            gap: Gap::None,
            level: None,
            since: arrived,
            age_us: None,
            answers: Some(Received {
                sequence: chunk.sequence,
                at: arrived,
            }),
        })
    }

    fn begin_chunk(&mut self, chunk: &AudioChunk) -> Result<(), LegError> {
        self.totals.chunks += 1;
        self.totals.bytes_in += chunk.audio_data.len() as u64;
        self.check_unchanged(chunk)?;
        #[cfg(test)]
        crate::transport::forced::at(crate::transport::forced::IN_LEG, &self.call_id);
        Ok(())
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
        let processed = self.audio.process(&chunk.audio_data, &mut self.answer);
        let processed = processed.map_err(|error| match error {
            AudioError::Payload(error) => self.payload_error(error),
            other => LegError::Internal(other.to_string()),
        })?;
        if processed.concealed {
            self.count_undecodable()?;
        } else {
            self.undecodable_in_a_row = 0;
        }
        Ok((
            Bytes::copy_from_slice(&self.answer),
            processed.samples_per_channel,
            processed.level,
        ))
    }

    fn payload_error(&self, error: PayloadError) -> LegError {
        LegError::Payload {
            chunk: self.totals.chunks,
            error,
        }
    }

    fn count_undecodable(&mut self) -> Result<(), LegError> {
        self.totals.dropped += 1;
        self.undecodable_in_a_row += 1;
        match self.undecodable_in_a_row >= MAX_UNDECODABLE_IN_A_ROW {
            true => Err(LegError::Undecodable),
            false => Ok(()),
        }
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

fn checked_name(name: &str) -> Result<String, LegError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(LegError::NameTooLong(name.len()));
    }
    if !is_carried(name) {
        return Err(LegError::NameControl(quoted(name)));
    }
    Ok(name.trim().to_owned())
}

fn audio_gap(gap: Gap) -> audio::Gap {
    match gap {
        Gap::None => audio::Gap::None,
        Gap::Muted => audio::Gap::Muted,
        Gap::Silence => audio::Gap::Silence,
        Gap::Late => audio::Gap::Late,
        Gap::Device => audio::Gap::Device,
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
