//! What waits to be sent to one leg's peer, and the rule by which it is handed to the transport.
//!
//! To a peer that does not number its chunks everything is sent, in order; whoever fills the queue
//! stops reading while there is no room. To a peer that does, what has waited too long is dropped,
//! and nothing with sound is handed over while the line has stalled. Pure: `now` is passed in, and
//! counts from the leg's beginning.

use std::{collections::VecDeque, time::Duration};

use audio::Format;
use line::sending_rule::{LateQueue, Waiting};
use proto::callcenter::{Accepted, AudioChunk, Gap};

use super::{answer::Answer, numbering::Numbering};

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

struct Room {
    chunks: usize,
    bytes: usize,
}

impl Waiting for Answer {
    fn since(&self) -> Duration {
        self.arrived
    }
    fn has_sound(&self) -> bool {
        !self.chunk.audio_data.is_empty()
    }
    fn bytes(&self) -> usize {
        self.chunk.audio_data.len()
    }
}

/// The answers to one leg.
#[derive(Debug)]
pub(crate) struct Downlink {
    kind: Kind,
    /// Since when there is something to take and nobody has taken anything.
    untaken_since: Option<Duration>,
    bytes_out: u64,
}

#[derive(Debug)]
enum Kind {
    Plain {
        waiting: VecDeque<AudioChunk>,
        bytes: usize,
    },
    Numbered(Box<Numbered>),
}

#[derive(Debug)]
struct Numbered {
    numbering: Numbering,
    format: Format,
    waiting: LateQueue<Answer>,
    /// Fields 2 to 5.
    header: AudioChunk,
    /// Goes with the next chunk, whatever became of the answer it came with.
    accepted: Option<Accepted>,
}

impl Downlink {
    /// To a peer that knows fields 1 to 5.
    pub(crate) fn plain() -> Self {
        Self::of(Kind::Plain {
            waiting: VecDeque::new(),
            bytes: 0,
        })
    }

    /// To a peer that numbers its chunks, the first of which stands at `media_time`. `header` holds
    /// fields 2 to 5.
    pub(crate) fn numbered(header: AudioChunk, format: Format, media_time: u64) -> Self {
        Self::of(Kind::Numbered(Box::new(Numbered {
            numbering: Numbering::new(media_time),
            format,
            waiting: LateQueue::default(),
            header,
            accepted: None,
        })))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            untaken_since: None,
            bytes_out: 0,
        }
    }

    /// Takes what a request says about time, as it arrives. Returns how old its first sample is
    /// now, in microseconds, if it tells.
    pub(crate) fn receive(&mut self, request: &AudioChunk, now: Duration) -> Option<u32> {
        match &mut self.kind {
            Kind::Plain { .. } => None,
            Kind::Numbered(numbered) => numbered.numbering.receive(request, numbered.format, now),
        }
    }

    /// Adds the answer to the newest request.
    pub(crate) fn push(&mut self, mut answer: Answer, now: Duration) {
        self.untaken_since.get_or_insert(now);
        match &mut self.kind {
            Kind::Plain { waiting, bytes } => {
                *bytes += answer.chunk.audio_data.len();
                waiting.push_back(answer.chunk);
            }
            Kind::Numbered(numbered) => {
                numbered.numbering.owe(&answer);
                if let Some(accepted) = answer.chunk.accepted.take() {
                    numbered.accepted = Some(accepted);
                }
                numbered.waiting.push(answer);
            }
        }
    }

    /// Whether one more answer may be made. Makes room by dropping what is late, where that may be.
    pub(crate) fn has_room(&mut self, now: Duration) -> bool {
        let (room, chunks, held) = match &mut self.kind {
            Kind::Plain { waiting, bytes } => (PLAIN, waiting.len(), *bytes),
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
            Kind::Plain { waiting, bytes } => {
                let chunk = waiting.pop_front();
                *bytes -= chunk.as_ref().map_or(0, |chunk| chunk.audio_data.len());
                chunk
            }
            Kind::Numbered(numbered) => numbered.pop(now, all_is_read),
        }?;
        self.bytes_out += chunk.audio_data.len() as u64;
        self.untaken_since = self.holds_something().then_some(now);
        Some(chunk)
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        match &mut self.kind {
            Kind::Plain { waiting, bytes } => {
                waiting.clear();
                *bytes = 0;
            }
            Kind::Numbered(numbered) => {
                numbered.waiting.clear();
                numbered.numbering.owe_nothing();
            }
        }
    }

    /// How long something has been there to be taken, and nothing was.
    pub(crate) fn untaken_for(&self, now: Duration) -> Duration {
        self.untaken_since
            .map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Answers with sound that were dropped because they had waited too long.
    pub(crate) fn dropped_late(&self) -> u64 {
        match &self.kind {
            Kind::Plain { .. } => 0,
            Kind::Numbered(numbered) => numbered.waiting.dropped(),
        }
    }

    /// Payload bytes handed over so far.
    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    fn holds_something(&self) -> bool {
        match &self.kind {
            Kind::Plain { waiting, .. } => !waiting.is_empty(),
            Kind::Numbered(numbered) => !numbered.waiting.is_empty() || numbered.numbering.owes(),
        }
    }
}

impl Numbered {
    fn pop(&mut self, now: Duration, all_is_read: bool) -> Option<AudioChunk> {
        let is_stalled = all_is_read && self.numbering.is_stalled(now);
        let taken = if is_stalled {
            self.waiting.drop_late(now);
            None
        } else {
            self.waiting.pop(now)
        };
        let mut chunk = match taken {
            Some((answer, is_after_a_drop)) => {
                let mut chunk = self.numbering.stamp(answer, now);
                if is_after_a_drop {
                    chunk.gap = Gap::Late.into();
                }
                chunk
            }
            // A request whose answer was dropped, or must wait, is acknowledged all the same.
            None => {
                let chunk = self
                    .numbering
                    .stamp_acknowledgement(self.header.clone(), now)?;
                let gap = if self.waiting.is_drop_untold() {
                    Gap::Late
                } else {
                    Gap::None
                };
                AudioChunk {
                    gap: gap.into(),
                    ..chunk
                }
            }
        };
        chunk.accepted = self.accepted.take();
        Some(chunk)
    }
}
