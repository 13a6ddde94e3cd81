//! The softphone: microphone → engine → session → server → session → engine → speaker.
//!
//! [`engine`] owns everything audible and runs on a thread of its own; [`session`] speaks gRPC on
//! tokio; [`call`] puts them together.

pub mod args;
pub mod call;
pub mod capture_path;
pub mod clock;
pub mod delay;
pub mod device;
pub mod engine;
pub mod numbering;
pub mod playout_path;
pub mod priority;
pub mod report;
pub mod screen;
pub mod session;
pub mod signals;
#[cfg(test)]
mod simulation;
pub mod stamp;
pub mod ui;
pub mod uplink;
pub mod verdict;
