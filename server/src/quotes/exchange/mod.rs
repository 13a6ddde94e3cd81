//! The exchange: trades of listed symbols by time, simulated or from a tape.
//!
//! `exchange` answers what was traded until a moment; `playback` plays a `stock_tape`, once or over and over;
//! `not_traded` and `nearest` are what is told of a symbol that is not listed; `trade_clock` says when a trade was.
//! Only `exchange` and `playback` know what time it is.

mod exchange;
mod nearest;
mod not_traded;
mod playback;
mod stock_tape;
mod trade_clock;

pub use exchange::TradeSource;
pub(crate) use exchange::{Exchange, Listing, MIN_TICK};
pub(crate) use not_traded::NotTraded;
pub use playback::Replay;
pub use stock_tape::{StockTape, StockTapeError};
