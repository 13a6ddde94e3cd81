//! Several legs in one call: each leg's packets to frames, exact sums of frames, and frames to packets.
//!
//! `inbound` takes one leg's packets as they arrive and gives a frame each 10 ms of the mixer's clock;
//! `exact_sum` adds frames without rounding, so that a listener's own voice can be subtracted to nothing;
//! `outbound` limits, resamples and encodes what a listener hears; `hold_music` is what one hears who waits. Pure; runs where the call runs.

mod exact_sum;
mod hold_music;
mod inbound;
mod outbound;

pub use exact_sum::{ExactFrame, ExactSum, Fade};
pub use hold_music::HoldMusic;
pub use inbound::{Arrived, InboundPath};
pub use outbound::{Encoded, OutboundPath};

use crate::{CodecError, RenderPathError, ResamplerError};

/// A path that cannot be set up, or broke.
#[derive(Debug, thiserror::Error)]
pub enum MixingError {
    /// libopus failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The format has a rate that cannot be processed.
    #[error(transparent)]
    Resampler(#[from] ResamplerError),
    /// The jitter buffer and what belongs to it.
    #[error(transparent)]
    Render(#[from] RenderPathError),
}
