//! What waits to be sent to one leg's peer, and the rule by which it is handed to the transport.
//!
//! To a peer that does not number its chunks everything that answers it is sent, in order; whoever fills the
//! queue stops reading while there is no room. What comes at the pace of time, from others, is dropped
//! when it has waited too long. So is everything to a peer that numbers, and nothing with sound is handed
//! over to it while the line has stalled. Pure: `now` is passed in.

use std::{collections::VecDeque, time::Duration};

use audio::Format;
use line::sending_rule::{LONGEST_WAIT, LateQueue, Waiting};
use proto::callcenter::{Accepted, AudioChunk, Event, Gap};

use super::numbering::{Numbering, micros};
use crate::calls::route::{Outgoing, Place, Received};

/// What may wait for a peer that does not number: a few chunks, for the transport to take at once.
const PLAIN: Room = Room {
    chunks: 32,
    bytes: 32 * 1_024,
};

/// What may wait for a peer that does: more than the longest wait of anything in real time, so
/// that only one that pours is ever kept waiting.
const NUMBERED: Room = Room {
    chunks: 1_024,
    bytes: 256 * 1_024,
};

/// Events that wait for a peer that reads nothing; what is older than these is lost.
const MAX_EVENTS: usize = 256;

struct Room {
    chunks: usize,
    bytes: usize,
}

/// A chunk that has its place.
#[derive(Debug)]
struct Placed {
    outgoing: Outgoing,
    media_time: u64,
}

impl Waiting for Placed {
    fn since(&self) -> Duration {
        self.outgoing.since
    }
    fn has_sound(&self) -> bool {
        !self.outgoing.payload.is_empty()
    }
    fn bytes(&self) -> usize {
        self.outgoing.payload.len()
    }
}

/// What is to be sent on one leg.
#[derive(Debug)]
pub(crate) struct Downlink {
    kind: Kind,
    /// Fields 2 to 5.
    header: AudioChunk,
    /// Since when there is something to take and nobody has taken anything.
    untaken_since: Option<Duration>,
    bytes_out: u64,
}

#[derive(Debug)]
enum Kind {
    /// To a peer that knows fields 1 to 5.
    Plain(Plain),
    Numbered(Box<Numbered>),
}

#[derive(Debug, Default)]
struct Plain {
    waiting: VecDeque<PlainChunk>,
    bytes: usize,
    dropped: u64,
}

/// A chunk with fields 1 to 5.
#[derive(Debug)]
struct PlainChunk {
    chunk: AudioChunk,
    /// When it is dropped as late; `None`: never.
    late_at: Option<Duration>,
}

#[derive(Debug)]
struct Numbered {
    numbering: Numbering,
    format: Format,
    waiting: LateQueue<Placed>,
    /// Where the next chunk stands, in samples per channel.
    next: u64,
    /// Where what was handed over ends.
    handed_over: u64,
    /// Goes with the next chunk, whatever becomes of those that wait.
    accepted: Option<Accepted>,
    /// Likewise, after it.
    events: VecDeque<Event>,
}

impl Downlink {
    /// To a peer that knows fields 1 to 5. `header` holds fields 2 to 5.
    pub(crate) fn plain(header: AudioChunk) -> Self {
        Self::new(header, Kind::Plain(Plain::default()))
    }

    /// To a peer that numbers its chunks, the first of which stands at `media_time`. `header` holds
    /// fields 2 to 5.
    pub(crate) fn numbered(header: AudioChunk, format: Format, media_time: u64) -> Self {
        let numbered = Numbered {
            numbering: Numbering::new(),
            format,
            waiting: LateQueue::default(),
            next: media_time,
            handed_over: media_time,
            accepted: None,
            events: VecDeque::new(),
        };
        Self::new(header, Kind::Numbered(Box::new(numbered)))
    }

    fn new(header: AudioChunk, kind: Kind) -> Self {
        Self {
            kind,
            header,
            untaken_since: None,
            bytes_out: 0,
        }
    }

