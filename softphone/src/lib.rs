//! The softphone: microphone → engine → session → server → session → engine → speaker.
//!
//! [`engine`] owns everything audible; [`engine_thread`] runs it on a thread of its own; [`session`] speaks gRPC on
//! tokio; [`call`] puts them together.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod aligned_frames;
pub mod answered_format;
pub mod args;
pub mod call;
pub mod call_stats;
pub mod call_status;
pub mod capture_path;
pub mod clock;
pub mod delay;
pub mod device;
pub mod doctor;
pub mod echo_control;
#[cfg(test)]
mod echo_simulation;
pub mod engine;
pub mod engine_thread;
pub mod far_end;
pub mod heard_delay;
pub mod line_trace;
pub mod near_end_choice;
pub mod near_end_path;
pub mod near_end_switch;
pub mod numbering;
pub mod playout_path;
mod printable_json;
pub mod priority;
pub mod reachability;
pub mod recent_log;
pub mod recording;
pub mod report;
pub mod screen;
pub mod session;
pub mod signals;
pub mod simulation;
pub mod stamp;
pub mod text_layout;
pub mod ui;
pub mod uplink;
pub mod verdict;
pub mod virtual_call;
