//! What a leg's task and its answers share, and what its call pushes into, from whatever thread.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::Stream;
use proto::callcenter::{Accepted, AudioChunk, Event};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};
use tonic::Status;

use super::{downlink::Downlink, leg::Leg, log::LegLog};
use crate::{
    calls::{
        bridge::{CallSender, Line},
        route::Outgoing,
    },
    transport::Permit,
};

/// The lock is held for a few additions.
pub(super) struct Shared {
    /// Where the time of all legs begins.
    epoch: Instant,
    state: Mutex<State>,
    /// An answer was taken.
    pub(super) taken: Notify,
    /// The leg is to end.
    is_ended: Notify,
}

pub(super) struct State {
    pub(super) downlink: Downlink,
    /// Whether no request lies unread, as far as the task knows: it waits for one, or had to wait for
    /// the one that it is at.
    pub(super) all_is_read: bool,
    /// The call that the leg's chunks go to; `None` while it is alone.
    pub(super) call: Option<CallSender>,
    /// How often that has changed.
    pub(super) call_changes: u64,
    wants_events: bool,
    resume_token: String,
    /// How its call, or whoever else, ended the leg.
    ended: Option<Status>,
    /// How the stream ends once everything in the downlink is taken.
    pub(super) end: Option<Result<(), Status>>,
    taker: Option<Waker>,
    pub(super) log: LegLog,
    pub(super) permit: Permit,
}

impl Shared {
    pub(super) fn new(epoch: Instant, log: LegLog, permit: Permit) -> Self {
        Self {
            epoch,
            state: Mutex::new(State {
                downlink: Downlink::plain(AudioChunk::default()),
                all_is_read: false,
                call: None,
                call_changes: 0,
                wants_events: false,
                resume_token: String::new(),
                ended: None,
                end: None,
                taker: None,
                log,
                permit,
            }),
            taken: Notify::new(),
            is_ended: Notify::new(),
        }
    }

    /// The first chunk has come: from now on the leg has a downlink of its own.
    pub(super) fn open(&self, leg: &Leg) {
        let mut state = self.lock();
        state.downlink = leg.downlink();
        state.wants_events = leg.wants_events();
        leg.resume_token().clone_into(&mut state.resume_token);
        state.log.start(leg.call_id(), &leg.format().to_string());
    }

    /// The call that the leg's chunks go to; `None` while it is alone.
    pub(super) fn call(&self) -> Option<CallSender> {
        self.lock().call.clone()
    }

    /// How the leg was ended, as soon as it is.
    pub(super) async fn ended(&self) -> Status {
        loop {
            if let Some(status) = self.lock().ended.take() {
                return status;
            }
            self.is_ended.notified().await;
        }
    }

    /// Queues what `queue` queues.
    pub(super) fn queue(&self, queue: impl FnOnce(&mut Downlink, Duration)) {
        let now = self.now();
        let mut state = self.lock();
        queue(&mut state.downlink, now);
        self.wake_taker(state);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is there to be taken, or the end.
    pub(super) fn wake_taker(&self, mut state: MutexGuard<'_, State>) {
        let taker = state.taker.take();
        drop(state);
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// After the end: returns when nothing was taken for so long, and somebody else may have the
    /// place. A peer without room for an answer has none for what comes after it, either.
    pub(super) async fn give_up_unread(&self, idle: Duration) {
        while timeout(idle, self.taken.notified()).await.is_ok() {}
        let mut state = self.lock();
        state.downlink.clear();
        state.permit.give_up_unread();
        if let Some(Ok(())) = state.end {
            state.end = Some(Err(not_read(idle)));
        }
    }
}

/// The status of a leg whose peer reads nothing.
pub(super) fn not_read(idle: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no answer was read for {}; a party that does not want to hear hangs up",
        humantime::format_duration(idle)
    ))
}

/// The response stream.
pub struct Answers {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Answers {
    pub(super) fn new(shared: Arc<Shared>, task: AbortHandle) -> Self {
        Self { shared, task }
    }
}

impl Stream for Answers {
    type Item = Result<AudioChunk, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.lock();
        let now = self.shared.now();
        let all_is_read = state.all_is_read && state.end.is_none();
        if let Some(chunk) = state.downlink.pop(now, all_is_read) {
            drop(state);
            self.shared.taken.notify_one();
            return Poll::Ready(Some(Ok(chunk)));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
        let mut state = self.shared.lock();
        let (bytes_out, dropped_late) = (state.downlink.bytes_out(), state.downlink.dropped_late());
        state.log.sent(bytes_out, dropped_late);
        #[cfg(test)]
        crate::transport::forced::at(crate::transport::forced::IN_DROP, state.log.call_id());
    }
}

impl Line for Shared {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn send(&self, outgoing: Outgoing) {
        self.queue(|downlink, now| downlink.push(outgoing, now));
    }

    fn tell(&self, event: Event) {
        let now = self.now();
        let mut state = self.lock();
        if state.wants_events {
            state.downlink.tell(event, now);
            self.wake_taker(state);
        }
    }

    fn set_call(&self, call: Option<CallSender>) {
        let now = self.now();
        let mut state = self.lock();
        if call.is_some() {
            let accepted = Accepted {
                leg_id: state.log.leg_id().to_owned(),
                // What becomes of its own sound it does not hear; what it hears tells its age.
                processing_delay_us: 0,
                resume_token: state.resume_token.clone(),
                echo: Some(false),
            };
            state.downlink.accept(accepted, now);
        }
        state.call = call;
        state.call_changes += 1;
        self.wake_taker(state);
    }

    fn is_in(&self, call: &CallSender) -> bool {
        self.lock()
            .call
            .as_ref()
            .is_some_and(|own| own.is_same(call))
    }

    fn end(&self, status: Status) {
        self.lock().ended.get_or_insert(status);
        self.is_ended.notify_one();
    }
}
