//! Calls of several legs: where they live, and what happens in them.
//!
//! `directory` knows which calls there are. A leg that is alone in its call is answered where it is read, and costs
//! nothing more. When a second one comes, a `call_task` begins on the worker thread of the first, which owns
//! everything mutable of the call from then on: legs hand it their chunks, wherever they are read, and it pushes what
//! they are to hear into their downlinks. `bridge` is what it decides with: pure, with `now` passed in. `line` is
//! what it must know of a leg.

mod bridge;
mod call_task;
mod directory;
mod line;

pub(crate) use bridge::Act;
pub(crate) use call_task::CallSender;
pub(crate) use directory::{Directory, Membership};
pub(crate) use line::{Line, Seat, SeatOptions};
