//! Calls of several legs: where they live, and what happens in them.
//!
//! `registry` has the calls that there are, and `directory` brings legs into them. A leg that is alone in its call is
//! answered where it is read, and costs nothing more. When a second one comes, a `call_task` begins on the worker
//! thread of the first, which owns everything mutable of the call from then on: legs hand it their chunks, wherever
//! they are read, and it pushes what they are to hear into their downlinks. `bridge` is what it decides with: pure,
//! with `now` passed in. `link` is what a leg and its call hand to each other.

mod bridge;
mod call_task;
mod directory;
mod link;
mod registry;

pub(crate) use bridge::Act;
pub(crate) use directory::{Directory, Membership};
pub(crate) use link::{CallSender, Line, Seat, SeatOptions};