    /// Takes what a request says about time, as it arrives. Returns how old its first sample is
    /// now, in microseconds, if it tells.
    pub(crate) fn receive(&mut self, request: &AudioChunk, now: Duration) -> Option<u32> {
        match &mut self.kind {
            Kind::Plain(_) => None,
            Kind::Numbered(numbered) => numbered.numbering.receive(request, numbered.format, now),
        }
    }

    /// A request was worked off that nothing answers: it is to be acknowledged.
    pub(crate) fn acknowledge(&mut self, received: Received, now: Duration) {
        if let Kind::Numbered(numbered) = &mut self.kind {
            numbered.numbering.set_pending_ack(received);
            self.untaken_since.get_or_insert(now);
        }
    }

    /// Says, with the next chunk, what the server made of the leg. A peer that does not number is not
    /// told.
    pub(crate) fn accept(&mut self, accepted: Accepted, now: Duration) {
        if let Kind::Numbered(numbered) = &mut self.kind {
            numbered.accepted = Some(accepted);
            self.untaken_since.get_or_insert(now);
        }
    }

    /// Tells the peer what happened in its call.
    pub(crate) fn tell(&mut self, event: Event, now: Duration) {
        if let Kind::Numbered(numbered) = &mut self.kind {
            if numbered.events.len() == MAX_EVENTS {
                numbered.events.pop_front();
            }
            numbered.events.push_back(event);
            self.untaken_since.get_or_insert(now);
        }
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, outgoing: Outgoing, now: Duration) {
        match &mut self.kind {
            Kind::Plain(plain) => {
                // Nothing is said to it but by sound.
                if outgoing.payload.is_empty() && outgoing.answers.is_none() {
                    return;
                }
                // What answers it is what it is waited for.
                let is_answer = outgoing.answers.is_some();
                let late_at = (!is_answer).then(|| outgoing.since + LONGEST_WAIT);
                let chunk = AudioChunk {
                    audio_data: outgoing.payload,
                    ..self.header.clone()
                };
                plain.push(PlainChunk { chunk, late_at }, now);
            }
            Kind::Numbered(numbered) => numbered.push(outgoing),
        }
        self.untaken_since.get_or_insert(now);
    }

    /// Adds a chunk that goes as it is, to a peer that does not number.
    pub(crate) fn push_as_is(&mut self, chunk: AudioChunk, now: Duration) {
        if let Kind::Plain(plain) = &mut self.kind {
            let late_at = None;
            plain.push(PlainChunk { chunk, late_at }, now);
            self.untaken_since.get_or_insert(now);
        }
    }

    /// Whether one more answer may be made. Makes room by dropping what is late, where that may be.
    pub(crate) fn has_room(&mut self, now: Duration) -> bool {
        let (room, chunks, held) = match &mut self.kind {
            Kind::Plain(plain) => {
                plain.drop_late(now);
                (PLAIN, plain.waiting.len(), plain.bytes)
            }
            Kind::Numbered(numbered) => {
                let waiting = &mut numbered.waiting;
                waiting.drop_late(now);
                (NUMBERED, waiting.len(), waiting.bytes())
            }
        };
        chunks < room.chunks && held < room.bytes
    }

    /// What is handed to the transport now. `all_is_read`: everything that the peer sent so far was
    /// received, so that an acknowledgement which is not there has not come. While acknowledgements
    /// may still lie behind sound that waits to be processed, a line is not taken for stalled.
    pub(crate) fn pop(&mut self, now: Duration, all_is_read: bool) -> Option<AudioChunk> {
        let chunk = match &mut self.kind {
            Kind::Plain(plain) => plain.pop(now),
            Kind::Numbered(numbered) => numbered.pop(&self.header, now, all_is_read),
        }?;
        self.bytes_out += chunk.audio_data.len() as u64;
        self.untaken_since = self.holds_something().then_some(now);
        Some(chunk)
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        match &mut self.kind {
            Kind::Plain(plain) => {
                plain.waiting.clear();
                plain.bytes = 0;
            }
            Kind::Numbered(numbered) => {
                numbered.waiting.clear();
                numbered.numbering.clear_pending_ack();
                numbered.events.clear();
                numbered.accepted = None;
            }
        }
    }

