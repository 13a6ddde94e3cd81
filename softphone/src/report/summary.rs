//! The few lines for people that are left of a call.

use proto::text::one_line;

use super::Report;
use super::text_layout::wrap;
use crate::{engine::call_stats::CallStats, recording::RecordingStatus};

impl Report {
    /// A few lines for people, of at most `width` columns.
    pub fn summary(&self, width: usize) -> String {
        let engine = &self.engine;
        let buffer = &engine.jitter_buffer;
        let session = &self.session;
        let mut lines = vec![format!(
            "call {} with {}: {}",
            self.call_id, self.server, self.verdict.why
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
            if buffer.absent_us > 0 {
                lines.push(format!(
                    "  nothing to hear for {:.1} s: the microphone it comes from was away",
                    buffer.absent_us as f64 / 1e6
                ));
            }
            lines.extend(delay_lines(&engine.call_stats));
        }
        lines.extend(file_lines(self.recording.as_ref(), self.sink.as_ref()));
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
        // Names and paths may hold anything.
        let lines = lines.iter().map(|line| one_line(line));
        let lines: Vec<String> = lines.flat_map(|line| wrap(&line, width, 2)).collect();
        lines.join("\n")
    }
}

/// What became of the files of the call.
fn file_lines(recording: Option<&RecordingStatus>, sink: Option<&RecordingStatus>) -> Vec<String> {
    let recording = recording.map(|file| {
        let (shown, seconds) = (file.path.display(), file.seconds);
        match &file.failure {
            Some(failure) => format!("  not all is recorded to {shown}: {failure}"),
            None => {
                format!("  {seconds:.1} s recorded to {shown}: you left, the far end right")
            }
        }
    });
    let sink = sink.and_then(|file| {
        let failure = file.failure.as_ref()?;
        let shown = file.path.display();
        Some(format!(
            "  not all that was played is in {shown}: {failure}"
        ))
    });
    recording.into_iter().chain(sink).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_file_is_said_also_where_the_call_was_bad() {
        let file = |failure: Option<&str>| RecordingStatus {
            path: "call.wav".into(),
            seconds: 1.5,
            failure: failure.map(str::to_owned),
        };
        let good = file(None);
        assert_eq!(
            file_lines(Some(&good), Some(&good)),
            ["  1.5 s recorded to call.wav: you left, the far end right"]
        );
        let bad = file(Some("there was no call, so nothing is kept"));
        assert_eq!(
            file_lines(Some(&bad), Some(&bad)),
            [
                "  not all is recorded to call.wav: there was no call, so nothing is kept",
                "  not all that was played is in call.wav: there was no call, so nothing is kept"
            ]
        );
    }
}
