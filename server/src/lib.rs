//! The call centre's server: `callcenter.CallCenter` and `StockTicker` on one port, with gRPC
//! health and reflection beside them.
#![deny(clippy::print_stdout, clippy::print_stderr)]
// What peers say, and what files hold, must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod args;
pub mod calls;
mod lab;
pub mod quotes;
mod run;
pub mod transport;

pub use run::{Config, run};

/// The largest message a peer may send: far more than 120 ms of any format, far less than harm.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1_024;
