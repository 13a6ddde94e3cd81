//! One end of a stream, for whoever has one: how long a chunk travelled ([`transit`]), what may still
//! be sent ([`sending_rule`]), and what a bad line does to either ([`impairment`]).
//!
//! Everything here is pure. Time comes in as `now`, since any fixed origin, so that hours of a line are
//! a test that runs in a second.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod impairment;
pub mod sending_rule;
mod sliding_minimum;
pub mod transit;

pub use impairment::{ImpairedLine, Impairment, ImpairmentError};
pub use transit::{Arrival, Transit};
