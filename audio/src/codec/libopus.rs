//! What both ends need of libopus.

use super::format::Format;

/// A codec that could not be set up or refused to work. A fault of ours, not of a peer.
#[derive(Debug, thiserror::Error)]
#[error("the Opus library failed: {0}")]
pub struct CodecError(#[from] opus::Error);

pub(super) fn channels(format: Format) -> opus::Channels {
    if format.channels() == 1 {
        opus::Channels::Mono
    } else {
        opus::Channels::Stereo
    }
}
