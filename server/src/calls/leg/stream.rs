//! One leg between its two streams: a task that reads requests and makes answers, and the stream
//! that the transport takes the answers from.
//!
//! Both run on the thread of their connection. They are two because the transport does not ask for
//! answers while its peer does not read, and requests are to be read all the same: acknowledgements
//! are among them, and what nobody reads is charged to the whole connection.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use audio::{Gap, mixing::Arrived};
use line::sending_rule::LONGEST_WAIT;
use proto::{
    callcenter::{Alone, AudioChunk},
    text::one_line,
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use super::{
    acts::acts_of,
    leg::{Leg, LegError, LegTotals},
    log::LegLog,
    pace::Pace,
    shared::{Answers, Shared, not_read},
};
use crate::{
    calls::{
        bridge::{Act, CallSender, Directory, Line, Membership, Seat, SeatOptions},
        config::CallCenterConfig,
        route::{Outgoing, Place, Received},
    },
    lab::stamped,
    transport::{AUDIO_CHUNK, Contained, LegInTime, Permit, StreamName, TokenBucket, Turn, Work},
};

/// What a leg said last is heard by the others so long after it came, before the leg leaves its call.
const LAST_WORDS: Duration = Duration::from_millis(150);

/// What a party does: more than a person can.
const MAX_EVENTS_AT_ONCE: u32 = 64;
const MAX_EVENTS_PER_SECOND: u32 = 25;

/// What one leg reads: the chunks of its peer.
pub(crate) trait Requests: Send + 'static {
    /// The next chunk; `None` after a half-close. May be dropped half-way without loss.
    fn next(&mut self) -> impl Future<Output = Result<Option<AudioChunk>, Status>> + Send;
}

impl Requests for tonic::Streaming<AudioChunk> {
    fn next(&mut self) -> impl Future<Output = Result<Option<AudioChunk>, Status>> + Send {
        self.message()
    }
}

/// What a leg is begun with.
pub(crate) struct LegContext {
    /// Of this leg alone, as long as the server runs.
    pub(crate) key: u64,
    pub(crate) config: Arc<CallCenterConfig>,
    pub(crate) directory: Arc<Directory>,
    /// Where the time of all legs begins.
    pub(crate) epoch: Instant,
    /// Becomes the reason when the leg must end.
    pub(crate) shutdown: watch::Receiver<Option<String>>,
}

/// Begins a leg: its task runs from now on. The stream yields what is to be sent; the leg is over when it
/// is dropped.
pub(crate) fn begin(
    requests: impl Requests,
    context: LegContext,
    log: LegLog,
    permit: Permit,
    turn: Turn,
) -> Contained<Answers> {
    let name = log.name();
    let shared = Arc::new(Shared::new(context.epoch, log, permit));
    let shutdown = context.shutdown.clone();
    let task = LegTask {
        requests,
        context,
        shared: Arc::clone(&shared),
        leg: None,
        pace: Pace::default(),
        is_in_call: false,
        in_time: None,
        turn,
        name: name.clone(),
    };
    let task = tokio::spawn(task.run(shutdown)).abort_handle();
    Contained::new(Answers::new(shared, task), name)
}

/// Reads requests and makes answers.
struct LegTask<R> {
    requests: R,
    context: LegContext,
    shared: Arc<Shared>,
    leg: Option<Lines>,
    pace: Pace,
    /// Whether others heard its newest chunk.
    is_in_call: bool,
    /// While it does not pour.
    in_time: Option<LegInTime>,
    /// Shared with the other legs of the connection.
    turn: Turn,
    name: StreamName,
}

/// What makes answers of requests.
enum Lines {
    Sound(Box<InCall>),
    Lab(LegTotals),
}

/// A leg in its call.
struct InCall {
    leg: Leg,
    /// `None`: it has only been tried.
    membership: Option<Membership>,
    /// How often its call had become another when the peer was told last of the leg.
    call_changes: u64,
    events: TokenBucket,
}

impl<R: Requests> LegTask<R> {
    async fn run(mut self, mut shutdown: watch::Receiver<Option<String>>) {
        let name = self.name.clone();
        let shared = Arc::clone(&self.shared);
        let end = tokio::select! {
            biased;
            reason = ended(&mut shutdown) => Err(Status::unavailable(reason)),
            status = shared.ended() => Err(status),
            end = name.contain_all(self.answer_all()) => end.flatten(),
        };
        self.in_time = None;
        let was_ended = end.is_err();
        self.end(end);
        let gives_up = self.shared.give_up_unread(self.context.config.idle_timeout);
        // The transport ends this when it drops the answers.
        if was_ended {
            // The peer may say more before it has read the end; unread, that would be charged to its
            // whole connection.
            let reads_on = async { while let Ok(Some(_)) = self.requests.next().await {} };
            tokio::join!(reads_on, gives_up);
        } else {
            gives_up.await;
        }
    }

