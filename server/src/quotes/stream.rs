//! One ticker stream: a task that follows the client's requests, and the answers, which are made at
//! the moment at which the transport has room for them.
//!
//! So nothing waits between the exchange and the transport: a client that reads slowly is told how
//! things stand when it reads, holds no memory and makes nobody wait. Its requests are read whether
//! it reads or not.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use proto::{
    fin::{StockUpdate, TickerRequest},
    text::one_line,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, Sleep, sleep_until},
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Status};

use super::{exchange::Exchange, plan::QuotePlan};
use crate::transport::{Contained, Permit, StreamName, TICKER_REQUEST};

/// Which stream it is, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    /// Streams count from 1.
    pub number: u64,
    /// Who asked, if the transport knows.
    pub peer: Option<SocketAddr>,
}

/// On what terms a stream runs.
pub(crate) struct Terms {
    /// As the lab's server sends.
    pub(crate) lab: bool,
    /// For the first request, and for reading an update.
    pub(crate) idle_timeout: Duration,
    /// Becomes the reason when streams in flight must end.
    pub(crate) shutdown: watch::Receiver<Option<String>>,
    pub(crate) permit: Permit,
}

/// What both halves of a stream work on. A lock is held while one message is made.
#[derive(Debug)]
struct Shared {
    exchange: Arc<Exchange>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    plan: QuotePlan,
    /// No request will come any more.
    half_closed: bool,
    /// How it ends, once that is known.
    end: Option<End>,
    /// Whoever waits for an answer.
    waker: Option<Waker>,
    /// When the transport is to ask for the next message, if there will be one: it does, unless its
    /// peer does not read.
    ask_at: Option<Instant>,
    permit: Permit,
    updates: u64,
    conflated: u64,
}

/// Why a stream is over.
#[derive(Debug, Clone)]
enum End {
    /// The client cancelled, or its connection is gone.
    Left,
    /// Nothing is left to be sent.
    AllSent,
    Refused(Status),
    ShuttingDown(String),
}

/// Starts a stream's task and returns the answers.
pub(crate) fn open<R>(
    label: Label,
    exchange: Arc<Exchange>,
    terms: Terms,
    requests: R,
) -> Contained<QuoteStream>
where
    R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin + 'static,
{
    let Terms {
        lab,
        idle_timeout,
        shutdown,
        permit,
    } = terms;
    let name = StreamName {
        stream: format!("ticker-stream-{}", label.number),
        peer: label.peer(),
    };
    let plan = QuotePlan::new(lab, exchange.now());
    let shared = Arc::new(Shared {
        exchange,
        state: Mutex::new(State {
            plan,
            half_closed: false,
            end: None,
            waker: None,
            ask_at: None,
            permit,
            updates: 0,
            conflated: 0,
        }),
    });
    let (reader_tx, reader_gone) = oneshot::channel();
    let task = Follower {
        label,
        shared: Arc::clone(&shared),
        idle_timeout,
        reader_gone,
    };
    tokio::spawn(task.follow(shutdown, requests, name.clone()));
    let quotes = QuoteStream {
        shared,
        timer: Box::pin(sleep_until(Instant::now())),
        rests: false,
        is_over: false,
        _reader: reader_tx,
    };
    Contained::new(quotes, name)
}

impl Label {
    fn peer(self) -> String {
        let peer = self.peer.map(|peer| peer.to_string());
        peer.unwrap_or_else(|| "unknown".to_owned())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and has the answers looked at again.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let now = Instant::now();
        state.ask_at = Some(state.ask_at.map_or(now, |at| at.min(now)));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        result
    }

    /// Returns when the peer has read nothing for so long although there was something.
    async fn unread_for(&self, limit: Duration) {
        loop {
            let ask_at = self.lock().ask_at;
            let at = ask_at.unwrap_or_else(Instant::now) + limit;
            if at <= Instant::now() {
                return;
            }
            sleep_until(at).await;
        }
    }
}

/// The task: requests, from the first to the end of the stream.
struct Follower {
    label: Label,
    shared: Arc<Shared>,
    idle_timeout: Duration,
    reader_gone: oneshot::Receiver<()>,
}

impl Follower {
    async fn follow<R>(
        mut self,
        shutdown: watch::Receiver<Option<String>>,
        requests: R,
        name: StreamName,
    ) where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin,
    {
        let number = self.label.number;
        let peer = self.label.peer();
        let started = Instant::now();
        tracing::info!(peer, "ticker stream {number} started");
        let end = name.contain_all(self.follow_all(shutdown, requests)).await;
        let end = end.unwrap_or_else(End::Refused);
        let shared = &self.shared;
        let (symbols, updates, conflated) = shared.change(|state| {
            state.end.get_or_insert(end.clone());
            (state.plan.subscribed(), state.updates, state.conflated)
        });
        let seconds = started.elapsed().as_secs();
        tracing::info!(
            peer,
            symbols,
            updates,
            conflated,
            seconds,
            "ticker stream {number} ended: {end}"
        );
        if !self.reader_gone.is_terminated() {
            // Its last word may never be read.
            tokio::select! {
                _ = &mut self.reader_gone => {}
                () = shared.unread_for(self.idle_timeout) => {
                    shared.lock().permit.give_up_unread();
                }
            }
        }
    }

