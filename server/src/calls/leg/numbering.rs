//! The numbers of one leg whose peer numbers its chunks: sequences, acknowledgements, ages.
//!
//! Pure: `now` is passed in, and counts from the leg's beginning.

use std::time::Duration;

use audio::Format;
use line::{Arrival, Transit, sending_rule::is_stalled};
use proto::callcenter::AudioChunk;

use super::answer::Answer;

/// What a numbered stream remembers of both directions.
#[derive(Debug)]
pub(crate) struct Numbering {
    sequence: u64,
    transit: Transit,
    /// Whether the peer has acknowledged anything: one that only numbers is not held to it.
    acknowledges: bool,
    /// The newest request for which no chunk of ours has spoken yet, and when it came.
    owed: Option<(u64, Duration)>,
    /// Where what was handed over ends, in samples per channel.
    media_time: u64,
}

impl Numbering {
    /// Of a stream whose first chunk stands at `media_time`.
    pub(crate) fn new(media_time: u64) -> Self {
        Self {
            sequence: 0,
            transit: Transit::new(),
            acknowledges: false,
            owed: None,
            media_time,
        }
    }

    /// Takes what a request says about time. Returns how old its first sample was when it arrived,
    /// in microseconds, if it tells.
    pub(crate) fn receive(
        &mut self,
        request: &AudioChunk,
        format: Format,
        arrived: Duration,
    ) -> Option<u32> {
        self.transit.on_received(
            Arrival {
                ack_sequence: request.ack_sequence,
                ack_delay_us: request.ack_delay_us,
                sender_clock_us: sender_clock_us(request, format),
            },
            arrived,
        );
        self.acknowledges |= self.transit.round_trip().is_some();
        (request.age_us > 0).then(|| {
            let uplink_us = self.transit.one_way().map_or(0, micros);
            request.age_us.saturating_add(uplink_us)
        })
    }

    /// Whether sound that is handed over now would only wait in the transport.
    pub(crate) fn is_stalled(&self, now: Duration) -> bool {
        self.acknowledges && is_stalled(&self.transit, now)
    }

    /// The answer to the newest request is there: from now on the peer is to hear of it.
    pub(crate) fn owe(&mut self, answer: &Answer) {
        self.owed = Some((answer.request, answer.arrived));
    }

    /// Nobody listens any more.
    pub(crate) fn owe_nothing(&mut self) {
        self.owed = None;
    }

    /// Whether the peer waits for an acknowledgement.
    pub(crate) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Numbers an answer as it goes to the transport.
    pub(crate) fn stamp(&mut self, mut answer: Answer, now: Duration) -> AudioChunk {
        let residence_us = micros(now.saturating_sub(answer.arrived));
        if let Some(age_us) = answer.age_us {
            answer.chunk.age_us = age_us.saturating_add(residence_us);
        }
        self.media_time = answer
            .chunk
            .media_time
            .saturating_add(answer.samples_per_channel);
        self.acknowledge(&mut answer.chunk, answer.request, answer.arrived, now);
        answer.chunk
    }

    /// Makes a chunk without audio of `chunk`, which acknowledges all that has come.
    pub(crate) fn stamp_acknowledgement(
        &mut self,
        mut chunk: AudioChunk,
        now: Duration,
    ) -> Option<AudioChunk> {
        let (request, arrived) = self.owed?;
        chunk.media_time = self.media_time;
        self.acknowledge(&mut chunk, request, arrived, now);
        Some(chunk)
    }

    fn acknowledge(
        &mut self,
        chunk: &mut AudioChunk,
        request: u64,
        arrived: Duration,
        now: Duration,
    ) {
        self.sequence += 1;
        self.transit.on_sent(self.sequence, now);
        chunk.sequence = self.sequence;
        chunk.ack_sequence = request;
        chunk.ack_delay_us = micros(now.saturating_sub(arrived));
        if self.owed.is_some_and(|owed| owed == (request, arrived)) {
            self.owed = None;
        }
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
