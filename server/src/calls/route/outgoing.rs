//! What is to be sent to a leg's peer.

use std::time::Duration;

use bytes::Bytes;
use proto::callcenter::Gap;

/// A chunk before it is numbered: that is done when it is handed over to the transport.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// Encoded sound; empty: none.
    pub(crate) payload: Bytes,
    /// How much of it, in samples per channel.
    pub(crate) samples_per_channel: u64,
    /// Where it stands in its direction.
    pub(crate) place: Place,
    /// Why sound before it (without a payload: from it on) is missing.
    pub(crate) gap: Gap,
    /// Its level as RFC 6464 writes it (−dBov, 0–127), if measured.
    pub(crate) level: Option<u8>,
    /// When what it is made of arrived, or was mixed.
    pub(crate) since: Duration,
    /// How old its first sample was then, the processing's delay included, in microseconds, if known.
    pub(crate) age_us: Option<u32>,
    /// The request that it answers, where each has an answer.
    pub(crate) answers: Option<Received>,
}

/// A position in one direction of a leg, in samples per channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// There, or behind what was before it, whichever is later.
    At(u64),
    /// So far behind what was before it.
    After(u64),
}

/// A request that came, to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) sequence: u64,
    pub(crate) at: Duration,
}
