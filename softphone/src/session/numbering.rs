//! The numbers of one stream: sequences, acknowledgements, ages, and what is still due.
//!
//! Shared by the two directions of a stream; each lock is held for a few additions.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use audio::{Encoder, Format};
use line::{Arrival, Transit, sending_rule::is_stalled};
use proto::callcenter::{AudioChunk, Gap};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::stamp;
use crate::{
    clock::Clock,
    engine::{
        capture_path::micros,
        delay::{Answer, Stages},
        playout_path::Incoming,
        uplink::Outgoing,
    },
};

/// On a stalled line a chunk goes so often all the same: an acknowledgement that went astray must
/// not silence us for ever.
pub const PROBE: Duration = Duration::from_secs(1);

/// Chunks whose stages are remembered until they are answered: 10 s of the shortest.
const MOST_REMEMBERED: usize = 2_048;

/// Until the far end has shown that it is there, no more than this is handed over: it may be frozen,
/// and would hear all of it late. Long enough for a round trip around the world.
const MOST_UNANSWERED: Duration = Duration::from_secs(1);

/// A line on which nothing has come for so long, and something should have, has stalled.
const STALLED_AFTER: Duration = Duration::from_millis(500);

/// What one stream remembers of both directions.
pub struct Numbering {
    clock: Clock,
    format: Format,
    /// Of the far end's encoder, which is one like ours.
    lookahead_us: u32,
    /// Whether the far end is known, from an earlier stream, to acknowledge.
    acknowledges: bool,
    state: Mutex<State>,
    all_is_said: watch::Sender<bool>,
    received: Notify,
}

/// A chunk with sound that was handed to the transport.
struct Sent {
    sequence: u64,
    at: Duration,
    stages: Stages,
}

#[derive(Default)]
struct State {
    sent: u64,
    first_sent: Option<Duration>,
    received: u64,
    /// When the newest came.
    heard: Duration,
    /// Whether the far end has shown that it is there, if only by accepting the stream.
    lives: bool,
    /// The newest sequence of the far end and when it came.
    newest: Option<(u64, Duration)>,
    transit: Transit,
    /// Whether the far end has said that it understands fields 6 and up.
    accepted: bool,
    /// What the far end said that it adds.
    processing_us: u32,
    /// Whether others are heard, and not what we said.
    hears_others: bool,
    /// Our newest chunks with sound, until they are answered.
    remembered: VecDeque<Sent>,
    /// Where the next sample of a far end stands that does not number its chunks.
    media_time: u64,
}

impl State {
    fn remember(&mut self, sent: Sent) {
        if self.remembered.len() == MOST_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(sent);
    }

    /// The stages of what answers a chunk of ours. `None` where that chunk is not remembered, or others
    /// are heard.
    fn stages(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        lookahead_us: u32,
    ) -> Option<Stages> {
        if self.hears_others {
            self.remembered.clear();
            return None;
        }
        let older = self
            .remembered
            .partition_point(|sent| sent.sequence < chunk.ack_sequence);
        // Answers come in order.
        self.remembered.drain(..older);
        let sent = self.remembered.front()?;
        let all_us = micros(arrived.saturating_sub(sent.at));
        let answer = Answer {
            sent: sent.stages,
            under_way_us: all_us.checked_sub(chunk.ack_delay_us)?,
            residence_us: chunk.ack_delay_us,
            processing_us: self.processing_us,
            lookahead_us,
            age_us: chunk.age_us,
        };
        (sent.sequence == chunk.ack_sequence).then(|| answer.stages())
    }
}

impl Numbering {
    /// The numbers of a stream that begins. `acknowledges`: an earlier stream of this call was with
    /// a far end that acknowledges, so that silence now is a stall and not ignorance.
    pub fn new(clock: Clock, format: Format, acknowledges: bool) -> Self {
        Self {
            clock,
            format,
            lookahead_us: micros(format.duration_of(Encoder::lookahead_of(format))),
            acknowledges,
            state: Mutex::default(),
            all_is_said: watch::Sender::new(false),
            received: Notify::new(),
        }
    }

