//! The call centre's server: `callcenter.CallCenter` and `StockTicker` on one port, with gRPC
//! health and reflection beside them.

pub mod args;
pub mod call_center;
mod downlink;
mod lab;
pub mod leg;
mod leg_log;
pub mod leg_stream;
pub mod listen;
pub mod market;
mod numbering;
mod place;
mod run;
pub mod subscriptions;
pub mod text;
pub mod ticker;
mod workers;

pub use run::{Config, run};

/// The largest message a peer may send: far more than 120 ms of any format, far less than harm.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1_024;
