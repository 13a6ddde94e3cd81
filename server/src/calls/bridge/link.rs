//! A leg and its call: what each hands to the other, from whatever thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audio::mixing::Arrived;
use proto::callcenter::Event;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tonic::Status;

use super::bridge::{Act, hold_event, muted_event};
use crate::calls::{
    call::Party,
    route::{LegFormat, Outgoing},
};

/// Chunks of one leg that its call has not taken up yet.
const MAX_UNTAKEN: usize = 32;

/// How somebody comes into a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    New,
    /// It was alone there, and has been told so.
    Knows,
    /// It takes the place of the leg with this token, if that is still there.
    Resumes(String),
}

/// To a call, from its legs.
pub(super) enum Message {
    Join {
        seat: Arc<Seat>,
        newcomer: Newcomer,
    },
    Chunk {
        key: u64,
        arrived: Arrived,
        credit: OwnedSemaphorePermit,
    },
    Acts {
        key: u64,
        acts: Vec<Act>,
        credit: OwnedSemaphorePermit,
    },
    Leave {
        key: u64,
        reason: String,
    },
}

/// Where a call's legs hand over what they have. What waits is bounded by the legs' credits.
#[derive(Clone)]
pub(crate) struct CallSender(mpsc::UnboundedSender<Message>);

/// The call takes nothing any more: it has only one leg, or its thread has ended. What was to be handed over.
#[derive(Debug)]
pub(crate) struct Hung;

impl CallSender {
    /// Of a call that begins, with its other end.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (Self(sender), inbox)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    pub(super) fn join(&self, seat: Arc<Seat>, newcomer: Newcomer) {
        // Who joins a call that ends just now finds out with its first chunk.
        let _ = self.0.send(Message::Join { seat, newcomer });
    }

    pub(super) fn leave(&self, key: u64, reason: &str) {
        let reason = reason.to_owned();
        let _ = self.0.send(Message::Leave { key, reason });
    }

    /// A leg's chunk.
    ///
    /// # Errors
    /// The call takes nothing any more.
    pub(crate) fn chunk(
        &self,
        key: u64,
        arrived: Arrived,
        credit: OwnedSemaphorePermit,
    ) -> Result<(), Hung> {
        let chunk = Message::Chunk {
            key,
            arrived,
            credit,
        };
        self.0.send(chunk).map_err(|_| Hung)
    }

    /// What a leg's party does.
    pub(crate) fn act(&self, key: u64, acts: Vec<Act>, credit: OwnedSemaphorePermit) {
        let _ = self.0.send(Message::Acts { key, acts, credit });
    }
}

/// The way back to a leg's peer, from whatever thread. Nothing here waits.
pub(crate) trait Line: Send + Sync {
    /// The time that `since` and `at` of chunks are told in.
    fn now(&self) -> Duration;
    /// Queues something to be sent.
    fn send(&self, outgoing: Outgoing);
    /// Queues an event, if the peer wants any.
    fn tell(&self, event: Event);
    /// From now on the leg's chunks go to this call; `None`: it is alone, and answered where it is read.
    fn set_call(&self, call: Option<CallSender>);
    /// Whether that is this call.
    fn is_in(&self, call: &CallSender) -> bool;
    /// Ends the leg.
    fn end(&self, status: Status);
}

/// What a seat is made of.
pub(crate) struct SeatOptions {
    /// Of this leg alone, as long as the server runs.
    pub(crate) key: u64,
    pub(crate) leg_id: String,
    pub(crate) display_name: String,
    /// What lets another stream take its place.
    pub(crate) resume_token: String,
    pub(crate) format: LegFormat,
    pub(crate) line: Arc<dyn Line>,
}

/// One leg's place in its call.
pub(crate) struct Seat {
    options: SeatOptions,
    /// Of the thread that the leg is read on.
    pub(crate) worker: Handle,
    /// One for each chunk that the call may still be handed.
    pub(crate) credits: Arc<Semaphore>,
    is_muted: AtomicBool,
    is_on_hold: AtomicBool,
}

impl std::ops::Deref for Seat {
    type Target = SeatOptions;

    fn deref(&self) -> &SeatOptions {
        &self.options
    }
}

impl Seat {
    /// Of a leg that is read on this thread.
    pub(crate) fn new(options: SeatOptions) -> Self {
        Self {
            options,
            worker: Handle::current(),
            credits: Arc::new(Semaphore::new(MAX_UNTAKEN)),
            is_muted: AtomicBool::new(false),
            is_on_hold: AtomicBool::new(false),
        }
    }

    /// Takes over what another stream of the same party has set, and ends that.
    pub(crate) fn replace(&self, other: &Self) {
        let party = other.party();
        self.set_muted(party.is_muted);
        self.set_on_hold(party.is_on_hold);
        other.line.end(Status::aborted(
            "another stream of the same party has taken this one's place in the call",
        ));
    }

    /// What the others know of it.
    pub(crate) fn party(&self) -> Party {
        Party {
            leg_id: self.leg_id.clone(),
            display_name: self.display_name.clone(),
            is_muted: self.is_muted.load(Ordering::Relaxed),
            is_on_hold: self.is_on_hold.load(Ordering::Relaxed),
        }
    }

    /// What its party does while it is alone; it is told, as everybody would be.
    pub(crate) fn act_alone(&self, act: &Act) {
        let before = self.party();
        self.remember(act);
        let leg_id = self.leg_id.clone();
        let event = match *act {
            Act::Mute(muted) if before.is_muted != muted => muted_event(leg_id, muted),
            Act::Hold(on_hold) if before.is_on_hold != on_hold => hold_event(leg_id, on_hold),
            _ => return,
        };
        self.line.tell(Event { event: Some(event) });
    }

    /// What its party does.
    pub(crate) fn remember(&self, act: &Act) {
        match act {
            Act::Mute(is_muted) => self.set_muted(*is_muted),
            Act::Hold(is_on_hold) => self.set_on_hold(*is_on_hold),
            Act::Dtmf { .. } => {}
        }
    }

    fn set_muted(&self, is_muted: bool) {
        self.is_muted.store(is_muted, Ordering::Relaxed);
    }

    fn set_on_hold(&self, is_on_hold: bool) {
        self.is_on_hold.store(is_on_hold, Ordering::Relaxed);
    }
}
