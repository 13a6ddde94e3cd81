//! Which calls there are, and where each lives. Asked when a leg comes or goes, not on the way of a chunk.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::link::{CallSender, Seat};

/// All calls of the server, by their ids.
#[derive(Default)]
pub(super) struct Registry(Mutex<HashMap<String, Entry>>);

/// One of them.
pub(super) struct Entry {
    /// The keys of all its legs. Never empty.
    pub(super) legs: BTreeSet<u64>,
    pub(super) home: Home,
}

pub(super) enum Home {
    /// Nowhere: those who are left are about to go.
    Nowhere,
    /// The only leg is answered where it is read.
    Alone(Arc<Seat>),
    /// It has a task.
    Task(CallSender),
}

impl Registry {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Nothing that is done under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call's task ends, as only this leg is left; unless somebody has come meanwhile.
    pub(super) fn make_alone(&self, call_id: &str, seat: &Arc<Seat>, task: &CallSender) -> bool {
        let mut calls = self.lock();
        match calls.get_mut(call_id) {
            Some(entry)
                if matches!(&entry.home, Home::Task(call) if call.is_same(task))
                    && entry.legs.iter().eq([&seat.key]) =>
            {
                entry.home = Home::Alone(Arc::clone(seat));
                seat.line.set_call(None);
                true
            }
            _ => false,
        }
    }

    /// Whether nobody is in the call of this task, or about to be.
    pub(super) fn is_over(&self, call_id: &str, task: &CallSender) -> bool {
        let calls = self.lock();
        let home = calls.get(call_id).map(|entry| &entry.home);
        !matches!(home, Some(Home::Task(call)) if call.is_same(task))
    }

    /// A leg leaves its call, for this reason.
    pub(super) fn leave(&self, call_id: &str, seat: &Seat, reason: &str) {
        let mut calls = self.lock();
        let Some(entry) = calls.get_mut(call_id) else {
            return;
        };
        if !entry.legs.remove(&seat.key) {
            return;
        }
        match &entry.home {
            Home::Task(call) => call.leave(seat.key, reason),
            Home::Alone(alone) if alone.key == seat.key => entry.home = Home::Nowhere,
            Home::Alone(_) | Home::Nowhere => {}
        }
        if entry.legs.is_empty() {
            calls.remove(call_id);
        }
    }
}
