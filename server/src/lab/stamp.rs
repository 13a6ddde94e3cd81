//! The lab's processing of a call (`--lab`): bytes that need not be sound come back with a stamp.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use proto::callcenter::AudioChunk;

/// The chunk as the lab's server answers it: `|processed_<unix time>|` behind its bytes, fields 1
/// to 5 as they came, nothing else.
pub(crate) fn stamped(chunk: AudioChunk) -> AudioChunk {
    let unix_time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    let mut audio_data = BytesMut::from(chunk.audio_data.as_ref());
    // With a decimal point always, as the lab's language writes a float.
    audio_data.extend_from_slice(format!("|processed_{unix_time:?}|").as_bytes());
    AudioChunk {
        audio_data: audio_data.freeze(),
        call_id: chunk.call_id,
        sample_rate: chunk.sample_rate,
        channels: chunk.channels,
        codec: chunk.codec,
        ..AudioChunk::default()
    }
}
