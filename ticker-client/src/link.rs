//! Keeps a connection to the server: connects, subscribes, hands quotes on, and does it all again
//! when the connection is lost.
//!
//! One task. It always follows changes, also while it connects or waits; it reads from the server
//! only when the last event has found a place, so that it never holds more than a few quotes.

use std::{collections::VecDeque, convert::Infallible, pin::pin, time::Duration};

use proto::{
    ServerAddress,
    fin::{StockUpdate, TickerRequest},
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::StreamExt;

use crate::{
    backoff,
    change::Change,
    connection::{Dial, Keepalive},
    failure::Failure,
    feed_event::FeedEvent,
    subscriptions::Subscriptions,
};

/// Requests on their way to the transport.
const REQUEST_QUEUE: usize = 16;

/// The task's state, which outlives connections.
pub(crate) struct Link {
    server: ServerAddress,
    subscriptions: Subscriptions,
    events_tx: mpsc::Sender<Result<FeedEvent, Failure>>,
    /// Events without a place yet.
    events: VecDeque<FeedEvent>,
    /// `None`: no more will be asked for.
    changes_rx: Option<mpsc::Receiver<Change>>,
    /// `None`: no connection, nor an attempt at one.
    requests_tx: Option<mpsc::Sender<TickerRequest>>,
    /// Requests without a place yet.
    requests: VecDeque<TickerRequest>,
    keepalive: Keepalive,
    connected_once: bool,
    /// Attempts in a row that gave no quote.
    failures: u32,
}

/// Why there is nothing more to do.
enum End {
    /// Nobody reads the events any more.
    Left,
    /// The server has no more quotes.
    NoMore,
    Failed(Failure),
}

impl Link {
    pub(crate) fn new(
        server: ServerAddress,
        subscriptions: Subscriptions,
        events_tx: mpsc::Sender<Result<FeedEvent, Failure>>,
        changes_rx: mpsc::Receiver<Change>,
    ) -> Self {
        Self {
            server,
            subscriptions,
            events_tx,
            events: VecDeque::new(),
            changes_rx: Some(changes_rx),
            requests_tx: None,
            requests: VecDeque::new(),
            keepalive: Keepalive::Pings,
            connected_once: false,
            failures: 0,
        }
    }

    /// Runs until nobody reads the events, the server has no more, or there is no use in going on.
    pub(crate) async fn run<D: Dial>(mut self, dial: D) {
        let end = loop {
            let Err(end) = self.connection(&dial).await;
            self.requests_tx = None;
            self.requests.clear();
            let End::Failed(failure) = end else { break end };
            if let Err(end) = self.recover(failure).await {
                break end;
            }
        };
        if let End::Failed(failure) = end {
            // Somebody who does not read it has left.
            let _ = self.events_tx.send(Err(failure)).await;
        }
    }

    /// One connection, from its first request to its end.
    async fn connection<D: Dial>(&mut self, dial: &D) -> Result<Infallible, End> {
        let (requests_tx, requests_rx) = mpsc::channel(REQUEST_QUEUE);
        self.requests_tx = Some(requests_tx);
        self.requests = self.subscriptions.requests_of_a_new_connection().into();
        let dialled = self.attend(dial.dial(self.keepalive, requests_rx)).await?;
        let mut updates = dialled.map_err(End::Failed)?;
        self.connected_once = true;
        self.events.push_back(FeedEvent::Connected);
        loop {
            match self.attend(updates.next()).await? {
                Some(Ok(update)) => self.take(update),
                Some(Err(status)) => {
                    return Err(End::Failed(Failure::from_status(&self.server, &status)));
                }
                None => return Err(End::NoMore),
            }
        }
    }

    fn take(&mut self, mut update: StockUpdate) {
        if let Some(answer) = update.subscriptions {
            let (refused, requests) = self.subscriptions.answered(answer);
            self.events.extend(refused);
            self.requests.extend(requests);
        } else if self.subscriptions.accept(&mut update) {
            self.failures = 0;
            self.events.push_back(FeedEvent::Update(Box::new(update)));
        }
    }

    /// Says what happened and waits, if another attempt makes sense.
    async fn recover(&mut self, failure: Failure) -> Result<(), End> {
        let mut retry_in = backoff::wait(self.failures, rand::random());
        let why = match &failure {
            Failure::PingsUnwanted if self.keepalive == Keepalive::Pings => {
                self.keepalive = Keepalive::None;
                retry_in = Duration::ZERO;
                "it wants no pings, and is connected to without them".to_owned()
            }
            Failure::Rejected { code, why, .. } => {
                let blamed = self.subscriptions.blame(*code, why);
                if blamed.is_empty() {
                    return Err(End::Failed(failure));
                }
                let refused = blamed.into_iter().map(|symbol| FeedEvent::Refused {
                    symbol,
                    why: why.clone(),
                    stays: false,
                });
                self.events.extend(refused);
                "the server ended the stream over a symbol that it refused".to_owned()
            }
            Failure::NotReached { why, .. } | Failure::Lost { why, .. } if self.connected_once => {
                why.clone()
            }
            _ if self.connected_once => failure.to_string(),
            _ => return Err(End::Failed(failure)),
        };
        self.failures = self.failures.saturating_add(1);
        self.events.push_back(FeedEvent::Lost { why, retry_in });
        self.attend(sleep(retry_in)).await
    }

    /// Does all that has to be done meanwhile, until `work` is done. Events go first: while one
    /// waits for its place, `work` does too.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                () = self.events_tx.closed() => return Err(End::Left),
                place = self.events_tx.reserve(), if !self.events.is_empty() => {
                    let Ok(place) = place else { return Err(End::Left) };
                    if let Some(event) = self.events.pop_front() {
                        place.send(Ok(event));
                    }
                }
                place = place(self.requests_tx.as_ref()), if !self.requests.is_empty() => {
                    match (place, self.requests.pop_front()) {
                        (Some(place), Some(request)) => place.send(request),
                        // The stream is over; reading from it will say why.
                        _ => self.requests.clear(),
                    }
                }
                change = next(self.changes_rx.as_mut()), if self.requests.is_empty() => {
                    match change {
                        Some(change) => {
                            let request = self.subscriptions.change(change);
                            // A connection to come will be asked for the whole set.
                            if self.requests_tx.is_some() {
                                self.requests.extend(request);
                            }
                        }
                        None => self.changes_rx = None,
                    }
                }
                done = &mut work, if self.events.is_empty() => return Ok(done),
            }
        }
    }
}

async fn place<T>(tx: Option<&mpsc::Sender<T>>) -> Option<mpsc::Permit<'_, T>> {
    tx?.reserve().await.ok()
}

/// The next change; never comes when there will be none.
async fn next(changes_rx: Option<&mut mpsc::Receiver<Change>>) -> Option<Change> {
    match changes_rx {
        Some(changes_rx) => changes_rx.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
