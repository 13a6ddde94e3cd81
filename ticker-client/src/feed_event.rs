//! What happens on the way to the server, for whoever shows quotes.

use std::time::Duration;

use proto::{Symbol, fin::StockUpdate};

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
