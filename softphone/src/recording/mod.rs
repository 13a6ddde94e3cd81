//! `--record`: the call as a stereo WAV file, you left, the far end right as it was played.
//!
//! `track` puts both on one timeline, `recorder` is the engine's end, `wav_writer` a thread of
//! its own behind a bounded queue: a slow disk costs a part of the recording, never of the call.

mod recorder;
mod track;
mod wav_writer;

pub use recorder::Recorder;
pub use track::Batch;
pub use wav_writer::{Recording, RecordingStatus};

/// Sample rate of every recording.
pub const RATE_HZ: u32 = 48_000;
