//! One connection's turn on its thread: all its legs together work so long in a row and no longer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// So long may a connection keep its thread busy before the others have their turn. A chunk is not
/// cut in two: the last one of a turn may go beyond it.
pub(super) const TURN: Duration = Duration::from_micros(300);

/// Shared by the legs of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<Duration>>);

impl Turn {
    /// Does this work when it is this leg's turn among those of its connection, first come, first
    /// served; and returns when the other connections have had theirs, if that is due.
    pub(crate) async fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut spent = self.0.lock().await;
        let began = Instant::now();
        let result = work();
        *spent += began.elapsed();
        if *spent > TURN {
            *spent = Duration::ZERO;
            // Still holding it, so that no other leg of this connection comes in between; and
            // yielding, rather than waking the next of them, lets the thread look at its sockets.
            tokio::task::yield_now().await;
        }
        result
    }
}
