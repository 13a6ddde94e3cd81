//! The softphone: microphone → engine → session → server → session → engine → speaker.
//!
//! [`engine`] owns everything audible, on a thread of its own, beside the [`device`]s; [`session`] speaks gRPC on
//! tokio; [`call`] puts them together, [`ui`] shows it, and [`report`] is what is left of it. [`simulation`] is all of
//! that on a virtual clock, and [`doctor`] looks for what keeps a call from working.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
pub mod call;
pub mod clock;
pub mod device;
pub mod doctor;
pub mod engine;
pub mod recording;
pub mod report;
pub mod session;
pub mod simulation;
pub mod ui;
