//! The numbers of one leg whose peer numbers its chunks: sequences, acknowledgements, ages.
//!
//! Pure: `now` is passed in.

use std::time::Duration;

use audio::Format;
use line::{Arrival, Transit, sending_rule::is_stalled};
use proto::callcenter::AudioChunk;

use crate::calls::route::Received;

/// What a numbered stream remembers of both directions.
#[derive(Debug)]
pub(crate) struct Numbering {
    sequence: u64,
    transit: Transit,
    /// Whether the peer has acknowledged anything: one that only numbers is not held to it.
    acknowledges: bool,
    /// The newest request that no chunk of ours has acknowledged yet.
    pending_ack: Option<Received>,
    /// The newest request of all.
    newest: Option<Received>,
}

impl Numbering {
    /// Of a stream that begins.
    pub(crate) fn new() -> Self {
        Self {
            sequence: 0,
            transit: Transit::new(),
            acknowledges: false,
            pending_ack: None,
            newest: None,
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

    /// A request was worked off: from now on the peer is to hear of it.
    pub(crate) fn set_pending_ack(&mut self, received: Received) {
        self.pending_ack = Some(received);
        self.newest = Some(received);
    }

    /// Nobody listens any more.
    pub(crate) fn clear_pending_ack(&mut self) {
        self.pending_ack = None;
    }

    /// Whether the peer waits for an acknowledgement.
    pub(crate) fn has_pending_ack(&self) -> bool {
        self.pending_ack.is_some()
    }

    /// Numbers a chunk as it goes to the transport. It acknowledges the request that it answers, or the
    /// newest.
    pub(crate) fn number(
        &mut self,
        chunk: &mut AudioChunk,
        answers: Option<Received>,
        now: Duration,
    ) {
        self.sequence += 1;
        self.transit.on_sent(self.sequence, now);
        chunk.sequence = self.sequence;
        if let Some(received) = answers.or(self.newest) {
            chunk.ack_sequence = received.sequence;
            chunk.ack_delay_us = micros(now.saturating_sub(received.at));
            if self.pending_ack == Some(received) {
                self.pending_ack = None;
            }
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

pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
