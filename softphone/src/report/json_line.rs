//! The figures of a call for scripts, while it lasts: one line of `--json-lines`.

use serde_json::{Value, json};

use super::{
    Report,
    json::{SCHEMA_VERSION, hundredths, level_json, ms},
};
use super::{call_status::CallStatus, printable_json::printable};
use crate::{
    device::{DeviceState, DeviceStats},
    session::Line,
};

/// One line, as `docs/softphone-json.schema.json` describes it.
pub fn status_json(status: &CallStatus) -> Value {
    let CallStatus {
        elapsed,
        engine,
        session,
        dropped,
        recording,
        on_hold: _,
    } = status;
    printable(json!({
        "version": SCHEMA_VERSION,
        "type": "status",
        "elapsed_s": elapsed.as_millis() as f64 / 1e3,
        "line": match session.line {
            Line::Connecting => "connecting",
            Line::Connected => "connected",
            Line::Stalled => "stalled",
            Line::Lost { .. } => "lost",
            Line::Ended => "ended",
        },
        "muted": engine.muted,
        "recording": recording,
        "levels": {
            "input": engine.near_level.map(level_json),
            "output": engine.far_level.map(level_json),
        },
        "mouth_to_ear_ms": engine.mouth_to_ear_us().map(|us| ms(us.into())),
        "mos": engine.call_stats.mos.and_then(|mos| mos.now).map(hundredths),
        "round_trip_ms": session.round_trip.map(|rtt| rtt.as_secs_f64() * 1e3),
        "buffer_ms": ms(engine.jitter_buffer.depth_us),
        "concealed_ratio": Report::concealed_ratio(engine),
        "chunks_received": session.chunks_received,
        "chunks_dropped": dropped,
        "reconnects": session.reconnects,
        "microphone": device_json(&engine.microphone),
        "speaker": device_json(&engine.speaker),
    }))
}

fn device_json(device: &DeviceStats) -> Value {
    json!({
        "name": device.name,
        "running": device.state == DeviceState::Running,
    })
}
