//! The call centre's server: `callcenter.CallCenter` and `StockTicker` on one port, with gRPC
//! health and reflection beside them.
#![deny(clippy::print_stdout, clippy::print_stderr)]
// What peers say, and what files hold, must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod args;
pub mod brownian;
pub mod call_center;
pub mod directory;
mod downlink;
pub mod exchange;
pub mod fault;
pub mod instrument;
mod lab;
pub mod lab_quotes;
pub mod leg;
mod leg_log;
pub mod leg_stream;
pub mod listen;
pub mod listen_address;
pub mod market;
pub mod nearest;
pub mod not_traded;
mod numbering;
mod pace;
pub mod peer_log_limit;
pub mod playback;
pub mod price;
pub mod quote_plan;
pub mod quote_stream;
pub mod recording;
pub mod request_rate;
mod run;
pub mod subscriptions;
pub mod ticker;
mod token_bucket;
pub mod trade;
mod trade_clock;
mod transport;
mod unreadable;
mod workers;

pub use run::{Config, run};

/// The largest message a peer may send: far more than 120 ms of any format, far less than harm.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1_024;
