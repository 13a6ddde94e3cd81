//! What a leg's chunk becomes.

use std::time::Duration;

use proto::callcenter::AudioChunk;

/// The answer to one request, before it is numbered: that is done when it is handed over.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// The sound in fields 1 to 5; to a peer that numbers also its place, gap and level.
    pub chunk: AudioChunk,
    /// Samples per channel.
    pub samples_per_channel: u64,
    /// The request's sequence.
    pub request: u64,
    /// When the request arrived.
    pub arrived: Duration,
    /// How old the first sample was then, the processing's delay included, in microseconds; `None`
    /// if nobody tells.
    pub age_us: Option<u32>,
}
