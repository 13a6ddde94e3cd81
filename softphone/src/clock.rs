//! The one clock of a softphone: engine, queue and session count from the same origin.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Monotonic time since the program began its call.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    Real(Instant),
    /// Nanoseconds.
    Set(&'static AtomicU64),
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Source::Real(Instant::now()))
    }

    /// A clock that stands at zero until it is [set](SetClock::set).
    pub fn virtual_time() -> (Self, SetClock) {
        // Eight bytes for the rest of the program, which makes one virtual call: the price of a
        // clock that is handed around as lightly as the real one.
        let now: &'static AtomicU64 = Box::leak(Box::default());
        (Self(Source::Set(now)), SetClock(now))
    }

    /// Time since the start.
    pub fn now(self) -> Duration {
        match self.0 {
            Source::Real(start) => start.elapsed(),
            Source::Set(now) => Duration::from_nanos(now.load(Ordering::Relaxed)),
        }
    }
}

/// The hand on a virtual clock.
#[derive(Debug)]
pub struct SetClock(&'static AtomicU64);

impl SetClock {
    /// It is `now`, on all copies of the clock. Never goes back.
    pub fn set(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}
