//! How a leg comes into the call that it names, and out of it.

use std::{collections::BTreeSet, sync::Arc};

use proto::callcenter::{Event, Roster, event};
use tonic::Status;

use super::{
    bridge::contract_party,
    call_task::CallTask,
    link::{Newcomer, Seat},
    registry::{Entry, Home, Registry},
};

/// All calls of the server.
pub(crate) struct Directory {
    max_calls: usize,
    max_legs_per_call: usize,
    registry: Arc<Registry>,
}

/// A leg's being in a call. When it is dropped, the leg leaves.
pub(crate) struct Membership {
    registry: Arc<Registry>,
    call_id: String,
    seat: Arc<Seat>,
    reason: Option<String>,
}

impl Directory {
    pub(crate) fn new(max_calls: usize, max_legs_per_call: usize) -> Arc<Self> {
        Arc::new(Self {
            max_calls,
            max_legs_per_call,
            registry: Arc::default(),
        })
    }

    /// Takes the leg into the call of this id, which begins with its first leg. `resumes`: the token of the
    /// leg whose place it takes; empty: nobody's.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED: the call has as many legs as it may, or the server as many calls.
    pub(crate) fn join(
        &self,
        call_id: &str,
        seat: Seat,
        resumes: &str,
    ) -> Result<Membership, Status> {
        let seat = Arc::new(seat);
        let mut calls = self.registry.lock();
        let count = calls.len();
        match calls.get_mut(call_id) {
            Some(entry) => {
                // One that takes another's place is one more for a moment.
                let legs = entry.legs.len();
                if legs >= self.max_legs_per_call + usize::from(!resumes.is_empty()) {
                    return Err(Status::resource_exhausted(format!(
                        "this call has {legs} legs, which is as many as one may have (--max-legs-per-call)"
                    )));
                }
                entry.legs.insert(seat.key);
                self.add(call_id, entry, Arc::clone(&seat), resumes);
            }
            None => {
                if count >= self.max_calls {
                    return Err(Status::resource_exhausted(format!(
                        "the server carries at most {count} calls at once (--max-calls); try again later"
                    )));
                }
                let entry = Entry {
                    legs: BTreeSet::from([seat.key]),
                    home: Home::Alone(Arc::clone(&seat)),
                };
                calls.insert(call_id.to_owned(), entry);
                tell_alone(&seat);
            }
        }
        Ok(Membership {
            registry: Arc::clone(&self.registry),
            call_id: call_id.to_owned(),
            seat,
            reason: None,
        })
    }

    fn add(&self, call_id: &str, entry: &mut Entry, seat: Arc<Seat>, resumes: &str) {
        if let Home::Alone(first) = &entry.home
            && first.resume_token == resumes
        {
            seat.replace(first);
            tell_alone(&seat);
            entry.home = Home::Alone(seat);
            return;
        }
        // The thread of a call may have died, with all who were in it.
        let lives = match &entry.home {
            Home::Nowhere => false,
            Home::Alone(_) => true,
            Home::Task(call) => !call.is_closed(),
        };
        if !lives {
            tell_alone(&seat);
            entry.home = Home::Alone(seat);
            return;
        }
        let call = match &entry.home {
            Home::Nowhere => return,
            Home::Task(call) => call.clone(),
            Home::Alone(first) => {
                let (call, task) = CallTask::new(Arc::clone(&self.registry), call_id.to_owned());
                first.worker.spawn(task.run());
                call.join(Arc::clone(first), Newcomer::Knows);
                first.line.set_call(Some(call.clone()));
                call
            }
        };
        let newcomer = match resumes.is_empty() {
            true => Newcomer::New,
            false => Newcomer::Resumes(resumes.to_owned()),
        };
        call.join(Arc::clone(&seat), newcomer);
        seat.line.set_call(Some(call.clone()));
        entry.home = Home::Task(call);
    }
}

/// Who is alone in a call is told that.
fn tell_alone(seat: &Seat) {
    let party = contract_party(&seat.party());
    let roster = Roster {
        own_leg_id: party.leg_id.clone(),
        parties: vec![party],
    };
    seat.line.tell(Event {
        event: Some(event::Event::Roster(roster)),
    });
}

impl Membership {
    /// Its seat.
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Why it will have left; the first word counts.
    pub(crate) fn leaves_because(&mut self, reason: &str) {
        self.reason.get_or_insert_with(|| reason.to_owned());
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let reason = self.reason.as_deref().unwrap_or("the line was lost");
        self.registry.leave(&self.call_id, &self.seat, reason);
    }
}
