//! What the call looks like while it lasts: one line of status, as text.
//!
//! Pure: figures in, words out. The terminal is in `ui`.

use std::time::Duration;

use crate::{
    device::DeviceState,
    engine::EngineStatus,
    report::Report,
    session::{Line, SessionStatus},
};

/// Everything the line shows.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// Since the call began.
    pub elapsed: Duration,
    /// The engine's newest figures.
    pub engine: EngineStatus,
    /// The session's newest figures.
    pub session: SessionStatus,
    /// Chunks dropped on the way out.
    pub dropped: u64,
}

impl Screen {
    /// The status line, at most `width` characters.
    pub fn status_line(&self, width: usize) -> String {
        let seconds = self.elapsed.as_secs();
        let buffer = &self.engine.jitter_buffer;
        // On a line that is lost there is no delay, only what it once was.
        let connected = self.session.line == Line::Connected;
        let mut parts = vec![
            format!("{:02}:{:02} {}", seconds / 60, seconds % 60, self.line()),
            format!("you {}", self.near()),
            format!("far {}", level(self.engine.far_level)),
            format!(
                "rtt {}",
                self.session
                    .round_trip
                    .filter(|_| connected)
                    .map_or_else(unknown, |rtt| format!("{:5.1} ms", rtt.as_secs_f64() * 1e3))
            ),
            format!(
                "mouth-to-ear {}",
                self.engine
                    .mouth_to_ear_us
                    .filter(|_| connected)
                    .map_or_else(unknown, |us| format!("{:3.0} ms", f64::from(us) / 1e3))
            ),
            format!("buffer {:3.0} ms", buffer.depth_us as f64 / 1e3),
            format!(
                "concealed {:.1} %",
                Report::concealed_ratio(&self.engine) * 100.0
            ),
            format!("dropped {}", self.dropped),
        ];
        // On a narrow terminal the last figures go first.
        while parts.len() > 1 && joined(&parts).chars().count() > width {
            parts.pop();
        }
        joined(&parts).chars().take(width).collect()
    }

    fn line(&self) -> String {
        match &self.session.line {
            Line::Connecting => "connecting".to_owned(),
            Line::Connected => "in call".to_owned(),
            Line::Stalled => "line stalled".to_owned(),
            Line::Lost { .. } => "line lost".to_owned(),
            Line::Ended => "ended".to_owned(),
        }
    }

    fn near(&self) -> String {
        if self.engine.muted {
            "MUTED     ".to_owned()
        } else if self.engine.microphone.state != DeviceState::Running {
            "no microphone".to_owned()
        } else {
            level(self.engine.near_level)
        }
    }
}

fn joined(parts: &[String]) -> String {
    parts.join("  ")
}

fn level(level: Option<audio::meter::Level>) -> String {
    match level {
        Some(level) if level.rms_dbfs > -90.0 => format!("{:5.1} dBFS", level.rms_dbfs),
        _ => "silent    ".to_owned(),
    }
}

fn unknown() -> String {
    "   ? ms".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_call() -> Screen {
        Screen {
            elapsed: Duration::from_secs(75),
            engine: EngineStatus {
                near_level: Some(audio::meter::Level {
                    rms_dbfs: -23.4,
                    peak_dbfs: -12.0,
                }),
                mouth_to_ear_us: Some(52_300),
                ..EngineStatus::default()
            },
            session: SessionStatus {
                line: Line::Connected,
                round_trip: Some(Duration::from_micros(1_240)),
                ..SessionStatus::default()
            },
            dropped: 3,
        }
    }

    #[test]
    fn all_figures_are_on_the_line() {
        assert_eq!(
            in_call().status_line(200),
            "01:15 in call  you -23.4 dBFS  far silent      rtt   1.2 ms  mouth-to-ear  52 ms  buffer   0 ms  concealed 0.0 %  dropped 3"
        );
    }

    #[test]
    fn it_fits_any_width() {
        for width in 0..200 {
            assert!(in_call().status_line(width).chars().count() <= width);
        }
        assert!(in_call().status_line(80).contains("mouth-to-ear  52 ms"));
    }

    #[test]
    fn mute_is_seen() {
        let mut screen = in_call();
        screen.engine.muted = true;
        assert!(screen.status_line(80).contains("MUTED"));
    }
}