    async fn follow_all<R>(
        &mut self,
        mut shutdown: watch::Receiver<Option<String>>,
        mut requests: R,
    ) -> End
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin,
    {
        let shared = &self.shared;
        let started = Instant::now();
        let mut half_closed = false;
        let mut has_asked = false;
        let mut is_said = false;
        loop {
            tokio::select! {
                reason = shutdown_reason(&mut shutdown) => return End::ShuttingDown(reason),
                _ = &mut self.reader_gone => return shared.lock().end.clone().unwrap_or(End::Left),
                () = sleep_until(started + self.idle_timeout), if !has_asked => {
                    return End::Refused(nothing_asked_for(self.idle_timeout));
                }
                () = shared.unread_for(self.idle_timeout) => {
                    return End::Refused(not_read(self.idle_timeout));
                }
                request = requests.next(), if !half_closed => match request {
                    None => {
                        half_closed = true;
                        has_asked = true;
                        shared.change(|state| state.half_closed = true);
                    }
                    Some(Err(status)) => return end_of(status),
                    Some(Ok(request)) => {
                        has_asked = true;
                        let now = shared.exchange.now();
                        let taken = shared.change(|state| {
                            let taken = state.plan.take(&request, &shared.exchange, now);
                            taken.map(|passed_over| passed_over.map(ToString::to_string))
                        });
                        match taken {
                            Err(status) => return End::Refused(status),
                            // The first; the others would be many lines.
                            Ok(Some(words)) if !is_said => {
                                let Label { number, .. } = self.label;
                                let peer = self.label.peer();
                                tracing::info!(peer, "ticker stream {number} goes on without {words}");
                                is_said = true;
                            }
                            Ok(_) => {}
                        }
                    }
                },
            }
        }
    }
}

fn not_read(idle_timeout: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no update was read for {}; a client that wants no more of them cancels the stream",
        humantime::format_duration(idle_timeout)
    ))
}

fn nothing_asked_for(idle_timeout: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "no symbol was asked for within {}; send a request with a ticker_symbol first",
        humantime::format_duration(idle_timeout)
    ))
}

fn end_of(status: Status) -> End {
    match status.code() {
        Code::Cancelled | Code::Unknown => End::Left,
        _ => End::Refused(TICKER_REQUEST.readable(status)),
    }
}

async fn shutdown_reason(shutdown: &mut watch::Receiver<Option<String>>) -> String {
    let reason = match shutdown.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        // Nobody is left who could stop the server.
        None => std::future::pending().await,
    }
}

/// The answers. Dropped, it ends the stream's task.
#[derive(Debug)]
pub struct QuoteStream {
    shared: Arc<Shared>,
    timer: Pin<Box<Sleep>>,
    /// Whether the next look is for others to go first.
    rests: bool,
    /// Whether the last word was said.
    is_over: bool,
    _reader: oneshot::Sender<()>,
}

impl Stream for QuoteStream {
    type Item = Result<StockUpdate, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self {
            shared,
            timer,
            rests,
            is_over,
            ..
        } = &mut *self;
        if *is_over {
            return Poll::Ready(None);
        }
        let mut state = shared.lock();
        state.ask_at = None;
        if std::mem::take(rests) {
            state.ask_at = Some(Instant::now());
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(end) = &state.end {
                *is_over = true;
                return Poll::Ready(end.last_word().map(Err));
            }
            let now = shared.exchange.now();
            if let Some(update) = state.plan.next_due(&shared.exchange, now) {
                state.updates += 1;
                state.conflated += u64::from(update.conflated);
                // A symbol's first price may have cost a day of ticks, and there may be more such
                // symbols; the calls that this thread carries go first.
                *rests = update.snapshot;
                state.ask_at = Some(Instant::now());
                return Poll::Ready(Some(Ok(update)));
            }
            if let Some(end) = state.plan.end(state.half_closed, now) {
                state.end = Some(end.map_or_else(End::Refused, |()| End::AllSent));
                continue;
            }
            if state
                .waker
                .as_ref()
                .is_none_or(|waker| !waker.will_wake(cx.waker()))
            {
                state.waker = Some(cx.waker().clone());
            }
            let next = state.plan.next_look(&shared.exchange, now);
            let Some(next) = next.and_then(|next| shared.exchange.instant(next)) else {
                return Poll::Pending;
            };
            state.ask_at = Some(next);
            timer.as_mut().reset(next);
            match timer.as_mut().poll(cx) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl End {
    fn last_word(&self) -> Option<Status> {
        match self {
            Self::Left | Self::AllSent => None,
            Self::Refused(status) => Some(status.clone()),
            Self::ShuttingDown(reason) => Some(Status::unavailable(reason)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left"),
            Self::AllSent => f.write_str("all was sent"),
            Self::Refused(status) => {
                write!(f, "{:?}: {}", status.code(), one_line(status.message()))
            }
            Self::ShuttingDown(reason) => f.write_str(reason),
        }
    }
}
