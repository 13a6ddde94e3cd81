//! What a session is told, and what it tells.

use std::time::Duration;

use super::parties::Parties;
use audio::Format;
use proto::{ServerAddress, callcenter::Alone};

/// What the session is to do.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where the server is.
    pub server: ServerAddress,
    /// The call to take part in.
    pub call_id: String,
    /// What the engine encodes and decodes.
    pub format: Format,
    /// How long a chunk lasts.
    pub chunk: Duration,
    /// Wish for this leg's processing; empty: the server's default.
    pub effects: String,
    /// What the others in the call are shown; may be empty.
    pub display_name: String,
    /// What comes back while nobody else is in the call.
    pub alone: Alone,
}

/// How the line is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Line {
    /// Not connected yet.
    #[default]
    Connecting,
    /// Sound can flow.
    Connected,
    /// Connected, but nothing has come for a while; a second connection is tried beside it.
    Stalled,
    /// It was connected, and is tried again.
    Lost {
        /// What happened, for people.
        why: String,
        /// What the last attempt to get it back met, likewise.
        attempt: Option<String>,
    },
    /// Over.
    Ended,
}

/// The session's figures at one moment.
#[derive(Debug, Clone, Default)]
pub struct SessionStatus {
    /// How the line is.
    pub line: Line,
    /// Who else is in the call.
    pub parties: Parties,
    /// Whether the server has shown that it is there, if only by accepting the call.
    pub server_lives: bool,
    /// The server's name for our leg, if it numbers its chunks.
    pub leg_id: String,
    /// What the server said it adds, in microseconds.
    pub processing_delay_us: Option<u32>,
    /// Smoothed round trip.
    pub round_trip: Option<Duration>,
    /// Chunks sent over all streams of the call.
    pub chunks_sent: u64,
    /// Chunks received, likewise.
    pub chunks_received: u64,
    /// Of those, chunks with sound.
    pub sound_received: u64,
    /// How often the call was taken up again on a new line, after one that was lost or stalled.
    pub reconnects: u64,
    /// Chunks that the engine could not take in time.
    pub engine_overflow: u64,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// We said all, and heard all that was due.
    Completed,
    /// The server would not have us.
    Rejected(String),
    /// There was no server in the first place.
    NeverConnected(String),
    /// The line was lost and did not come back before we hung up.
    Lost(String),
    /// The server answers in another format than it was asked for.
    WrongFormat(String),
}
