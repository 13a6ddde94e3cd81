//! The queue between the engine, which encodes, and the session, which sends: bounded by age.
//!
//! A line that cannot send falls behind; what has waited too long ([`line::sending_rule`]) is
//! dropped, oldest first, counted, and marked on the chunk that follows. The engine never waits
//! here, and the lock is held for a push or a pop only.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use line::sending_rule::{LateQueue, Waiting};
use proto::callcenter::{Dtmf, Event, Gap, Hold, Muted, event};
use tokio::sync::{Notify, watch};

use super::delay::Stages;
use crate::clock::Clock;

/// One chunk that the engine made, not yet numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// One packet; empty when there is no sound to send.
    pub payload: Bytes,
    /// Position of its first sample, in samples per channel.
    pub media_time: u64,
    /// What its first sample had been through at `made`; the sum is its age. All 0 without sound.
    pub stages: Stages,
    /// Why samples before `media_time` are missing.
    pub gap: Gap,
    /// Wire value: 1 + the RFC 6464 level, 0 when not measured.
    pub level: u32,
    /// When the engine made it, on the softphone's clock.
    pub made: Duration,
}

impl Outgoing {
    /// One that says nothing, where the sound has come to.
    pub fn without_sound(media_time: u64, made: Duration) -> Self {
        Self {
            payload: Bytes::new(),
            media_time,
            stages: Stages::default(),
            gap: Gap::None,
            level: 0,
            made,
        }
    }
}

impl Waiting for Outgoing {
    fn since(&self) -> Duration {
        self.made
    }
    fn has_sound(&self) -> bool {
        !self.payload.is_empty()
    }
    fn bytes(&self) -> usize {
        self.payload.len()
    }
}

/// The queue. Shared by the engine, which pushes, and the session, which pops.
#[derive(Debug)]
pub struct Uplink {
    clock: Clock,
    queue: Mutex<Queue>,
    filled: Notify,
    closing: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: LateQueue<Outgoing>,
    phase: Phase,
    /// Where the newest that was pushed stands.
    media_time: u64,
    /// What the others in the call are to know of us, and what they were told on this stream.
    presence: Presence,
    told: Option<Presence>,
    /// Keys that were pressed, to be told with the next chunk.
    digits: Vec<char>,
    /// The far end is one that is told such things.
    far_end_takes_events: bool,
    /// There was a stream before this one, which may have told something else.
    is_resumed: bool,
}

/// So many keys are told with one chunk.
const MAX_DIGITS: usize = 8;

/// Whether we are heard, and hear.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Presence {
    is_muted: bool,
    is_on_hold: bool,
}

impl Queue {
    /// Something is to be told: a chunk without sound takes it along. Where there is no stream, it is told
    /// with the first chunk of the next.
    fn push_words(&mut self, now: Duration) {
        if self.phase == Phase::Flowing && self.far_end_takes_events {
            self.waiting
                .push(Outgoing::without_sound(self.media_time, now));
        }
    }
}

/// Whether somebody sends what is pushed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no stream yet.
    #[default]
    Before,
    /// A stream takes what is pushed.
    Flowing,
    /// The stream broke; the next is not there yet.
    Interrupted,
    /// We have said all.
    Closed,
}

