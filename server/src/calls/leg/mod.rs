//! One leg: one party's stream in a call.
//!
//! `stream` is a task that reads requests, on the thread of their connection, and hands each chunk to the leg's call,
//! or answers it while the leg is alone there. `shared` has what is to be sent, which the transport takes as a stream.
//! `leg` is what the contract says of chunks, `acts` what it says of events from a peer; `downlink` is the queue before
//! the transport, and drops what has waited too long; `numbering` counts and acknowledges for peers that number their
//! chunks; `pace` tells a leg that pours from one in time; `log` has the two lines of a leg. Only `stream`, `shared`
//! and `log` know what time it is; to the others it is a number.

mod acts;
mod downlink;
mod leg;
mod log;
mod numbering;
mod pace;
mod shared;
mod stream;

pub(crate) use log::LegLog;
pub(crate) use shared::Answers;
pub(crate) use stream::{LegContext, begin};
