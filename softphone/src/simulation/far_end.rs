//! The other end of a virtual call: the processing of a server's leg, and the numbers it would put
//! on its answers. Each chunk is answered the moment it arrives. Pure.

use std::time::Duration;

use audio::{Effects, Format, Leg, LegError};
use bytes::Bytes;
use line::{Arrival, Transit};
use proto::callcenter::{Accepted, AudioChunk};

use crate::{engine::capture_path::micros, session::numbering::sender_clock_us};

/// One stream, as the far end sees it.
pub struct FarEnd {
    leg: Leg,
    transit: Transit,
    sequence: u64,
    /// Media time of the first request: our own direction begins at 0.
    origin: Option<u64>,
    /// Where our next sample stands.
    media_time: u64,
    told_delay_us: Option<u32>,
    answer: Vec<u8>,
}

impl FarEnd {
    /// For a new stream.
    pub fn new(format: Format, effects: &Effects) -> Self {
        Self {
            leg: Leg::new(format, effects),
            transit: Transit::new(),
            sequence: 0,
            origin: None,
            media_time: 0,
            told_delay_us: None,
            answer: Vec::new(),
        }
    }

    /// The answer to `request`, which arrives `now` and is answered `now`.
    ///
    /// # Errors
    /// The payload is not of the format, or the codec failed.
    pub fn answer(&mut self, request: &AudioChunk, now: Duration) -> Result<AudioChunk, LegError> {
        let mut samples = 0;
        self.answer.clear();
        if !request.audio_data.is_empty() {
            let processed = self.leg.process(&request.audio_data, &mut self.answer)?;
            samples = processed.samples_per_channel as u64;
        }
        let format = self.leg.format();
        self.transit.on_received(
            Arrival {
                ack_sequence: request.ack_sequence,
                ack_delay_us: request.ack_delay_us,
                sender_clock_us: (request.age_us > 0).then(|| sender_clock_us(request, format)),
            },
            now,
        );
        self.sequence += 1;
        self.transit.on_sent(self.sequence, now);
        let origin = *self.origin.get_or_insert(request.media_time);
        let position = request.media_time.saturating_sub(origin);
        let media_time = position.max(self.media_time);
        self.media_time = media_time + samples;
        let processing_delay_us = self.leg.processing_delay_us();
        let told = self.told_delay_us.replace(processing_delay_us);
        let is_news = told != Some(processing_delay_us);
        Ok(AudioChunk {
            audio_data: Bytes::copy_from_slice(&self.answer),
            sequence: self.sequence,
            ack_sequence: request.sequence,
            media_time,
            gap: request.gap,
            age_us: match (request.age_us, samples) {
                (0, _) | (_, 0) => 0,
                (age_us, _) => age_us
                    .saturating_add(self.transit.one_way().map_or(0, micros))
                    .saturating_add(processing_delay_us),
            },
            accepted: is_news.then(|| Accepted {
                leg_id: "virtual".to_owned(),
                processing_delay_us,
                resume_token: String::new(),
                echo: Some(true),
            }),
            ..AudioChunk::default()
        })
    }
}
