//! The one clock of a softphone: engine, queue and session count from the same origin.

use std::time::{Duration, Instant};

/// Monotonic time since the program began its call.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn now(self) -> Duration {
        self.0.elapsed()
    }
}