    /// Puts the engine's chunk into `chunk`, and numbers it as it goes to the transport.
    pub fn stamp(&self, chunk: &mut AudioChunk, outgoing: Outgoing) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.sent += 1;
        let sequence = state.sent;
        state.first_sent.get_or_insert(now);
        state.transit.on_sent(sequence, now);
        chunk.sequence = sequence;
        chunk.media_time = outgoing.media_time;
        if !outgoing.payload.is_empty() {
            let mut stages = outgoing.stages;
            stages.uplink += micros(now.saturating_sub(outgoing.made));
            chunk.age_us = stages.total();
            state.remember(Sent {
                sequence,
                at: now,
                stages,
            });
        }
        if let Some((newest, arrived)) = state.newest {
            chunk.ack_sequence = newest;
            chunk.ack_delay_us = micros(now.saturating_sub(arrived));
        }
        chunk.gap = outgoing.gap.into();
        chunk.level = outgoing.level;
        chunk.audio_data = outgoing.payload;
    }

    /// Reads one chunk of the far end, as much of it as can be trusted.
    pub fn receive(&self, chunk: AudioChunk) -> Incoming {
        let arrived = self.clock.now();
        let mut state = self.lock();
        state.received += 1;
        state.heard = arrived;
        state.lives = true;
        if let Some(accepted) = &chunk.accepted {
            state.accepted = true;
            state.processing_us = accepted.processing_delay_us;
            state.hears_others = accepted.echo == Some(false);
        }
        self.received.notify_one();
        if state.accepted && chunk.sequence > 0 {
            self.receive_numbered(&mut state, chunk, arrived)
        } else {
            self.receive_plain(&mut state, &chunk, arrived)
        }
    }

    /// The far end is there, though it has not said anything yet.
    pub fn far_end_lives(&self) {
        self.lock().lives = true;
        self.received.notify_one();
    }

    /// Returns when the transport may be given another chunk: at once, unless the line has stalled
    /// and the far end is one that acknowledges, or does not even show that it is there.
    pub async fn line_is_clear(&self) {
        while self.would_wait() {
            if timeout(PROBE, self.received.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Whether sound that is handed over now would wait in the transport.
    pub fn would_wait(&self) -> bool {
        let state = self.lock();
        let now = self.clock.now();
        if state.accepted || self.acknowledges {
            return is_stalled(&state.transit, now);
        }
        let unanswered = state
            .first_sent
            .filter(|_| !state.lives)
            .map_or(Duration::ZERO, |first| now.saturating_sub(first));
        unanswered >= MOST_UNANSWERED
    }

    /// Returns once the far end, which acknowledges, has been silent for longer than a line that
    /// flows can be; never if it is one that does not.
    pub async fn stalled(&self) {
        while let Some(rest) = self.until_stalled() {
            sleep(rest).await;
        }
    }

    /// How long it takes at least until that is so.
    fn until_stalled(&self) -> Option<Duration> {
        let state = self.lock();
        let now = self.clock.now();
        let silent = now.saturating_sub(state.heard);
        let due = state.transit.unacknowledged_for(now).unwrap_or_default();
        match state.accepted {
            // Whether it does will be known with the next chunk.
            false => Some(STALLED_AFTER),
            true => STALLED_AFTER
                .checked_sub(silent.min(due))
                .filter(|rest| !rest.is_zero()),
        }
    }

    /// Whether the far end acknowledges, as far as this stream or an earlier one has shown.
    pub fn acknowledges(&self) -> bool {
        self.acknowledges || self.lock().accepted
    }

    /// Smoothed round trip, if the far end acknowledges.
    pub fn round_trip(&self) -> Option<Duration> {
        self.lock().transit.round_trip()
    }

    /// Whether every request was answered, by a server of which no more can be expected: not every
    /// one ends its streams, but those that number their chunks do.
    pub fn nothing_will_come(&self) -> bool {
        let state = self.lock();
        state.received >= state.sent && !state.accepted
    }

    /// We have nothing more to send on this stream.
    pub fn say_all_is_said(&self) {
        self.all_is_said.send_replace(true);
    }

    /// Whether [`Numbering::say_all_is_said`] was called.
    pub fn all_is_said(&self) -> bool {
        *self.all_is_said.borrow()
    }

    /// Returns once it is.
    pub async fn wait_until_all_is_said(&self) {
        // The sender lives as long as `self`.
        let _ = self.all_is_said.subscribe().wait_for(|said| *said).await;
    }

    fn receive_numbered(
        &self,
        state: &mut State,
        chunk: AudioChunk,
        arrived: Duration,
    ) -> Incoming {
        state.newest = Some((chunk.sequence, arrived));
        let has_age = chunk.age_us > 0;
        let one_way = state.transit.on_received(
            Arrival {
                ack_sequence: chunk.ack_sequence,
                ack_delay_us: chunk.ack_delay_us,
                sender_clock_us: has_age.then(|| sender_clock_us(&chunk, self.format)),
            },
            arrived,
        );
        let stages = state
            .stages(&chunk, arrived, self.lookahead_us)
            .or_else(|| {
                Some(Stages {
                    uplink: chunk.age_us,
                    downlink: micros(one_way?),
                    ..Stages::default()
                })
            });
        Incoming {
            media_time: chunk.media_time,
            gap: Gap::try_from(chunk.gap).unwrap_or(Gap::None),
            stages: has_age.then_some(stages).flatten(),
            payload: chunk.audio_data,
            arrived,
        }
    }

    /// A far end that knows fields 1 to 5 only: its chunks follow each other without a gap, and the
    /// lab's append a stamp.
    fn receive_plain(&self, state: &mut State, chunk: &AudioChunk, arrived: Duration) -> Incoming {
        let sound = stamp::strip(&chunk.audio_data);
        let payload = chunk.audio_data.slice_ref(sound);
        let media_time = state.media_time;
        if !payload.is_empty() {
            let samples = self.format.samples_per_channel(&payload).unwrap_or(0);
            state.media_time += samples as u64;
        }
        Incoming {
            gap: if payload.is_empty() {
                Gap::Silence
            } else {
                Gap::None
            },
            payload,
            media_time,
            stages: None,
            arrived,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sender's own clock at the hand-over of `chunk`: its samples are its ticks.
pub(crate) fn sender_clock_us(chunk: &AudioChunk, format: Format) -> u64 {
    let position = u128::from(chunk.media_time) * 1_000_000 / u128::from(format.sample_rate_hz());
    u64::try_from(position)
        .unwrap_or(u64::MAX)
        .saturating_add(u64::from(chunk.age_us))
}
