//! What is done to the samples of a leg: resampling, effects, gain control, limiters.
//!
//! Read `leg` first: payload in, payload out, by way of a `chain` of `effects`. `denoise` is RNNoise (`rnnoise`, with
//! `band_filter`); `output_limiter` stands before a device. Nothing here reads a clock; a chain may allocate, so
//! never in a device callback.

mod agc;
mod band_filter;
mod chain;
mod delay;
mod denoise;
mod effects;
mod gain;
mod highpass;
mod leg;
mod limiter;
mod output_limiter;
mod resampler;
mod rnnoise;
mod sample_fifo;

pub use chain::Chain;
pub use effects::{Effect, Effects, EffectsError};
pub use gain::SmoothGain;
pub use leg::{Leg, LegError, Processed};
pub use output_limiter::OutputLimiter;
pub use resampler::{Resampler, ResamplerError};
pub(crate) use sample_fifo::SampleFifo;
