//! What happens on the way to the server, and what is asked of it: the two ends' words.

use std::time::Duration;

use proto::{Symbol, fin::StockUpdate};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// There is a connection, the first or a new one; all symbols have been asked for.
    Connected,
    /// A quote of a symbol that is in the set.
    Update(Box<StockUpdate>),
    /// The server did not take a symbol on, which thereby is out of the set. The others go on.
    Refused {
        /// Which.
        symbol: Symbol,
        /// The server's words.
        why: String,
    },
    /// The connection is gone. The last prices are old from now on; a new attempt follows.
    Lost {
        /// What happened.
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
