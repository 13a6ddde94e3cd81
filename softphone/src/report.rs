//! What is left of a call when it is over: the figures, for people and for scripts.

use std::time::Duration;

use audio::ToneReport;
use serde_json::{Value, json};

use proto::text::one_line;

use crate::{
    call_stats::CallStats,
    delay::Stages,
    device::{DeviceState, DeviceStats, Placement},
    engine::EngineStatus,
    session::SessionStatus,
    verdict::Verdict,
    virtual_call::VirtualFigures,
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
    pub frame_ms: u32,
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

    /// A few lines for people.
    pub fn summary(&self) -> String {
        let engine = &self.engine;
        let buffer = &engine.jitter_buffer;
        let session = &self.session;
        let mut lines = vec![format!(
            "call {} with {}: {}",
            one_line(&self.call_id),
            self.server,
            self.verdict.why
        )];
        if session.chunks_received > 0 {
            lines.push(format!(
                "  {:.1} s of {}, {} ms chunks: {} sent, {} received, {} dropped, {}",
                self.duration.as_secs_f64(),
                self.format,
                self.frame_ms,
                session.chunks_sent,
                session.chunks_received,
                self.dropped,
                counted(session.reconnects, "reconnect"),
            ));
            lines.push(format!(
                "  round trip {}, concealed {:.2} % ({} up to 60 ms, {} longer, at most {:.0} ms)",
                session
                    .round_trip
                    .map_or_else(unknown, |rtt| format!("{:.1} ms", rtt.as_secs_f64() * 1e3)),
                Self::concealed_ratio(engine) * 100.0,
                counted(buffer.short_concealments, "time"),
                buffer.long_concealments,
                ms(buffer.longest_concealed_us),
            ));
            lines.extend(delay_lines(&engine.call_stats));
        }
        if let Some(line) = &self.virtual_line {
            lines.extend(line.summary(self.duration));
        }
        if let Some(erle_db) = engine.near_end.and_then(|near_end| near_end.erle_db) {
            lines.push(format!(
                "  echo canceller: microphone lowered by {:.0} dB while the far end was heard, of late",
                erle_db.max(0.0)
            ));
        }
        for (noun, device) in [
            ("microphone", &engine.microphone),
            ("speaker", &engine.speaker),
        ] {
            if device.xruns + device.ring_faults + device.rebuilds + device.moves > 0 {
                lines.push(format!(
                    "  {noun} {}: {}, {}, opened again {}, moved {}",
                    device.name,
                    counted(device.xruns, "xrun"),
                    counted(device.ring_faults, "ring fault"),
                    counted(device.rebuilds, "time"),
                    counted(device.moves, "time"),
                ));
            }
        }
        lines.join("\n")
    }

    /// The figures for scripts. Keys stay; new ones may come.
    pub fn json(&self) -> Value {
        let engine = &self.engine;
        let buffer = &engine.jitter_buffer;
        json!({
            "outcome": self.verdict.exit,
            "exit_code": self.verdict.exit.code(),
            "message": self.verdict.why,
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
            "mouth_to_ear_ms": engine.mouth_to_ear_us().map(|us| ms(us.into())),
            "delay_ms": {
                "now": engine.call_stats.now.as_ref().map(stages_json),
                "median": engine.call_stats.median.as_ref().map(stages_json),
                "p95": engine.call_stats.p95_us.map(|us| ms(us.into())),
                "worst": engine.call_stats.worst_us.map(|us| ms(us.into())),
                "sent_age": ms(engine.sent_age_us.into()),
                "server_processing": self.session.processing_delay_us.map(|us| ms(us.into())),
            },
            "mos": engine.call_stats.mos.map(|mos| json!({
                "now": hundredths(mos.now),
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
            "engine_priority": engine.priority.to_string(),
            "microphone": device_json(&engine.microphone),
            "speaker": device_json(&engine.speaker),
            "device_changes": engine.device_notices.after(0).iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tone": self.tone.map(|tone| json!({
                "heard": tone.heard,
                "frequency_hz": tone.frequency_hz,
                "level_dbfs": tone.level_dbfs,
                "purity_db": tone.purity_db,
                "missing_ms": tone.missing_ms,
                "longest_missing_ms": tone.longest_missing_ms,
                "onset_ms": tone.onset_ms,
                "clicks": tone.clicks,
                "listened_ms": tone.listened_ms,
            })),
        })
    }
}

/// The median second, stage by stage, and how the call was judged.
fn delay_lines(stats: &CallStats) -> Vec<String> {
    let Some(median) = &stats.median else {
        return vec!["  mouth to ear unknown: the server does not tell its part".to_owned()];
    };
    let whole = |us: Option<u32>| f64::from(us.unwrap_or(0)) / 1e3;
    let mut lines = vec![format!(
        "  mouth to ear {:.0} ms in the median second (95 %: {:.0} ms, worst: {:.0} ms)",
        whole(Some(median.total())),
        whole(stats.p95_us),
        whole(stats.worst_us),
    )];
    lines.push(format!("    of which {}", median.words()));
    if let Some(mos) = stats.mos {
        lines.push(format!(
            "  MOS {:.1} by the E-model (worst second {:.1})",
            mos.mean, mos.worst
        ));
    }
    lines
}

/// What each stage takes, and the sum of all.
fn stages_json(stages: &Stages) -> Value {
    let mut json = json!({ "sum": ms(stages.total().into()) });
    for (name, us) in Stages::NAMES.into_iter().zip(stages.array()) {
        json[name] = ms(us.into()).into();
    }
    json
}

/// More digits would say more than the model knows.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
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

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn unknown() -> String {
    "unknown".to_owned()
}
