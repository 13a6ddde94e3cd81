//! Samples only: formats, codecs, resampling, the jitter buffer and the processing chain.
//!
//! Everything here is pure. Nothing reads a clock, a file, a socket or a device: where time
//! matters, the caller passes `now` (monotonic, since any fixed origin), so that hours of a call
//! are a test that runs in a second.
//!
//! Samples are `f32`, nominally −1..1, interleaved unless a type says otherwise. Counts are
//! samples per channel unless a name says otherwise.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod aec3;
pub mod agc;
mod band_filter;
pub mod chain;
pub mod codec;
mod concealment;
pub mod coupling;
pub mod delay;
mod delay_adjustment;
pub mod denoise;
pub mod drift;
pub mod e_model;
mod echo_canceller;
pub mod echo_path;
pub mod effects;
pub mod format;
pub mod frame;
pub mod gain;
pub mod highpass;
pub mod impairment;
pub mod jitter_buffer;
mod jitter_buffer_stats;
pub mod leg;
pub mod limiter;
mod linear_prediction;
pub mod loop_guard;
pub mod meter;
pub mod near_end;
pub mod near_end_reference;
pub mod output_limiter;
mod packet;
mod phase_only;
pub mod plausibility;
mod playout_schedule;
mod pull_phase;
pub mod render_path;
pub mod resampler;
mod rnnoise;
mod sample_fifo;
pub mod sending_rule;
mod sliding_minimum;
mod speaker_pace;
#[cfg(test)]
mod test_signal;
pub mod time_stretch;
pub mod tone;
pub mod tone_detector;
pub mod transit;
mod voice_cleaner;
pub mod wav;

pub use chain::Chain;
pub use codec::{CodecError, Decoder, Encoder};
pub use drift::DriftControl;
pub use effects::{Effect, Effects, EffectsError};
pub use format::{Codec, Format, FormatError, PayloadError};
pub use impairment::{ImpairedLine, Impairment, ImpairmentError};
pub use jitter_buffer::{DepthError, Gap, JitterBuffer, JitterBufferStats, Packet, Playout};
pub use leg::{Leg, LegError, Processed};
pub use meter::LevelMeter;
pub use output_limiter::OutputLimiter;
pub use render_path::{RenderPath, RenderPathError};
pub use resampler::{Resampler, ResamplerError};
pub use tone::Tone;
pub use tone_detector::{ToneDetector, ToneReport};
pub use transit::{Arrival, Transit};
pub use wav::{Wav, WavError};
