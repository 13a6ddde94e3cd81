//! One leg: one party's stream in a call.
//!
//! `stream` is a task that reads requests and the stream that answers are taken from, both on the thread of their
//! connection. `leg` makes an `answer` of a chunk; `downlink` is the queue before the transport, and drops what has
//! waited too long; `numbering` counts and acknowledges for peers that number their chunks; `pace` tells a leg that
//! pours from one in time; `log` has the two lines of a leg. Only `stream` and `log` know
//! what time it is; to the others it is a number.

mod answer;
mod downlink;
mod leg;
mod log;
mod numbering;
mod pace;
mod stream;

pub(crate) use log::LegLog;
pub(crate) use stream::{Answers, begin};
