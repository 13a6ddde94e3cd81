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
use proto::callcenter::{Event, Gap, event};
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
    /// What we did, to be told with the next chunk.
    events: Vec<Event>,
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

    /// Tells the far end what we do from now on: with the next chunk, which is one without sound. Where
    /// there is no stream, nobody is told.
    pub fn tell(&self, event: event::Event) {
        let mut queue = self.lock();
        if queue.phase == Phase::Flowing {
            queue.events.push(Event { event: Some(event) });
            let chunk = Outgoing::without_sound(queue.media_time, self.clock.now());
            queue.waiting.push(chunk);
            drop(queue);
            self.filled.notify_one();
        }
    }

    /// What is to be told with the chunk that goes now.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().events)
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
