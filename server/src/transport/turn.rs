//! One connection's turn on its thread: all its legs together work so long in a row and no longer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// So long may a connection keep its thread busy before the others have their turn. A chunk is not
/// cut in two: the last one of a turn may go beyond it.
pub(super) const TURN: Duration = Duration::from_micros(300);

/// Shared by the legs of one connection; and, among those that pour, by all of one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    spent: Arc<Mutex<Duration>>,
    pouring: Pouring,
}

/// What the legs of one thread that pour take their turns by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pouring(Arc<Mutex<()>>);

impl Turn {
    /// A connection's, on the thread whose legs pour by these turns.
    pub(crate) fn on(pouring: Pouring) -> Self {
        Self {
            spent: Arc::default(),
            pouring,
        }
    }

    /// Does this work when it is this leg's turn among those of its connection, first come, first
    /// served; and returns when the other connections have had theirs, if that is due. Of all legs
    /// that pour, one has its turn between two of those that do not, however many they are.
    pub(crate) async fn take<T>(&self, pours: bool, work: impl FnOnce() -> T) -> T {
        // First, so that a leg of this connection that does not pour need not wait for it.
        let _among_those_that_pour = match pours {
            true => Some(self.pouring.0.lock().await),
            false => None,
        };
        let mut spent = self.spent.lock().await;
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
