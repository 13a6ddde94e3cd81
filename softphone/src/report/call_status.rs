//! The figures of a call at one moment, while it lasts.

use std::time::Duration;

use crate::{engine::EngineStatus, session::SessionStatus};

/// What the screen shows, and what a line of `--json-lines` tells.
#[derive(Debug, Clone, Default)]
pub struct CallStatus {
    /// Since the call began.
    pub elapsed: Duration,
    /// The engine's newest figures.
    pub engine: EngineStatus,
    /// The session's newest figures.
    pub session: SessionStatus,
    /// Chunks dropped on the way out.
    pub dropped: u64,
    /// We neither hear the others nor are heard.
    pub on_hold: bool,
    /// The call is being recorded.
    pub recording: bool,
}
