//! What goes into the jitter buffer and what it says of what comes out. Plain values.

/// Why media before a packet is missing, or, without audio, from it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gap {
    /// None is marked.
    #[default]
    None,
    /// The speaker muted.
    Muted,
    /// There was nothing to say.
    Silence,
    /// It came too late and was dropped.
    Late,
    /// The microphone was gone.
    Device,
}

impl Gap {
    /// Whether silence is right in its place, as opposed to a guess at what was lost.
    pub(crate) fn is_silence(self) -> bool {
        matches!(self, Self::Muted | Self::Silence | Self::Device)
    }
}

/// One chunk as the jitter buffer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Position of the first sample, in samples per channel. A peer that does not say: the count of
    /// samples it has sent before.
    pub media_time: u64,
    /// Why media before it (without audio: from it on) is missing.
    pub gap: Gap,
    /// The encoded audio; empty: none.
    pub payload: &'a [u8],
}

/// What a pull was filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout {
    /// The far end's sound.
    Sound,
    /// At least in part a guess (or, after 60 ms, silence) in place of sound that is late or lost.
    Concealed,
    /// There is nothing to hear: a marked gap, or nothing has arrived yet.
    Silence,
}
