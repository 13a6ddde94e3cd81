//! What carries the streams: who may connect, what one connection may cost, and how it is served.
//!
//! `admission` counts connections by address; `socket` gives each its deadlines and its budget of
//! frames; `connection` speaks HTTP/2 on it within limits of memory; `permits` counts the streams of
//! one kind by connection and by address; `turn` shares out the thread. A connection runs on the
//! worker thread it was dealt to.

mod address;
mod admission;
mod connection;
mod frames;
mod goaway;
mod log_limit;
mod permits;
mod socket;
mod turn;

pub(crate) use address::party;
pub(crate) use admission::{Admission, Admitted};
pub(crate) use connection::{Connection, DRAINING, Limits, Peer};
pub(crate) use goaway::turn_away;
pub(crate) use log_limit::LogLimit;
pub(crate) use permits::{Permit, Permits};
pub(crate) use turn::{Pouring, Turn};
