//! One leg between its two streams: a task that reads requests and makes answers, and the stream
//! that the transport takes the answers from.
//!
//! Both run on the thread of their connection. They are two because the transport does not ask for
//! answers while its peer does not read, and requests are to be read all the same: acknowledgements
//! are among them, and what nobody reads is charged to the whole connection.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::Stream;
use line::sending_rule::LONGEST_WAIT;
use proto::{callcenter::AudioChunk, text::one_line};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tonic::Status;

use super::{
    answer::Answer,
    downlink::Downlink,
    leg::{Leg, LegError, LegTotals},
    log::LegLog,
    pace::Pace,
};
use crate::{
    calls::config::CallCenterConfig,
    lab::stamped,
    transport::{AUDIO_CHUNK, Contained, LegInTime, Permit, StreamName, Turn, Work},
};

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

/// Begins a leg: its task runs from now on. The stream yields the answers; the leg is over when it
/// is dropped.
pub(crate) fn begin(
    requests: impl Requests,
    config: Arc<CallCenterConfig>,
    shutdown: watch::Receiver<Option<String>>,
    log: LegLog,
    permit: Permit,
    turn: Turn,
) -> Contained<Answers> {
    let name = log.name();
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            downlink: Downlink::plain(),
            all_is_read: false,
            end: None,
            taker: None,
            log,
            permit,
        }),
        taken: Notify::new(),
    });
    let task = LegTask {
        requests,
        config,
        shared: Arc::clone(&shared),
        leg: None,
        pace: Pace::default(),
        in_time: None,
        turn,
        name: name.clone(),
    };
    let task = tokio::spawn(task.run(shutdown)).abort_handle();
    Contained::new(Answers { shared, task }, name)
}

/// What the two share. The lock is held for a few additions.
struct Shared {
    state: Mutex<State>,
    /// An answer was taken.
    taken: Notify,
}

struct State {
    downlink: Downlink,
    /// Whether no request lies unread, as far as the task knows: it waits for one, or had to wait for
    /// the one that it is at.
    all_is_read: bool,
    /// How the stream ends once everything in the downlink is taken.
    end: Option<Result<(), Status>>,
    taker: Option<Waker>,
    log: LegLog,
    permit: Permit,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is there to be taken, or the end.
    fn wake_taker(&self, mut state: MutexGuard<'_, State>) {
        let taker = state.taker.take();
        drop(state);
        if let Some(taker) = taker {
            taker.wake();
        }
    }

    /// After the end: returns when nothing was taken for so long, and somebody else may have the
    /// place. A peer without room for an answer has none for what comes after it, either.
    async fn give_up_unread(&self, idle: Duration) {
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
fn not_read(idle: Duration) -> Status {
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

impl Stream for Answers {
    type Item = Result<AudioChunk, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.lock();
        let now = state.log.elapsed();
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

/// Reads requests and makes answers.
struct LegTask<R> {
    requests: R,
    config: Arc<CallCenterConfig>,
    shared: Arc<Shared>,
    leg: Option<Lines>,
    pace: Pace,
    /// While it does not pour.
    in_time: Option<LegInTime>,
    /// Shared with the other legs of the connection.
    turn: Turn,
    name: StreamName,
}

/// What makes answers of requests.
enum Lines {
    Sound(Box<Leg>),
    Lab(LegTotals),
}

impl<R: Requests> LegTask<R> {
    async fn run(mut self, mut shutdown: watch::Receiver<Option<String>>) {
        let name = self.name.clone();
        let end = tokio::select! {
            biased;
            reason = ended(&mut shutdown) => Err(Status::unavailable(reason)),
            end = name.contain_all(self.answer_all()) => end.flatten(),
        };
        self.in_time = None;
        let was_ended = end.is_err();
        self.end(end);
        let gives_up = self.shared.give_up_unread(self.config.idle_timeout);
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
            let Some(chunk) = self.next_request().await? else {
                return match self.leg {
                    Some(_) => Ok(()),
                    None => Err(Status::invalid_argument(
                        "the stream ended before its first chunk; send at least one AudioChunk with codec, sample_rate and channels",
                    )),
                };
            };
            let turn = self.turn.clone();
            let arrived = self.shared.lock().log.elapsed();
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
            turn.take(work, || self.answer(chunk, arrived)).await?;
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
            Some(Lines::Sound(leg)) => leg.totals().media,
            Some(Lines::Lab(_)) | None => Duration::ZERO,
        }
    }

    /// Beside others, what is poured is read no faster than it may be.
    async fn keep_pace(&mut self) {
        let now = self.shared.lock().log.elapsed();
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
                let mut state = self.shared.lock();
                let now = state.log.elapsed();
                let idle = self.config.idle_timeout;
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
            let patience = self.config.idle_timeout.min(LONGEST_WAIT);
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
                let idle = self.config.idle_timeout;
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

    /// `arrived`: when the chunk was read.
    fn answer(&mut self, chunk: AudioChunk, arrived: Duration) -> Result<(), Status> {
        self.answer_or_error(chunk, arrived)
            .map_err(|error| match error {
                LegError::Internal(_) => Status::internal(error.to_string()),
                // It may repeat what was sent.
                _ => Status::invalid_argument(one_line(&error.to_string())),
            })
    }

    fn answer_or_error(&mut self, chunk: AudioChunk, arrived: Duration) -> Result<(), LegError> {
        let lines = match &mut self.leg {
            Some(lines) => lines,
            None => {
                let lines = open(&chunk, &self.config, &self.shared)?;
                self.leg.insert(lines)
            }
        };
        match lines {
            Lines::Sound(leg) => {
                let age_us = self.shared.lock().downlink.receive(&chunk, arrived);
                let answer = leg.answer(&chunk, arrived, age_us);
                let totals = leg.totals();
                self.push(answer, totals)
            }
            Lines::Lab(totals) => {
                totals.chunks += 1;
                totals.bytes_in += chunk.audio_data.len() as u64;
                let totals = *totals;
                let answer = Answer {
                    chunk: stamped(chunk),
                    ..Answer::default()
                };
                self.push(Ok(answer), totals)
            }
        }
    }

    fn push(&self, answer: Result<Answer, LegError>, totals: LegTotals) -> Result<(), LegError> {
        let mut state = self.shared.lock();
        state.log.received(totals);
        let now = state.log.elapsed();
        state.downlink.push(answer?, now);
        self.shared.wake_taker(state);
        Ok(())
    }

    fn end(&self, end: Result<(), Status>) {
        let mut state = self.shared.lock();
        state.log.outcome(match &end {
            Ok(()) => "ended by the peer".to_owned(),
            Err(status) => format!("{:?}: {}", status.code(), status.message()),
        });
        let now = state.log.elapsed();
        if state.downlink.untaken_for(now) >= self.config.idle_timeout {
            state.downlink.clear();
            state.permit.give_up_unread();
        }
        state.end = Some(end);
        self.shared.wake_taker(state);
    }
}

/// Opens a leg with the first chunk of its stream.
fn open(first: &AudioChunk, config: &CallCenterConfig, shared: &Shared) -> Result<Lines, LegError> {
    let mut state = shared.lock();
    if config.lab {
        state.log.start(&first.call_id, "lab");
        return Ok(Lines::Lab(LegTotals::default()));
    }
    let leg = Leg::open(first, state.log.leg_id().to_owned(), &config.effects)?;
    state.log.start(leg.call_id(), &leg.format().to_string());
    state.downlink = leg.downlink();
    Ok(Lines::Sound(Box::new(leg)))
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
