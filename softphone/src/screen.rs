//! What the call looks like while it lasts: one line of status, as text.
//!
//! Pure: figures in, words out. The terminal is in `ui`.

use crate::{call_status::CallStatus, device::DeviceState, report::Report, session::Line};

impl CallStatus {
    /// The status line, at most `width` characters. On a narrow terminal the least important figures
    /// go first; whether the call lasts, whether one is heard, and the delay stay longest.
    pub fn status_line(&self, width: usize) -> String {
        let mut parts = self.parts();
        let too_long = |parts: &[Part]| joined(parts).chars().count() > width;
        while parts.len() > 1 && too_long(&parts) {
            let least = (0..parts.len()).min_by_key(|&n| parts[n].importance);
            parts.remove(least.unwrap_or(0));
        }
        joined(&parts).chars().take(width).collect()
    }

    /// Where the time goes: the delay of the newest second or two, stage by stage.
    pub fn delay_line(&self) -> String {
        match &self.engine.call_stats.now {
            Some(stages) => format!(
                "mouth to ear {:.1} ms: {}",
                f64::from(stages.total()) / 1e3,
                stages.words()
            ),
            None => "mouth to ear unknown: the server has not told its part".to_owned(),
        }
    }

    fn parts(&self) -> Vec<Part> {
        let seconds = self.elapsed.as_secs();
        let engine = &self.engine;
        let buffer = &engine.jitter_buffer;
        // On a line that is lost there is no delay, only what it once was.
        let connected = self.session.line == Line::Connected;
        let known = |text: Option<String>| text.filter(|_| connected).unwrap_or_else(unknown);
        let round_trip = self.session.round_trip;
        let round_trip = round_trip.map(|rtt| format!("{:5.1} ms", rtt.as_secs_f64() * 1e3));
        let mouth_to_ear = engine.mouth_to_ear_us();
        let mouth_to_ear = mouth_to_ear.map(|us| format!("{:3.0} ms", f64::from(us) / 1e3));
        let mos = engine.call_stats.mos.filter(|_| connected);
        let mos = mos.map_or_else(|| "  ?".to_owned(), |mos| format!("{:.1}", mos.now));
        let part = |importance, text| Part { importance, text };
        let erle_db = engine.near_end.and_then(|near_end| near_end.erle_db);
        let echo = erle_db.map(|db| part(0, format!("echo -{:.0} dB", db.max(0.0))));
        let parts = vec![
            part(
                9,
                format!("{:02}:{:02} {}", seconds / 60, seconds % 60, self.line()),
            ),
            part(8, format!("you {}", self.near())),
            part(5, format!("far {}", level(engine.far_level))),
            part(3, format!("rtt {}", known(round_trip))),
            part(7, format!("mouth-to-ear {}", known(mouth_to_ear))),
            part(6, format!("MOS {mos}")),
            part(2, format!("buffer {:3.0} ms", buffer.depth_us as f64 / 1e3)),
            part(
                4,
                format!("concealed {:.1} %", Report::concealed_ratio(engine) * 100.0),
            ),
            part(1, format!("dropped {}", self.dropped)),
        ];
        // Worth the room only where there are any.
        let xruns = engine.microphone.xruns + engine.speaker.xruns;
        let xruns = (xruns > 0).then(|| part(0, format!("xruns {xruns}")));
        parts.into_iter().chain(echo).chain(xruns).collect()
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

/// One figure of the line.
struct Part {
    importance: u8,
    text: String,
}

fn joined(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    texts.join("  ")
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
    use std::time::Duration;

    use super::*;
    use audio::near_end::NearEndStats;

    use crate::{
        call_stats::{CallStats, MosStats},
        delay::Stages,
        engine::EngineStatus,
        session::SessionStatus,
    };

    fn in_call() -> CallStatus {
        CallStatus {
            elapsed: Duration::from_secs(75),
            engine: EngineStatus {
                near_level: Some(audio::meter::Level {
                    rms_dbfs: -23.4,
                    peak_dbfs: -12.0,
                }),
                call_stats: CallStats {
                    now: Some(Stages {
                        uplink: 52_300,
                        ..Stages::default()
                    }),
                    mos: Some(MosStats {
                        now: 4.31,
                        worst: 2.0,
                        mean: 4.2,
                    }),
                    ..CallStats::default()
                },
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
            "01:15 in call  you -23.4 dBFS  far silent      rtt   1.2 ms  mouth-to-ear  52 ms  MOS 4.3  buffer   0 ms  concealed 0.0 %  dropped 3"
        );
    }

    #[test]
    fn the_canceller_shows_what_it_does_where_there_is_room() {
        let mut screen = in_call();
        screen.engine.near_end = Some(NearEndStats {
            erle_db: Some(41.7),
            ..NearEndStats::default()
        });
        assert!(screen.status_line(200).ends_with("dropped 3  echo -42 dB"));
        assert!(!screen.status_line(140).contains("echo"));
    }

    #[test]
    fn it_fits_any_width() {
        for width in 0..200 {
            assert!(in_call().status_line(width).chars().count() <= width);
        }
        assert_eq!(
            in_call().status_line(80),
            "01:15 in call  you -23.4 dBFS  far silent      mouth-to-ear  52 ms  MOS 4.3"
        );
        assert_eq!(
            in_call().status_line(55),
            "01:15 in call  you -23.4 dBFS  mouth-to-ear  52 ms"
        );
    }

    #[test]
    fn a_muted_end_and_its_delay_are_seen_on_the_narrowest_terminal() {
        let mut screen = in_call();
        screen.engine.muted = true;
        let line = screen.status_line(50);
        assert!(line.contains("MUTED"), "{line}");
        assert!(line.contains("mouth-to-ear  52 ms"), "{line}");
    }

    #[test]
    fn a_line_that_is_lost_has_neither_delay_nor_score() {
        let mut screen = in_call();
        screen.session.line = Line::Lost { why: String::new() };
        let line = screen.status_line(200);
        assert!(line.contains("mouth-to-ear    ? ms  MOS   ?"), "{line}");
    }

    #[test]
    fn the_stages_are_told_when_asked_for_and_xruns_when_there_are_any() {
        let mut screen = in_call();
        let line = screen.delay_line();
        let stages = screen.engine.call_stats.now.unwrap();
        assert!(line.starts_with(&format!(
            "mouth to ear {:.1} ms: ",
            f64::from(stages.total()) / 1e3
        )));
        for name in [
            "capture device",
            "uplink",
            "server",
            "jitter buffer",
            "resampler",
        ] {
            assert!(line.contains(name), "{line}");
        }
        assert!(!screen.status_line(200).contains("xruns"));
        screen.engine.speaker.xruns = 2;
        assert!(screen.status_line(200).contains("xruns 2"));
        screen.engine.call_stats.now = None;
        assert!(screen.delay_line().contains("unknown"));
    }

    #[test]
    fn mute_is_seen() {
        let mut screen = in_call();
        screen.engine.muted = true;
        assert!(screen.status_line(80).contains("MUTED"));
    }
}
