//! The task that a call of several is: it owns the bridge, waits, and sends.
//!
//! It runs on the worker thread of the leg that was there first.

use std::{collections::HashMap, sync::Arc};

use audio::mixing::Arrived;
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, sleep_until},
};
use tonic::Status;
use tracing::{error, info};

use super::{
    bridge::{Bridge, Output},
    link::{CallSender, Message, Newcomer, Seat},
    registry::Registry,
};
use crate::calls::{call::PartyId, route::TICK};

/// So many messages are taken up before a tick at most.
const MESSAGES_BEFORE_A_TICK: usize = 128;

/// One call of several.
pub(super) struct CallTask {
    registry: Arc<Registry>,
    call_id: String,
    inbox: mpsc::UnboundedReceiver<Message>,
    sender: CallSender,
    bridge: Bridge,
    seats: Vec<(PartyId, Arc<Seat>)>,
    /// By the keys of the seats.
    parties: HashMap<u64, PartyId>,
    /// The newest chunk of each peer that does not number, after which it was sent nothing.
    unanswered: HashMap<u64, Arrived>,
    /// When the next tick is due, while ticks are needed.
    next_tick: Option<Instant>,
}

impl CallTask {
    pub(super) fn new(registry: Arc<Registry>, call_id: String) -> (CallSender, Self) {
        let (sender, inbox) = CallSender::new();
        let task = Self {
            registry,
            call_id,
            inbox,
            sender: sender.clone(),
            bridge: Bridge::default(),
            seats: Vec::new(),
            parties: HashMap::new(),
            unanswered: HashMap::new(),
            next_tick: None,
        };
        (sender, task)
    }

    /// Until nobody, or only one, is left.
    pub(super) async fn run(mut self) {
        loop {
            let message = match self.next_tick {
                Some(due) => tokio::select! {
                    biased;
                    () = sleep_until(due) => None,
                    message = self.inbox.recv() => Some(message),
                },
                None => Some(self.inbox.recv().await),
            };
            let began = message.is_none().then(std::time::Instant::now);
            let goes_on = output::contain(|| match message {
                Some(Some(message)) => self.take(message),
                Some(None) => false,
                None => {
                    self.tick();
                    true
                }
            });
            match goes_on {
                Ok(true) => {
                    self.send();
                    if let Some(began) = began {
                        self.rest(began.elapsed()).await;
                    }
                }
                Ok(false) => {
                    let call = proto::text::quoted(&self.call_id);
                    let encoded = self.bridge.encoded();
                    return info!(%call, encoded, "no call of several any more");
                }
                Err(words) => return self.fail(&words),
            }
        }
    }

    /// After a tick that took so long: other calls of the thread have their turn, and as much of its time.
    /// A tick that is left out makes what is said later; the jitter buffers make up for it.
    async fn rest(&mut self, took: std::time::Duration) {
        if let Some(next) = &mut self.next_tick {
            *next = (*next).max(Instant::now() + took);
        }
        yield_now().await;
    }

