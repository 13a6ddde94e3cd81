//! What carries the streams: who may connect, what one connection may cost, and how it is served.
//!
//! `admission` counts connections by address, gives each a share of its memory (`window_share`) and
//! remembers who misbehaved (`conduct`); `socket` gives each its deadlines and its budget of frames
//! (`frames`; those of an address have one together); `connection` speaks HTTP/2 on it within limits
//! of memory; `open_streams` knows when it is idle; `permits` counts the streams of one kind by
//! address; `turn` shares out the thread. A connection runs on the worker thread it was dealt to
//! (`workers`). `address` says who is one party, `goaway` turns away who is one too many.
//!
//! `listen` binds the addresses that people write (`listen_address`). `fault` keeps a panic in its
//! stream, `unreadable` words what the gRPC library says of a request that it cannot read, and
//! `peer_log_limit` bounds the lines of log that a peer may cause. `token_bucket` is what budgets are
//! made of.

mod address;
mod admission;
mod conduct;
mod connection;
mod fault;
mod frames;
mod goaway;
mod listen;
mod listen_address;
mod log_limit;
mod open_streams;
mod peer_log_limit;
mod permits;
mod socket;
mod token_bucket;
mod turn;
mod unreadable;
mod window_share;
mod workers;

pub(crate) use address::party;
pub(crate) use admission::{Admission, Admitted};
pub(crate) use connection::{Connection, DRAINING, Limits};
#[cfg(test)]
pub(crate) use fault::forced;
pub(crate) use fault::{Contained, StreamName};
pub(crate) use goaway::turn_away;
pub use listen::{bind, reachable_from_outside};
pub(crate) use listen_address::ListenAddress;
pub(crate) use log_limit::LogLimit;
pub use peer_log_limit::PeerLogLimit;
pub(crate) use permits::{Permit, Permits};
pub(crate) use token_bucket::TokenBucket;
pub(crate) use turn::{InTime, LegInTime, Pouring, Turn, Work};
pub(crate) use unreadable::{AUDIO_CHUNK, TICKER_REQUEST, check_encoding};
pub(crate) use workers::{NoWorkers, Workers};
