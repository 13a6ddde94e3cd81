//! From packets that come when they come to sound that flows: the jitter buffer and the drift of clocks.
//!
//! Read `jitter_buffer` first, and `render_path`, which resamples for a speaker whose clock is another (`drift`).
//! `playout_schedule`, `pull_phase` and `speaker_pace` say when a packet is due; `delay_adjustment` and `time_stretch`
//! change the delay unheard; `concealment` and `plausibility` stand for what is missing and for what cannot be sound.

mod concealment;
mod delay_adjustment;
mod drift;
mod jitter_buffer;
mod jitter_buffer_stats;
mod linear_prediction;
mod packet;
mod plausibility;
mod playout_schedule;
mod pull_phase;
mod render_path;
mod speaker_pace;
mod time_stretch;

pub use drift::DriftControl;
pub use jitter_buffer::{DepthError, Gap, JitterBuffer, JitterBufferStats, Packet, Playout};
pub use render_path::{RenderPath, RenderPathError};