    /// Until the half-close, or until the leg must end.
    async fn answer_all(&mut self) -> Result<(), Status> {
        loop {
            self.room_for_an_answer().await?;
            self.keep_pace().await;
            let credit = self.credit().await;
            let Some(chunk) = self.next_request().await? else {
                return match self.leg {
                    Some(_) => {
                        self.say_last_words(credit).await;
                        Ok(())
                    }
                    None => Err(Status::invalid_argument(
                        "the stream ended before its first chunk; send at least one AudioChunk with codec, sample_rate and channels",
                    )),
                };
            };
            let turn = self.turn.clone();
            let arrived = self.shared.now();
            let media = self.media();
            let work = if self.begins_with(&chunk) {
                Work::Begins
            } else if self.pace.pours(arrived) {
                Work::Pours
            } else {
                Work::InTime
            };
            match work {
                Work::Pours => self.in_time = None,
                Work::InTime | Work::Begins => {
                    self.in_time.get_or_insert_with(|| turn.in_time());
                }
            }
            turn.take(work, || self.answer(chunk, arrived, credit))
                .await?;
            self.pace.came(self.media() - media, arrived);
        }
    }

    /// Whether this is the first sound.
    fn begins_with(&self, chunk: &AudioChunk) -> bool {
        let is_lab = matches!(self.leg, Some(Lines::Lab(_)));
        !is_lab && self.media().is_zero() && !chunk.audio_data.is_empty()
    }

    /// How much sound has come; of a leg of the lab nobody looks at it.
    fn media(&self) -> Duration {
        match &self.leg {
            Some(Lines::Sound(in_call)) => in_call.leg.totals().media,
            Some(Lines::Lab(_)) | None => Duration::ZERO,
        }
    }

    /// What others in the call hear is read at the pace of time. Beside other calls, what is poured is read
    /// no faster than it may be.
    async fn keep_pace(&mut self) {
        let now = self.shared.now();
        let was_in_call = std::mem::replace(&mut self.is_in_call, self.shared.call().is_some());
        if self.is_in_call {
            if !was_in_call {
                self.pace.begin_in_time(now);
            }
            if let Some(wait) = self.pace.early(now) {
                self.shared.lock().all_is_read = false;
                sleep(wait).await;
            }
            return;
        }
        if let Some(wait) = self.pace.wait(now)
            && self.in_time.is_none()
            && self.turn.is_beside_others()
        {
            // What comes meanwhile is not read.
            self.shared.lock().all_is_read = false;
            sleep(wait).await;
        }
    }

    /// Returns when one more answer may be made.
    async fn room_for_an_answer(&mut self) -> Result<(), Status> {
        loop {
            {
                let now = self.shared.now();
                let mut state = self.shared.lock();
                let idle = self.context.config.idle_timeout;
                if state.downlink.untaken_for(now) >= idle {
                    return Err(not_read(idle));
                }
                if state.downlink.has_room(now) {
                    return Ok(());
                }
                // What comes until there is room is not read.
                state.all_is_read = false;
            }
            // Room comes when an answer is taken, or when one is so late that it is dropped.
            let patience = self.context.config.idle_timeout.min(LONGEST_WAIT);
            let _ = timeout(patience, self.shared.taken.notified()).await;
        }
    }

    /// The next chunk, or `None` at half-close.
    async fn next_request(&mut self) -> Result<Option<AudioChunk>, Status> {
        let mut next = pin!(self.requests.next());
        let at_once = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        let chunk = match at_once {
            Poll::Ready(chunk) => {
                self.shared.lock().all_is_read = false;
                chunk
            }
            Poll::Pending => {
                self.shared.lock().all_is_read = true;
                let idle = self.context.config.idle_timeout;
                timeout(idle, next).await.map_err(|_| {
                    Status::deadline_exceeded(format!(
                        "no chunk for {}; a party with nothing to say sends a chunk without audio now and then",
                        humantime::format_duration(idle)
                    ))
                })?
            }
        };
        chunk.map_err(|status| AUDIO_CHUNK.readable(status))
    }

