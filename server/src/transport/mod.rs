//! What carries the streams: who may connect, what one connection may cost, and how it is served.
//!
//! `admission` counts connections by address, gives each a share of its memory (`window_share`) and
//! remembers who misbehaved (`conduct`); `socket` gives each its deadlines and its budget of
//! frames (`frames`; those of an address have one together); `connection` speaks HTTP/2 on it within limits of memory; `open_streams` knows when
//! it is idle; `permits` counts the streams of one kind by address; `turn` shares out the thread. A
//! connection runs on the worker thread it was dealt to.

mod address;
mod admission;
mod conduct;
mod connection;
mod frames;
mod goaway;
mod log_limit;
mod open_streams;
mod permits;
mod socket;
mod turn;
mod window_share;

pub(crate) use address::party;
pub(crate) use admission::{Admission, Admitted};
pub(crate) use connection::{Connection, DRAINING, Limits};
pub(crate) use goaway::turn_away;
pub(crate) use log_limit::LogLimit;
pub(crate) use permits::{Permit, Permits};
pub(crate) use turn::{InTime, LegInTime, Pouring, Turn};
