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

use crate::downlink::Downlink;

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
    /// How long the sound lasts that they held.
    pub media: Duration,
}

/// One leg whose first chunk has been accepted.
pub struct Leg {
    leg_id: String,
    call_id: String,
    codec_name: String,
    format: Format,
    audio: audio::Leg,
    /// Where the next sample of our direction stands, in samples per channel; for a peer that
    /// numbers its own chunks.
    media_time: Option<u64>,
    accepted: bool,
    undecodable_in_a_row: u32,
    totals: LegTotals,
    answer: Vec<u8>,
}

/// The answer to one request, before it is numbered: that is done when it is handed over.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The sound in fields 1 to 5; to a peer that numbers also its place, gap and level.
    pub chunk: AudioChunk,
    /// Samples per channel.
    pub samples_per_channel: u64,
    /// The request's sequence.
    pub request: u64,
    /// When the request arrived.
    pub arrived: Duration,
    /// How old the first sample was then, the processing's delay included, in microseconds; `None`
    /// if nobody tells.
    pub age_us: Option<u32>,
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
            media_time: (first.sequence > 0).then_some(first.media_time),
            accepted: false,
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
    pub fn answer(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        age_us: Option<u32>,
    ) -> Result<Answer, LegError> {
        self.totals.chunks += 1;
        self.totals.bytes_in += chunk.audio_data.len() as u64;
        self.check_unchanged(chunk)?;
        #[cfg(test)]
        crate::fault::forced::at(crate::fault::forced::IN_LEG, &self.call_id);
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
            if !std::mem::replace(&mut self.accepted, true) {
                answer.chunk.accepted = Some(Accepted {
                    leg_id: self.leg_id.clone(),
                    processing_delay_us: self.audio.processing_delay_us(),
                    echo: Some(true),
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
mod tests {
    use super::*;
    use proto::callcenter::Join;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn pcm(sequence: u64, samples: usize) -> AudioChunk {
        AudioChunk {
            audio_data: vec![0; 2 * samples].into(),
            call_id: "a-call".to_owned(),
            sample_rate: 48_000,
            channels: 1,
            codec: "pcm".to_owned(),
            sequence,
            ..AudioChunk::default()
        }
    }

    /// A leg and the queue for its answers.
    struct Ends {
        leg: Leg,
        downlink: Downlink,
    }

    fn open(first: &AudioChunk, effects: &str) -> Ends {
        let effects = Effects::parse(effects).unwrap();
        let leg = Leg::open(first, "leg-1".to_owned(), &effects).unwrap();
        Ends {
            downlink: leg.downlink(),
            leg,
        }
    }

    /// A chunk that arrives at one time and whose answer is handed over at another.
    fn answer(
        ends: &mut Ends,
        chunk: &AudioChunk,
        arrived: Duration,
        ready: Duration,
    ) -> AudioChunk {
        let age_us = ends.downlink.receive(chunk, arrived);
        let answer = ends.leg.answer(chunk, arrived, age_us).unwrap();
        ends.downlink.push(answer, arrived);
        ends.downlink.pop(ready, false).unwrap()
    }

    #[test]
    fn the_age_grows_by_the_time_here_and_by_the_processing() {
        let mut leg = open(&pcm(1, 480), "limiter");
        let chunk = AudioChunk {
            age_us: 12_000,
            ..pcm(1, 480)
        };
        let first = answer(&mut leg, &chunk, ms(100), ms(103));
        assert_eq!(first.ack_delay_us, 3_000);
        // The limiter's 0.5 ms; of the way here nothing is known yet.
        assert_eq!(first.age_us, 12_000 + 3_000 + 500);
    }

    #[test]
    fn the_age_counts_the_way_here_once_it_is_known() {
        let mut leg = open(&pcm(1, 480), "none");
        // Each chunk leaves the microphone 10 ms after the last, is handed over 15 ms old, and takes
        // 20 ms for its way; the answers take as long.
        let chunk = |n: u64, ack_sequence, ack_delay_us| AudioChunk {
            media_time: 480 * (n - 1),
            age_us: 15_000,
            ack_sequence,
            ack_delay_us,
            ..pcm(n, 480)
        };
        let at = |n: u64| ms(10 * n + 15 + 20);
        for n in 1..=10 {
            answer(&mut leg, &chunk(n, 0, 0), at(n), at(n));
        }
        // The answer to the first was under way until at(1) + 20 ms, and the ack waits for the next
        // chunk: at(11) - 20 ms.
        let held = (at(11) - ms(20)) - (at(1) + ms(20));
        let held_us = held.as_micros() as u32;
        let known = answer(&mut leg, &chunk(11, 1, held_us), at(11), at(11) + ms(2));
        assert_eq!(known.age_us, 15_000 + 20_000 + 2_000);
        // A chunk that was held up by 70 ms on its way is older by that.
        let late = answer(&mut leg, &chunk(12, 0, 0), at(12) + ms(70), at(12) + ms(70));
        assert_eq!(late.age_us, 15_000 + 20_000 + 70_000);
        // The peer may not know: then nobody does.
        let unknown = AudioChunk {
            age_us: 0,
            ..chunk(13, 0, 0)
        };
        assert_eq!(answer(&mut leg, &unknown, at(13), at(13)).age_us, 0);
    }

    #[test]
    fn an_age_beyond_measure_stays_the_largest() {
        let mut leg = open(&pcm(1, 480), "limiter");
        let chunk = AudioChunk {
            age_us: u32::MAX - 10,
            media_time: u64::MAX,
            ack_sequence: u64::MAX,
            ack_delay_us: u32::MAX,
            ..pcm(1, 480)
        };
        let first = answer(&mut leg, &chunk, ms(0), ms(100));
        assert_eq!((first.age_us, first.ack_delay_us), (u32::MAX, 100_000));
        assert_eq!(first.media_time, u64::MAX);
        let second = answer(&mut leg, &pcm(2, 480), ms(0), ms(0));
        assert_eq!(second.media_time, u64::MAX, "never falls, never wraps");
    }

    #[test]
    fn a_clock_that_goes_backwards_is_no_harm() {
        let mut leg = open(&pcm(1, 480), "none");
        let chunk = AudioChunk {
            age_us: 5_000,
            ..pcm(1, 480)
        };
        let first = answer(&mut leg, &chunk, ms(10), ms(9));
        assert_eq!((first.ack_delay_us, first.age_us), (0, 5_000));
    }

    #[test]
    fn each_answer_acknowledges_the_request_that_it_answers() {
        let mut leg = open(&pcm(7, 480), "none");
        for (n, sequence) in [7, 8, 20, 3, 0].into_iter().enumerate() {
            let delay = ms(n as u64);
            let answer = answer(&mut leg, &pcm(sequence, 480), ms(50), ms(50) + delay);
            assert_eq!(answer.ack_sequence, sequence);
            assert_eq!(answer.ack_delay_us, 1_000 * n as u32);
            assert_eq!(answer.sequence, n as u64 + 1);
        }
    }

    #[test]
    fn media_time_follows_the_peers_jumps_but_never_falls() {
        let first = AudioChunk {
            media_time: 1_000,
            ..pcm(1, 480)
        };
        let mut leg = open(&first, "none");
        let mut times = Vec::new();
        for (media_time, samples) in [
            (1_000, 480),
            (1_480, 0),
            (1_480, 480),
            (5_000, 240),
            (0, 240),
        ] {
            let chunk = AudioChunk {
                media_time,
                ..pcm(1, samples)
            };
            times.push(answer(&mut leg, &chunk, ms(0), ms(0)).media_time);
        }
        assert_eq!(times, [1_000, 1_480, 1_480, 5_000, 5_240]);
    }

    #[test]
    fn a_gap_is_passed_on_and_an_unknown_one_is_none() {
        let mut leg = open(&pcm(1, 480), "none");
        for (gap, passed) in [
            (0, 0),
            (1, 1),
            (3, 3),
            (4, 4),
            (5, 0),
            (-1, 0),
            (i32::MAX, 0),
        ] {
            let chunk = AudioChunk { gap, ..pcm(1, 0) };
            assert_eq!(answer(&mut leg, &chunk, ms(0), ms(0)).gap, passed);
        }
    }

    #[test]
    fn an_unnumbered_peer_gets_the_five_fields_it_knows() {
        let first = AudioChunk {
            media_time: 9,
            age_us: 9,
            gap: 3,
            level: 9,
            ack_sequence: 9,
            join: Some(Join {
                effects: "none".to_owned(),
            }),
            ..pcm(0, 480)
        };
        let mut leg = open(&first, "limiter");
        assert_eq!(answer(&mut leg, &first, ms(1), ms(2)), pcm(0, 480));
    }

    #[test]
    fn a_call_without_an_id_gets_one_that_its_chunks_may_name() {
        let first = AudioChunk {
            call_id: String::new(),
            ..pcm(0, 480)
        };
        let mut leg = open(&first, "none");
        let id = leg.leg.call_id().to_owned();
        let named = AudioChunk {
            call_id: id.clone(),
            ..first.clone()
        };
        for chunk in [&first, &named] {
            assert_eq!(answer(&mut leg, chunk, ms(0), ms(0)).call_id, id);
        }
        assert!(leg.leg.answer(&pcm(0, 480), ms(0), None).is_err());
    }

    #[test]
    fn totals_count_what_was_carried_and_what_could_not_be_decoded() {
        let opus = |audio_data: &[u8]| AudioChunk {
            audio_data: audio_data.to_vec().into(),
            codec: "opus".to_owned(),
            ..pcm(0, 0)
        };
        let mut leg = open(&opus(&[]), "limiter");
        for chunk in [opus(&[]), opus(&[31 << 3, 1, 2]), opus(&[31 << 3 | 3])] {
            answer(&mut leg, &chunk, ms(0), ms(0));
        }
        let totals = leg.leg.totals();
        assert_eq!((totals.chunks, totals.dropped, totals.bytes_in), (3, 1, 4));
        assert!(leg.downlink.bytes_out() > 0);
    }

    #[test]
    fn one_good_packet_ends_a_row_of_bad_ones() {
        let opus = |audio_data: &[u8]| AudioChunk {
            audio_data: audio_data.to_vec().into(),
            codec: "opus".to_owned(),
            ..pcm(0, 0)
        };
        let (good, bad) = (opus(&[31 << 3, 1, 2]), opus(&[31 << 3 | 3]));
        let mut leg = open(&good, "limiter");
        for _ in 0..3 {
            for _ in 1..MAX_UNDECODABLE_IN_A_ROW {
                answer(&mut leg, &bad, ms(0), ms(0));
                // Neither good nor bad.
                answer(&mut leg, &opus(&[]), ms(0), ms(0));
            }
            answer(&mut leg, &good, ms(0), ms(0));
        }
        for _ in 1..MAX_UNDECODABLE_IN_A_ROW {
            answer(&mut leg, &bad, ms(0), ms(0));
        }
        let error = leg.leg.answer(&bad, ms(0), None).unwrap_err();
        assert!(matches!(error, LegError::Undecodable), "{error}");
    }
}
