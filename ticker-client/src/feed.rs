//! The quotes' way into the program: what happens on the way to the server, and what is asked of it.
//!
//! A task of its own (`link`) keeps the connection; whoever shows quotes reads events
//! and sends changes, and needs to know nothing of connections.

use std::time::Duration;

use proto::{ServerAddress, Symbol, fin::StockUpdate};
use tokio::sync::mpsc;

use crate::{failure::Failure, link::Link, subscriptions::Subscriptions};

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

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// There is a connection, the first or a new one; all symbols have been asked for.
    Connected,
    /// A quote of a symbol that is in the set.
    Update(Box<StockUpdate>),
    /// The server did not take a symbol on. The others go on.
    Refused {
        /// Which.
        symbol: Symbol,
        /// The server's words, fit for a line on a terminal.
        why: String,
        /// Whether it has had a quote before, and so stays in the set: what is old is old until the
        /// next connection, which is asked for it again. If not, it is out.
        stays: bool,
    },
    /// What the server says of the whole market, such as that a tape is over: a line, fit for a terminal.
    Notice(String),
    /// The connection is gone. The last prices are old from now on; a new attempt follows.
    Lost {
        /// What happened, fit for a line on a terminal.
        why: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
}

/// What the person asks for, while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One symbol more; one that is there already changes nothing.
    Add(Symbol),
    /// One symbol less.
    Drop(Symbol),
}
