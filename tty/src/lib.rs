//! A program in a shell: whose turn it is at the terminal, stopping and continuing, and the signals
//! that it inherited.
//!
//! - [`SignalListener`]: a signal that asks the program to end, unless whoever started it wants it
//!   ignored (`nohup`, `&` in a script).
//! - [`is_foreground`], [`TerminalInput`], [`stdin`]: a job in the background neither reads nor sets
//!   the terminal.
//! - [`handle_stops`] in `main`, and [`JobEvents`] where something is drawn: Ctrl-Z puts the screen
//!   away before the process stops.
//! - [`size`]: columns and rows, without asking another program.
//!
//! Signals and the terminal belong to the process, so what is known of them stands in statics. On
//! systems that have no job control everything is always in the foreground and nothing is stopped.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod foreground;
mod input;
mod job_control;
mod signals;
mod size;

pub use foreground::is_foreground;
#[cfg(unix)]
pub use input::TerminalInput;
pub use input::stdin;
pub use job_control::{JobEvent, JobEvents, Stopping, handle_stops, request_stop};
pub use signals::{EndSignal, SignalListener, is_ignored};
pub use size::size;