    /// Whether the call goes on.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Join { seat, newcomer } => self.join(seat, &newcomer),
            Message::Chunk {
                key,
                arrived,
                credit,
            } => {
                self.insert(key, arrived);
                drop(credit);
            }
            Message::Acts { key, acts, credit } => {
                if let Some(&party) = self.parties.get(&key)
                    && let Some((_, seat)) = self.seats.iter().find(|(id, _)| *id == party)
                {
                    let now = seat.line.now();
                    for act in acts {
                        // Its place in the call may have been another stream's until now.
                        seat.remember(&act);
                        self.bridge.act(party, act, now);
                    }
                }
                drop(credit);
            }
            Message::Leave { key, reason } => {
                self.leave(key, &reason);
                match self.seats.as_slice() {
                    // Somebody may have come whose message is not here yet.
                    [] => return !self.registry.is_over(&self.call_id, &self.sender),
                    [(_, last)] => {
                        let last = Arc::clone(last);
                        if self.registry.make_alone(&self.call_id, &last, &self.sender) {
                            self.send();
                            self.answer_the_last(&last);
                            return false;
                        }
                    }
                    _ => {}
                }
            }
        }
        self.next_tick = match self.bridge.needs_ticks() {
            true => Some(self.next_tick.unwrap_or_else(|| Instant::now() + TICK)),
            false => None,
        };
        true
    }

    fn join(&mut self, seat: Arc<Seat>, newcomer: &Newcomer) {
        let now = seat.line.now();
        if let Newcomer::Resumes(token) = newcomer
            && let Some((_, other)) = self
                .seats
                .iter()
                .find(|(_, seat)| seat.resume_token == *token)
        {
            let other = Arc::clone(other);
            seat.replace(&other);
            self.leave(other.key, "came back on another line");
        }
        let knows = *newcomer == Newcomer::Knows;
        let party = self
            .bridge
            .join(seat.party(), seat.format.clone(), knows, now);
        match party {
            Some(party) => {
                info!(leg = seat.leg_id, call = %proto::text::quoted(&self.call_id), parties = self.bridge.parties(), "joined the call");
                self.parties.insert(seat.key, party);
                self.seats.push((party, seat));
            }
            None => seat.line.end(Status::resource_exhausted(
                "this call has as many legs as one can have",
            )),
        }
    }

    fn insert(&mut self, key: u64, arrived: Arrived) {
        let Some(&party) = self.parties.get(&key) else {
            return;
        };
        let seat = self.seats.iter().find(|(id, _)| *id == party);
        let is_plain = seat.is_some_and(|(_, seat)| !seat.format.is_numbered);
        if is_plain && !arrived.payload.is_empty() {
            self.unanswered.insert(key, arrived.clone());
        }
        if let Err(words) = self.bridge.insert(party, arrived) {
            self.end_leg(party, &words);
        }
    }

    fn leave(&mut self, key: u64, reason: &str) {
        let Some(party) = self.parties.remove(&key) else {
            return;
        };
        self.unanswered.remove(&key);
        let now = self.now();
        self.seats.retain(|(id, _)| *id != party);
        self.bridge.leave(party, reason, now.unwrap_or_default());
    }

    fn tick(&mut self) {
        for _ in 0..MESSAGES_BEFORE_A_TICK {
            match self.inbox.try_recv() {
                // A call that may end with it takes it up in its turn.
                Ok(message @ Message::Chunk { .. }) => {
                    self.take(message);
                }
                Ok(message) => {
                    if !self.take(message) {
                        return self.inbox.close();
                    }
                }
                Err(_) => break,
            }
        }
        let (Some(due), Some(now)) = (self.next_tick, self.now()) else {
            return;
        };
        // The mixer's clock is even, whenever its ticks come.
        let late = Instant::now().saturating_duration_since(due);
        let faults = self.bridge.tick(now.saturating_sub(late));
        self.next_tick = Some(due + TICK);
        for party in faults {
            self.end_leg(party, "its sound could not be processed");
        }
        if !self.bridge.needs_ticks() {
            self.next_tick = None;
        }
    }

    fn send(&mut self) {
        for (party, output) in self.bridge.take_outputs() {
            let seat = self.seats.iter().find(|(id, _)| *id == party);
            match (seat, output) {
                (Some((_, seat)), Output::Send(outgoing)) => {
                    self.unanswered.remove(&seat.key);
                    seat.line.send(outgoing);
                }
                (Some((_, seat)), Output::Tell(event)) => seat.line.tell(event),
                (None, _) => {}
            }
        }
    }

    /// A fault of ours in what one leg said ends that leg alone.
    fn end_leg(&mut self, party: PartyId, words: &str) {
        let Some((_, seat)) = self.seats.iter().find(|(id, _)| *id == party) else {
            return;
        };
        let id = format!("fault-{:08x}", rand::random::<u32>());
        error!(id, leg = seat.leg_id, "a fault ended this leg: {words}");
        seat.line.end(fault(&id));
        let key = seat.key;
        self.leave(key, "a fault of the server");
    }

    /// A fault of ours in the call itself ends all of it.
    fn fail(&mut self, words: &str) {
        let id = format!("fault-{:08x}", rand::random::<u32>());
        let call = proto::text::quoted(&self.call_id);
        error!(id, %call, "a fault ended this call: {words}");
        for (_, seat) in &self.seats {
            seat.line.end(fault(&id));
        }
    }

    /// What the last one handed over is not answered by anybody else any more. A peer that waits for an
    /// answer to each chunk has one.
    fn answer_the_last(&mut self, last: &Seat) {
        self.inbox.close();
        if let Some(arrived) = self.unanswered.remove(&last.key) {
            last.line.send(silence_like(&arrived, last));
        }
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Chunk { key, arrived, .. } = message
                && key == last.key
                && !last.format.is_numbered
            {
                last.line.send(silence_like(&arrived, last));
            }
        }
    }

    /// On the clock that the legs share.
    fn now(&self) -> Option<std::time::Duration> {
        self.seats.first().map(|(_, seat)| seat.line.now())
    }
}

fn fault(id: &str) -> Status {
    Status::internal(format!(
        "a fault of the server ended this stream; its log says more under {id}. Begin a new one"
    ))
}

/// As much silence as a chunk has sound.
fn silence_like(arrived: &Arrived, seat: &Seat) -> crate::calls::route::Outgoing {
    use crate::calls::route::{Outgoing, Place, Received};
    let format = seat.format.format;
    let samples = format.samples_per_channel(&arrived.payload).unwrap_or(0);
    let mut payload = Vec::new();
    if let Ok(mut encoder) = audio::Encoder::new(format, audio::codec::default_bitrate(format)) {
        // Of a length that came.
        let _ = encoder.encode(&vec![0.0; samples * format.channels()], &mut payload);
    }
    Outgoing {
        payload: payload.into(),
        samples_per_channel: samples as u64,
        place: Place::After(0),
        gap: proto::callcenter::Gap::None,
        level: Some(127),
        since: arrived.at,
        age_us: None,
        answers: Some(Received {
            sequence: 0,
            at: arrived.at,
        }),
    }
}
