//! The quotes' way into the program: what happens on the way to the server, and what is asked of it.
//!
//! A task of its own (`link`) keeps the connection; whoever shows quotes reads events
//! and sends changes, and needs to know nothing of connections.

use proto::{ServerAddress, Symbol};
use tokio::sync::mpsc;

use crate::{
    change::Change, failure::Failure, feed_event::FeedEvent, link::Link,
    subscriptions::Subscriptions,
};

/// Events that wait to be shown. Beyond these nothing is read from the server, which then leaves
/// out what is old: a reader that is too slow sees fewer quotes, not later ones.
const EVENT_QUEUE: usize = 16;

/// Changes that wait to be followed.
const CHANGE_QUEUE: usize = 16;

/// The two ends of a task that keeps the connection. Dropping `events` ends it.
#[derive(Debug)]
pub struct Feed {
    /// What happened, in order. An error is the last; an end without one means that the server has
    /// no more quotes.
    pub events: mpsc::Receiver<Result<FeedEvent, Failure>>,
    /// What the person asks for. It may be dropped when nothing more will be.
    pub changes: mpsc::Sender<Change>,
}

impl Feed {
    /// Starts the task, which connects to `server` and subscribes to `symbols`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(server: ServerAddress, symbols: Vec<Symbol>) -> Self {
        let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
        let (changes, changes_rx) = mpsc::channel(CHANGE_QUEUE);
        let link = Link::new(
            server.clone(),
            Subscriptions::new(symbols),
            events_tx,
            changes_rx,
        );
        tokio::spawn(link.run(server));
        Self { events, changes }
    }
}
