//! What is told of a call: while it lasts (`call_status`, `json_line`) and when it is over, for people (`summary`) and
//! for scripts (`json`). `verdict` judges it, `line_trace` its delay on a virtual line.

pub mod call_status;
mod json;
mod json_line;
pub mod line_trace;
pub(crate) mod printable_json;
mod summary;
pub mod text_layout;
pub mod verdict;
mod virtual_figures;

use std::time::Duration;

use audio::ToneReport;

pub use json_line::status_json;
pub use virtual_figures::VirtualFigures;

use crate::{
    engine::EngineStatus, recording::RecordingStatus, report::verdict::Verdict,
    session::SessionStatus,
};

/// Everything known about a call that is over.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it went.
    pub verdict: Verdict,
    /// Where it went to.
    pub server: String,
    /// Its id.
    pub call_id: String,
    /// Codec, rate and channels.
    pub format: String,
    /// Sound in each chunk, in milliseconds.
    pub frame_ms: f64,
    /// The wish for this leg's processing; empty: the server's default.
    pub effects: String,
    /// How long it lasted.
    pub duration: Duration,
    /// The engine's last figures.
    pub engine: EngineStatus,
    /// The session's last figures.
    pub session: SessionStatus,
    /// Chunks that were dropped on the way out because they were late.
    pub dropped: u64,
    /// What the ear of a synthetic call heard.
    pub tone: Option<ToneReport>,
    /// What `--record` left.
    pub recording: Option<RecordingStatus>,
    /// What `--sink` left, where that is a file.
    pub sink: Option<RecordingStatus>,
    /// What is known of a call on a virtual line alone.
    pub virtual_line: Option<VirtualFigures>,
}

impl Report {
    /// The part of the playing time that was concealed, 0 to 1.
    pub fn concealed_ratio(engine: &EngineStatus) -> f64 {
        let buffer = &engine.jitter_buffer;
        let all = buffer.played_us + buffer.concealed_us;
        if all == 0 {
            0.0
        } else {
            buffer.concealed_us as f64 / all as f64
        }
    }
}
