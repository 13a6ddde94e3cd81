//! Quotes: the service `StockTicker`, and what its streams are sent.
//!
//! Read `service` first: each stream becomes a `stream`, a task that follows requests, and answers that are made when
//! the transport has room. What is due is decided by `plan`, out of `subscriptions`, which are filled from the
//! `exchange`. Streams run on the thread of their connection; the exchange is shared by all.

mod exchange;
mod market;
mod plan;
mod request_rate;
mod service;
mod stream;
mod subscriptions;

#[cfg(test)]
pub(crate) use exchange::Exchange;
pub(crate) use exchange::{Listing, MIN_TICK};
pub use exchange::{Replay, StockTape, StockTapeError, TradeSource};
pub use service::{StockTickerService, TickerConfig};
pub use subscriptions::MAX_SYMBOLS;
pub(crate) use subscriptions::TooManySymbols;
