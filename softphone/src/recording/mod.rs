//! The call as WAV files. `--record`: stereo, you left, the far end right as it was played; `--sink`: what
//! was played.
//!
//! `track` puts both sides on one timeline, `recorder` is the engine's end of `--record`; of both it is
//! `sample_queue`, and behind that bounded queue a thread of its own (`wav_writer`, `wav_file`): a slow disk
//! costs a part of the recording, never of the call. `new_file` sees to what was there before.

mod new_file;
mod recorder;
mod sample_queue;
mod track;
mod wav_file;
mod wav_writer;

pub use recorder::Recorder;
pub use sample_queue::SampleQueue;
pub use track::Batch;
pub use wav_writer::{Recording, RecordingStatus, Worth};

/// Sample rate of every recording.
pub const RATE_HZ: u32 = 48_000;