    /// What a chunk is handed to the call with, in a call of several.
    async fn credit(&mut self) -> Option<OwnedSemaphorePermit> {
        self.shared.call()?;
        let Some(Lines::Sound(in_call)) = &self.leg else {
            return None;
        };
        let credits = Arc::clone(&in_call.membership.as_ref()?.seat().credits);
        if let Ok(credit) = Arc::clone(&credits).try_acquire_owned() {
            return Some(credit);
        }
        // While there is none, what comes is not read.
        self.shared.lock().all_is_read = false;
        credits.acquire_owned().await.ok()
    }

    /// The peer has said all. The others hear the end of it.
    async fn say_last_words(&mut self, credit: Option<OwnedSemaphorePermit>) {
        let Some(credit) = credit else {
            return;
        };
        let Some(call) = self.shared.call() else {
            return;
        };
        let end = Arrived {
            media_time: 0,
            gap: Gap::Silence,
            payload: bytes::Bytes::new(),
            level: None,
            at: self.shared.now(),
            age_us: None,
        };
        let _ = call.chunk(self.context.key, end, credit);
        sleep(LAST_WORDS).await;
    }

    /// `arrived`: when the chunk was read.
    fn answer(
        &mut self,
        chunk: AudioChunk,
        arrived: Duration,
        credit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Status> {
        let lines = match &mut self.leg {
            Some(lines) => lines,
            None => {
                let lines = open(&chunk, &self.context, &self.shared)?;
                self.leg.insert(lines)
            }
        };
        match lines {
            Lines::Sound(in_call) => {
                if in_call.is_to_join(&chunk) {
                    in_call.join(&self.context, &self.shared)?;
                }
                in_call
                    .take(&chunk, arrived, credit, &self.shared)
                    .map_err(|error| status_of(&error))
            }
            Lines::Lab(totals) => {
                totals.chunks += 1;
                totals.bytes_in += chunk.audio_data.len() as u64;
                self.shared.lock().log.received(*totals);
                let answer = stamped(chunk);
                self.shared
                    .queue(|downlink, now| downlink.push_as_is(answer, now));
                Ok(())
            }
        }
    }

    fn end(&mut self, end: Result<(), Status>) {
        if let Some(Lines::Sound(in_call)) = &mut self.leg
            && let Some(membership) = &mut in_call.membership
        {
            membership.leaves_because(&match &end {
                Ok(()) => "hung up".to_owned(),
                Err(status) => one_line(status.message()),
            });
        }
        // It leaves its call.
        self.leg = None;
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.log.outcome(match &end {
            Ok(()) => "ended by the peer".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        });
        if state.downlink.untaken_for(now) >= self.context.config.idle_timeout {
            state.downlink.clear();
            state.permit.give_up_unread();
        }
        state.end = Some(end);
        self.shared.wake_taker(state);
    }
}

impl InCall {
    /// Whether it is time to join: at once, but for a stream that may take another one's place.
    fn is_to_join(&self, chunk: &AudioChunk) -> bool {
        let is_tried = self.leg.resumes().is_empty() || self.leg.totals().chunks > 0;
        self.membership.is_none() && (is_tried || !chunk.audio_data.is_empty())
    }

    fn join(&mut self, context: &LegContext, shared: &Arc<Shared>) -> Result<(), Status> {
        let line: Arc<dyn Line> = Arc::clone(shared) as Arc<dyn Line>;
        let leg_id = shared.lock().log.leg_id().to_owned();
        let seat = Seat::new(SeatOptions {
            key: context.key,
            leg_id,
            display_name: self.leg.display_name().to_owned(),
            resume_token: self.leg.resume_token().to_owned(),
            format: self.leg.leg_format(),
            line,
        });
        let resumes = self.leg.resumes();
        self.membership = Some(context.directory.join(self.leg.call_id(), seat, resumes)?);
        Ok(())
    }