    /// How long something has been there to be taken, and nothing was.
    pub(crate) fn untaken_for(&self, now: Duration) -> Duration {
        self.untaken_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Chunks with sound that were dropped because they had waited too long.
    pub(crate) fn dropped_late(&self) -> u64 {
        match &self.kind {
            Kind::Plain(plain) => plain.dropped,
            Kind::Numbered(numbered) => numbered.waiting.dropped(),
        }
    }

    /// Payload bytes handed over so far.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    fn holds_something(&self) -> bool {
        match &self.kind {
            Kind::Plain(plain) => !plain.waiting.is_empty(),
            Kind::Numbered(numbered) => !numbered.waiting.is_empty() || numbered.has_words(),
        }
    }
}

impl Plain {
    fn push(&mut self, chunk: PlainChunk, now: Duration) {
        self.drop_late(now);
        self.bytes += chunk.chunk.audio_data.len();
        self.waiting.push_back(chunk);
    }

    fn pop(&mut self, now: Duration) -> Option<AudioChunk> {
        self.drop_late(now);
        let chunk = self.waiting.pop_front()?.chunk;
        self.bytes -= chunk.audio_data.len();
        Some(chunk)
    }

    fn drop_late(&mut self, now: Duration) {
        let is_late = |chunk: &PlainChunk| chunk.late_at.is_some_and(|late_at| now > late_at);
        while self.waiting.front().is_some_and(is_late) {
            if let Some(late) = self.waiting.pop_front() {
                self.bytes -= late.chunk.audio_data.len();
                self.dropped += 1;
            }
        }
    }
}

impl Numbered {
    fn push(&mut self, outgoing: Outgoing) {
        let media_time = match outgoing.place {
            // Follows the peer's jumps forward (they mark what is missing), never one back.
            Place::At(media_time) => media_time.max(self.next),
            Place::After(skipped) => self.next.saturating_add(skipped),
        };
        self.next = media_time.saturating_add(outgoing.samples_per_channel);
        if let Some(received) = outgoing.answers {
            self.numbering.set_pending_ack(received);
        }
        self.waiting.push(Placed {
            outgoing,
            media_time,
        });
    }

    /// Whether something is to be said, if without sound.
    fn has_words(&self) -> bool {
        self.numbering.has_pending_ack() || self.accepted.is_some() || !self.events.is_empty()
    }

    fn pop(&mut self, header: &AudioChunk, now: Duration, all_is_read: bool) -> Option<AudioChunk> {
        let is_stalled = all_is_read && self.numbering.is_stalled(now);
        let taken = if is_stalled {
            self.waiting.drop_late(now);
            None
        } else {
            self.waiting.pop(now)
        };
        let mut chunk = header.clone();
        match taken {
            Some((placed, is_after_a_drop)) => {
                let Placed {
                    outgoing,
                    media_time,
                } = placed;
                let residence_us = micros(now.saturating_sub(outgoing.since));
                let age_us = outgoing
                    .age_us
                    .map(|age_us| age_us.saturating_add(residence_us));
                self.handed_over = media_time.saturating_add(outgoing.samples_per_channel);
                chunk.media_time = media_time;
                chunk.audio_data = outgoing.payload;
                chunk.age_us = age_us.unwrap_or(0);
                chunk.level = outgoing.level.map_or(0, |level| 1 + u32::from(level));
                chunk.gap = match is_after_a_drop {
                    true => Gap::Late,
                    false => outgoing.gap,
                }
                .into();
                self.numbering.number(&mut chunk, outgoing.answers, now);
            }
            // A request whose answer was dropped, or must wait, is acknowledged all the same.
            None if self.has_words() => {
                chunk.media_time = self.handed_over;
                chunk.gap = match self.waiting.is_drop_untold() {
                    true => Gap::Late,
                    false => Gap::None,
                }
                .into();
                self.numbering.number(&mut chunk, None, now);
            }
            None => return None,
        }
        chunk.accepted = self.accepted.take();
        chunk.events = self.events.drain(..).collect();
        Some(chunk)
    }
}