impl Uplink {
    /// An empty queue whose chunks are made on `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            queue: Mutex::default(),
            filled: Notify::new(),
            closing: watch::Sender::new(false),
        }
    }

    /// Adds a chunk, and drops those that have waited too long.
    pub fn push(&self, chunk: Outgoing) {
        let mut queue = self.lock();
        queue.media_time = chunk.media_time;
        match queue.phase {
            Phase::Flowing => {
                queue.waiting.push(chunk);
                drop(queue);
                self.filled.notify_one();
            }
            Phase::Interrupted => queue.waiting.count_drop(&chunk),
            Phase::Before | Phase::Closed => {}
        }
    }

    /// The others in the call are to know that we are not heard, or are heard again.
    pub fn set_muted(&self, is_muted: bool) {
        self.change_presence(|presence| presence.is_muted = is_muted);
    }

    /// Likewise that we neither hear nor are heard.
    pub fn set_on_hold(&self, is_on_hold: bool) {
        self.change_presence(|presence| presence.is_on_hold = is_on_hold);
    }

    /// Whether we are on hold.
    pub fn is_on_hold(&self) -> bool {
        self.lock().presence.is_on_hold
    }

    /// The others are to know that a key was pressed. `false`: there is nobody to tell.
    pub fn press(&self, digit: char) -> bool {
        let mut queue = self.lock();
        let is_told = queue.phase == Phase::Flowing && queue.far_end_takes_events;
        if is_told {
            queue.digits.push(digit);
            queue.push_words(self.clock.now());
            drop(queue);
            self.filled.notify_one();
        }
        is_told
    }

    /// The far end is one that takes events. One that knows the original fields only might choke on a chunk
    /// without sound.
    pub fn far_end_takes_events(&self) {
        let mut queue = self.lock();
        if !std::mem::replace(&mut queue.far_end_takes_events, true) {
            queue.push_words(self.clock.now());
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// What is to be told with the chunk that goes now.
    pub fn take_events(&self) -> Vec<Event> {
        let mut queue = self.lock();
        if !queue.far_end_takes_events {
            return Vec::new();
        }
        let now = queue.presence;
        let told = queue.told.replace(now);
        // Of an earlier stream the server may know something else.
        let is_new = |is: fn(&Presence) -> bool| match told {
            Some(told) => is(&told) != is(&now),
            None => queue.is_resumed || is(&now),
        };
        let (mute_is_new, hold_is_new) = (is_new(|it| it.is_muted), is_new(|it| it.is_on_hold));
        let muted = mute_is_new.then(|| {
            event::Event::Muted(Muted {
                leg_id: String::new(),
                muted: now.is_muted,
            })
        });
        let hold = hold_is_new.then(|| {
            event::Event::Hold(Hold {
                leg_id: String::new(),
                on_hold: now.is_on_hold,
            })
        });
        // A server takes no more at once; the rest goes with the chunks after this one.
        let count = queue.digits.len().min(MAX_DIGITS);
        let digits = queue.digits.drain(..count).map(|digit| {
            event::Event::Dtmf(Dtmf {
                digit: digit.to_string(),
                ..Dtmf::default()
            })
        });
        let events = muted.into_iter().chain(hold).chain(digits);
        events.map(|event| Event { event: Some(event) }).collect()
    }

    fn change_presence(&self, change: impl FnOnce(&mut Presence)) {
        let mut queue = self.lock();
        let before = queue.presence;
        change(&mut queue.presence);
        if queue.presence != before {
            queue.push_words(self.clock.now());
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// A stream begins: what is pushed from now on is sent on it. Nothing older is, or the stream
    /// would begin late.
    pub fn open(&self) {
        let mut queue = self.lock();
        if queue.phase != Phase::Closed {
            queue.phase = Phase::Flowing;
        }
    }

    /// The stream broke: what waits, and what is pushed until the next one begins, is dropped.
    pub fn interrupt(&self) {
        let mut queue = self.lock();
        if queue.phase == Phase::Flowing {
            queue.phase = Phase::Interrupted;
        }
        queue.told = None;
        queue.is_resumed = true;
        queue.digits.clear();
        queue.waiting.clear();
    }

    /// The next chunk in time to be sent; `None` once the queue is closed and empty.
    pub async fn pop(&self) -> Option<Outgoing> {
        loop {
            {
                let mut queue = self.lock();
                if let Some((mut chunk, is_after_a_drop)) = queue.waiting.pop(self.clock.now()) {
                    if is_after_a_drop {
                        chunk.gap = Gap::Late;
                    }
                    return Some(chunk);
                }
                if queue.phase == Phase::Closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// No more will be said: what waits is still sent, then the stream is half-closed.
    pub fn close(&self) {
        self.lock().phase = Phase::Closed;
        self.closing.send_replace(true);
        self.filled.notify_one();
    }

    /// Returns once [`Uplink::close`] was called.
    pub async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives as long as `self`.
        let _ = closing.wait_for(|closed| *closed).await;
    }

    /// Whether [`Uplink::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    /// Chunks with sound that were dropped because they had waited too long.
    pub fn dropped(&self) -> u64 {
        self.lock().waiting.dropped()
    }

    /// Where the newest chunk stands that the engine made, sent or not.
    pub fn media_time(&self) -> u64 {
        self.lock().media_time
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(uplink: &Uplink) -> Vec<event::Event> {
        let events = uplink.take_events().into_iter();
        events.filter_map(|event| event.event).collect()
    }

    fn muted(muted: bool) -> event::Event {
        let leg_id = String::new();
        event::Event::Muted(Muted { leg_id, muted })
    }

    fn hold(on_hold: bool) -> event::Event {
        let leg_id = String::new();
        event::Event::Hold(Hold { leg_id, on_hold })
    }

    #[tokio::test]
    async fn what_the_others_are_to_know_is_told_once_a_stream_and_again_on_the_next() {
        let uplink = Uplink::new(Clock::start());
        uplink.set_muted(true);
        uplink.open();
        // Nobody knows yet whether it would be understood.
        assert_eq!(events(&uplink), []);
        assert!(!uplink.press('5'));
        uplink.far_end_takes_events();
        // A chunk without sound takes it along.
        assert!(
            uplink
                .pop()
                .await
                .is_some_and(|chunk| chunk.payload.is_empty())
        );
        assert_eq!(events(&uplink), [muted(true)]);
        assert_eq!(events(&uplink), []);
        uplink.set_on_hold(true);
        assert!(uplink.press('5'));
        let told = events(&uplink);
        assert!(told.len() == 2 && told[0] == hold(true), "{told:?}");
        // What is done while there is no line is told on the next, and a key is not.
        uplink.interrupt();
        uplink.set_muted(false);
        assert!(!uplink.press('5'));
        uplink.open();
        assert_eq!(events(&uplink), [muted(false), hold(true)]);
        assert_eq!(events(&uplink), []);
    }

    fn chunk(media_time: u64, made: Duration) -> Outgoing {
        Outgoing {
            payload: Bytes::from_static(b"sound"),
            media_time,
            stages: Stages::default(),
            gap: Gap::None,
            level: 0,
            made,
        }
    }

    #[tokio::test]
    async fn what_waited_too_long_is_dropped_oldest_first_and_marked() {
        let uplink = Uplink::new(Clock::start());
        // Forty chunks of 10 ms that nobody fetched, in a future that the clock has not reached:
        // how late each is follows from the newest alone.
        let start = Duration::from_secs(1_000_000);
        uplink.open();
        for index in 0..40u32 {
            uplink.push(chunk(
                u64::from(index),
                start + Duration::from_millis(10) * index,
            ));
        }
        let first = uplink.pop().await.unwrap();
        assert_eq!((first.media_time, first.gap), (24, Gap::Late));
        let second = uplink.pop().await.unwrap();
        assert_eq!((second.media_time, second.gap), (25, Gap::None));
        assert_eq!(uplink.dropped(), 24);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_holds_and_then_ends() {
        let clock = Clock::start();
        let uplink = Uplink::new(clock);
        uplink.open();
        uplink.push(chunk(7, clock.now()));
        uplink.close();
        uplink.push(chunk(8, clock.now()));
        assert_eq!(uplink.pop().await.unwrap().media_time, 7);
        assert_eq!(uplink.pop().await, None);
    }

    #[tokio::test]
    async fn a_new_stream_begins_with_what_is_new() {
        let clock = Clock::start();
        let uplink = Uplink::new(clock);
        uplink.push(chunk(1, clock.now()));
        uplink.open();
        uplink.push(chunk(2, clock.now()));
        let first = uplink.pop().await.unwrap();
        assert_eq!((first.media_time, first.gap), (2, Gap::None));
        uplink.push(chunk(3, clock.now()));
        uplink.interrupt();
        uplink.push(chunk(4, clock.now()));
        uplink.open();
        uplink.push(chunk(5, clock.now()));
        let next = uplink.pop().await.unwrap();
        assert_eq!((next.media_time, next.gap), (5, Gap::Late));
        assert_eq!(uplink.dropped(), 2);
    }
}