    /// Takes a chunk: hands it to the call, or answers it if nobody else is there.
    fn take(
        &mut self,
        chunk: &AudioChunk,
        arrived: Duration,
        credit: Option<OwnedSemaphorePermit>,
        shared: &Shared,
    ) -> Result<(), LegError> {
        let age_us = shared.lock().downlink.receive(chunk, arrived);
        let call = shared.call();
        let acts = acts_of(chunk, self.leg.totals().chunks + 1)?;
        if !self.events.take(acts.len() as u32, arrived) {
            return Err(LegError::TooManyEvents(MAX_EVENTS_PER_SECOND));
        }
        if let Some(membership) = &self.membership
            && !acts.is_empty()
        {
            do_acts(acts, membership.seat(), call.as_ref());
        }
        let received = Received {
            sequence: chunk.sequence,
            at: arrived,
        };
        let taken = match call {
            Some(call) => self.hand_over(&call, chunk, arrived, age_us, credit),
            None => match self.leg.alone() {
                Alone::Silence => self.leg.take(chunk, arrived, age_us).map(|_| None),
                Alone::Music => self.leg.play_music(chunk, arrived).map(Some),
                Alone::Unspecified | Alone::Echo => {
                    self.leg.answer(chunk, arrived, age_us).map(Some)
                }
            },
        };
        shared.lock().log.received(self.leg.totals());
        let answer = taken?;
        let now = shared.now();
        let mut state = shared.lock();
        // In a call of several it is told by that.
        if state.call.is_none() {
            if std::mem::replace(&mut self.call_changes, state.call_changes) != state.call_changes {
                self.leg.begin_alone();
            }
            if let Some(accepted) = self.leg.accepted() {
                state.downlink.accept(accepted, now);
            }
        }
        match answer {
            Some(answer) => state.downlink.push(answer, now),
            None => state.downlink.acknowledge(received, now),
        }
        shared.wake_taker(state);
        Ok(())
    }

    /// Gives the call a chunk. If it has just become alone, the chunk is answered as it came.
    fn hand_over(
        &mut self,
        call: &CallSender,
        chunk: &AudioChunk,
        arrived: Duration,
        age_us: Option<u32>,
        credit: Option<OwnedSemaphorePermit>,
    ) -> Result<Option<Outgoing>, LegError> {
        let taken = self.leg.take(chunk, arrived, age_us)?;
        let Some(membership) = &self.membership else {
            return Ok(None);
        };
        let seat = membership.seat();
        // One that came to be in a call as this chunk was read has all its credits.
        let own = || Arc::clone(&seat.credits).try_acquire_owned().ok();
        let Some(credit) = credit.or_else(own) else {
            return Ok(None);
        };
        let payload = taken.payload.clone();
        if call.chunk(seat.key, taken, credit).is_ok() {
            return Ok(None);
        }
        if seat.line.is_in(call) {
            return Err(LegError::CallLost);
        }
        let samples = self.leg.format().samples_per_channel(&payload);
        let is_echo = matches!(self.leg.alone(), Alone::Unspecified | Alone::Echo);
        Ok(is_echo.then(|| Outgoing {
            samples_per_channel: samples.unwrap_or(0) as u64,
            payload,
            place: Place::At(chunk.media_time),
            gap: proto::callcenter::Gap::None,
            level: None,
            since: arrived,
            age_us,
            answers: Some(Received {
                sequence: chunk.sequence,
                at: arrived,
            }),
        }))
    }
}

fn do_acts(acts: Vec<Act>, seat: &Seat, call: Option<&CallSender>) {
    let Some(call) = call else {
        acts.iter().for_each(|act| seat.act_alone(act));
        return;
    };
    match Arc::clone(&seat.credits).try_acquire_owned() {
        Ok(credit) => call.act(seat.key, acts, credit),
        // It stays so when the call has caught up.
        Err(_) => acts.iter().for_each(|act| seat.remember(act)),
    }
}

fn status_of(error: &LegError) -> Status {
    match error {
        LegError::Internal(_) => Status::internal(error.to_string()),
        LegError::CallLost => Status::unavailable(error.to_string()),
        LegError::TooManyEvents(_) => Status::resource_exhausted(error.to_string()),
        // It may repeat what was sent.
        _ => Status::invalid_argument(one_line(&error.to_string())),
    }
}

/// Opens a leg with the first chunk of its stream.
fn open(first: &AudioChunk, context: &LegContext, shared: &Arc<Shared>) -> Result<Lines, Status> {
    let config = &context.config;
    if config.lab {
        shared.lock().log.start(&first.call_id, "lab");
        return Ok(Lines::Lab(LegTotals::default()));
    }
    let leg_id = shared.lock().log.leg_id().to_owned();
    let leg = Leg::open(first, leg_id, &config.effects).map_err(|error| status_of(&error))?;
    shared.open(&leg);
    Ok(Lines::Sound(Box::new(InCall {
        leg,
        membership: None,
        call_changes: 0,
        events: TokenBucket::new(MAX_EVENTS_AT_ONCE, MAX_EVENTS_PER_SECOND, shared.now()),
    })))
}

/// Waits until the streams in flight must end, and says why.
async fn ended(shutdown: &mut watch::Receiver<Option<String>>) -> String {
    let reason = shutdown
        .wait_for(Option::is_some)
        .await
        .map(|reason| reason.clone());
    match reason {
        Ok(reason) => reason.unwrap_or_default(),
        // Whoever could end the service is gone: it never ends.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
