//! The figures of a call for scripts.

use audio::{ToneReport, measure::Level, near_end::EchoCanceller};
use serde_json::{Value, json};

use super::{Report, VirtualFigures};
use super::{printable_json::printable, verdict::Verdict};
use crate::{
    device::{DeviceState, DeviceStats, Placement},
    engine::delay::Stages,
    recording::RecordingStatus,
};

/// Of `docs/softphone-json.schema.json`. Grows when a key goes or means something else; new keys may
/// come without.
pub(super) const SCHEMA_VERSION: u32 = 1;

impl Report {
    /// The figures for scripts.
    pub fn json(&self) -> Value {
        let engine = &self.engine;
        let buffer = &engine.jitter_buffer;
        let mut figures = json!({
            "server": self.server,
            "call_id": self.call_id,
            "leg_id": self.session.leg_id,
            "format": self.format,
            "frame_ms": self.frame_ms,
            "effects": self.effects,
            "duration_s": self.duration.as_secs_f64(),
            "chunks_sent": self.session.chunks_sent,
            "chunks_received": self.session.chunks_received,
            "chunks_dropped": self.dropped,
            "engine_overflow": self.session.engine_overflow,
            "encoder_failures": engine.encoder_failures,
            "reconnects": self.session.reconnects,
            "round_trip_ms": self.session.round_trip.map(|rtt| rtt.as_secs_f64() * 1e3),
            "mouth_to_ear_ms": engine.call_stats.newest.map(|stages| ms(stages.total().into())),
            "delay_ms": {
                "now": engine.call_stats.newest.as_ref().map(stages_json),
                "median": engine.call_stats.median.as_ref().map(stages_json),
                "p95": engine.call_stats.p95_us.map(|us| ms(us.into())),
                "worst": engine.call_stats.worst_us.map(|us| ms(us.into())),
                "sent_age": ms(engine.sent_age_us.into()),
                "server_processing": self.session.processing_delay_us.map(|us| ms(us.into())),
            },
            "mos": engine.call_stats.mos.map(|mos| json!({
                "now": hundredths(mos.newest),
                "worst": hundredths(mos.worst),
                "mean": hundredths(mos.mean),
            })),
            "drift_ppm": hundredths(engine.drift_ppm),
            "concealed_ratio": Self::concealed_ratio(engine),
            "jitter_buffer": {
                "depth_ms": ms(buffer.depth_us),
                "target_ms": ms(buffer.target_us),
                "played_ms": ms(buffer.played_us),
                "concealed_ms": ms(buffer.concealed_us),
                "concealment_events": buffer.concealment_events,
                "short_concealments": buffer.short_concealments,
                "long_concealments": buffer.long_concealments,
                "longest_concealed_ms": ms(buffer.longest_concealed_us),
                "absent_ms": ms(buffer.absent_us),
                "absences": buffer.absences,
                "dropped_late_ms": ms(buffer.dropped_late_us),
                "cut_ms": ms(buffer.cut_us),
                "inserted_ms": ms(buffer.inserted_us),
                "undecodable": buffer.undecodable,
            },
            "virtual_line": self.virtual_line.as_ref().map(VirtualFigures::json),
            "near_end": engine.near_end.map(|near_end| json!({
                "erle_db": near_end.erle_db.map(tenths),
                "echo_delay_ms": near_end.echo_delay_ms,
                "gain_db": near_end.gain_db.map(tenths),
            })),
            "echo": {
                "canceller": engine.echo.canceller(),
                "kind": engine.echo.kind.map(EchoCanceller::name),
                "reason": engine.echo.reason,
                "message": engine.echo.message,
                "changes": engine.echo.changes,
            },
            "levels": {
                "input": engine.near_overall_level.map(level_json),
                "output": engine.far_overall_level.map(level_json),
            },
            "engine_priority": engine.priority.to_string(),
            "microphone": device_json(&engine.microphone),
            "speaker": device_json(&engine.speaker),
            "device_changes": engine.device_notices.after(0).iter().map(ToString::to_string).collect::<Vec<_>>(),
            "garbage_muted_ms": ms(engine.garbage.muted_us),
            "recording": self.recording.as_ref().map(recording_json),
            "sink": self.sink.as_ref().map(recording_json),
            "tone": self.tone.as_ref().map(tone_json),
        });
        if let (Value::Object(figures), Value::Object(verdict)) =
            (&mut figures, self.verdict.json())
        {
            figures.extend(verdict);
        }
        printable(figures)
    }
}

impl Verdict {
    /// The part of the figures that there is even when a call never began.
    pub fn json(&self) -> Value {
        printable(json!({
            "version": SCHEMA_VERSION,
            "type": "report",
            "outcome": self.exit,
            "exit_code": self.exit.code(),
            "message": self.why,
        }))
    }
}

/// What each stage takes, and the sum of all.
fn stages_json(stages: &Stages) -> Value {
    let mut json = json!({ "sum": ms(stages.total().into()) });
    for (name, us) in Stages::NAMES.into_iter().zip(stages.array()) {
        json[name] = ms(us.into()).into();
    }
    json
}

fn tone_json(tone: &ToneReport) -> Value {
    json!({
        "heard": tone.heard,
        "frequency_hz": tone.frequency_hz,
        "level_dbfs": tone.level_dbfs,
        "purity_db": tone.purity_db,
        "missing_ms": tone.missing_ms,
        "longest_missing_ms": tone.longest_missing_ms,
        "onset_ms": tone.onset_ms,
        "clicks": tone.clicks,
        "listened_ms": tone.listened_ms,
    })
}

fn recording_json(recording: &RecordingStatus) -> Value {
    json!({
        "file": recording.path.display().to_string(),
        "duration_s": recording.seconds,
        "failure": recording.failure,
    })
}

/// More digits would say more than the model knows.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// `mean` is the RMS level.
pub(super) fn level_json(level: Level) -> Value {
    json!({
        "mean_dbfs": tenths(level.rms_dbfs),
        "peak_dbfs": tenths(level.peak_dbfs),
    })
}

fn tenths(db: f32) -> f64 {
    (f64::from(db) * 10.0).round() / 10.0
}

fn device_json(device: &DeviceStats) -> Value {
    json!({
        "name": device.name,
        "host": device.host,
        "callbacks": device.callbacks,
        "callback_samples": device.callback_samples,
        "callback_mean_us": device.callback_mean_us(),
        "callback_worst_us": device.callback_worst_ns as f64 / 1e3,
        "xruns": device.xruns,
        "ring_faults": device.ring_faults,
        "ring_fault_samples": device.ring_fault_samples,
        "ring_margin_us": device.ring_margin_us,
        "route_changes": device.route_changes,
        "rebuilds": device.rebuilds,
        "moves": device.moves,
        "placement": match device.placement {
            Placement::Default => "default",
            Placement::Pinned => "pinned",
            Placement::Fallback => "fallback",
        },
        "state": match device.state {
            DeviceState::Running => "running".to_owned(),
            DeviceState::Rebuilding { why } => format!("rebuilding: {why}"),
        },
    })
}

pub(super) fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}
