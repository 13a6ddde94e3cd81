//! Samples only: formats, codecs, resampling, the jitter buffer and the processing chain.
//!
//! Everything here is pure. Nothing reads a clock, a file, a socket or a device: where time
//! matters, the caller passes `now` (monotonic, since any fixed origin), so that hours of a call
//! are a test that runs in a second.
//!
//! Samples are `f32`, nominally −1..1, interleaved unless a type says otherwise. Counts are
//! samples per channel unless a name says otherwise.
//!
//! A packet that arrives goes through [`playout`], which uses [`codec`]; what a microphone takes goes
//! through [`near_end`]; what a leg says goes through [`processing`], and what several say through
//! [`mixing`]. [`measure`] tells how it sounds.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod codec;
pub mod frame;
pub mod measure;
pub mod mixing;
pub mod near_end;
pub mod playout;
pub mod processing;

pub use codec::{
    Codec, CodecError, Decoder, Encoder, Format, FormatError, PayloadError, Wav, WavError,
};
pub use measure::{LevelMeter, Tone, ToneDetector, ToneReport};
pub use playout::{
    DepthError, DriftControl, Gap, JitterBuffer, JitterBufferStats, Packet, Playout, RenderPath,
    RenderPathError,
};
pub use processing::{
    Chain, Effect, Effects, EffectsError, Leg, LegError, OutputLimiter, Processed, Resampler,
    ResamplerError,
};
