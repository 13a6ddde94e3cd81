//! One connection's turn on its thread: all its legs together work so long in a row and no longer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task::yield_now, time::sleep};

/// So long may a connection keep its thread busy before the others have their turn. A chunk is not
/// cut in two: the last one of a turn may go beyond it.
pub(super) const TURN: Duration = Duration::from_micros(300);

/// So long do the legs of a thread that pour work beside others before they rest for as long: a
/// thread that never rests is not run at once when something comes for it, where processors are few.
const POURING_TURN: Duration = Duration::from_millis(1);

/// Shared by the legs of one connection; and, among those that pour, by all of one thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    spent: Arc<Mutex<Duration>>,
    pouring: Pouring,
}

/// What the legs of one thread that pour take their turns by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pouring {
    spent: Arc<Mutex<Duration>>,
    /// By those that begin. A new call does not wait for all that pour.
    spent_beginning: Arc<Mutex<Duration>>,
    in_time: InTime,
}

/// What a chunk is worked on as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    InTime,
    /// The first sound of a leg: it costs the most, and many may begin at once.
    Begins,
    /// Ahead of time.
    Pours,
}

/// The server's legs that do not pour. They need not be of the same thread: what another one works
/// on, and what its peer does, takes processors from all.
#[derive(Debug, Clone, Default)]
pub(crate) struct InTime(Arc<AtomicUsize>);

/// One of them; until it is dropped.
#[derive(Debug)]
pub(crate) struct LegInTime(InTime);

impl Turn {
    /// A connection's, on the thread whose legs pour by these turns.
    pub(crate) fn on(pouring: Pouring) -> Self {
        Self {
            spent: Arc::default(),
            pouring,
        }
    }

    /// One more leg that does not pour.
    pub(crate) fn in_time(&self) -> LegInTime {
        let legs = self.pouring.in_time.clone();
        legs.0.fetch_add(1, Ordering::Relaxed);
        LegInTime(legs)
    }

    /// Whether there are legs that do not pour.
    pub(crate) fn is_beside_others(&self) -> bool {
        self.pouring.in_time.0.load(Ordering::Relaxed) > 0
    }

    /// Does this work when it is this leg's turn among those of its connection, first come, first
    /// served; and returns when the other connections have had theirs, if that is due. Of all legs
    /// that pour, one has its turn between two of those that are in time, however many they are; and
    /// likewise of those that begin.
    pub(crate) async fn take<T>(&self, kind: Work, work: impl FnOnce() -> T) -> T {
        // First, so that a leg of this connection that is in time need not wait for it.
        let poured = match kind {
            Work::InTime => None,
            Work::Begins => Some(self.pouring.spent_beginning.lock().await),
            Work::Pours => Some(self.pouring.spent.lock().await),
        };
        let mut spent = self.spent.lock().await;
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        *spent += took;
        if *spent > TURN {
            *spent = Duration::ZERO;
            // Still holding it, so that no other leg of this connection comes in between; and
            // yielding, rather than waking the next of them, lets the thread look at its sockets.
            yield_now().await;
        }
        drop(spent);
        if let Some(mut poured) = poured {
            *poured += took;
            if *poured < POURING_TURN || !self.is_beside_others() {
                yield_now().await;
            } else {
                sleep(std::mem::take(&mut *poured)).await;
            }
        }
        result
    }
}

impl Pouring {
    /// Of a thread, beside these.
    pub(crate) fn beside(in_time: InTime) -> Self {
        Self {
            in_time,
            ..Self::default()
        }
    }
}

impl Drop for LegInTime {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
