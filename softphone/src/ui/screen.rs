//! What the call looks like while it lasts: a few lines of text for a terminal of any size, or one
//! line where there is none.
//!
//! Pure: figures in, lines out. The terminal is in `ui`.

mod details;
mod meter;
mod warnings;

use std::time::Duration;

use proto::text::one_line;

use crate::{
    device::{DeviceState, DeviceStats},
    engine::engine_thread::MAX_VOLUME_DB,
    report::{
        Report,
        call_status::CallStatus,
        text_layout::{self, Part, fit, wrap},
    },
    session::Line,
};
pub use details::Panel;
use meter::Meter;
use warnings::Warnings;

/// Narrower, there is no room for bars, and the first line has to say what else a line of its own does.
const NARROW: usize = 30;

/// With fewer rows the same.
const FEW_ROWS: usize = 3;

/// Columns of a level's bar, and on a terminal of less than 60.
const BAR: usize = 20;
const SHORT_BAR: usize = 8;

/// Columns that a device can be told by.
const MIN_NAME: usize = 8;

/// The screen's state.
#[derive(Debug, Default)]
pub struct Screen {
    status: CallStatus,
    near: Meter,
    far: Meter,
    warnings: Warnings,
    panel: Option<Panel>,
}

impl Screen {
    /// Takes the newest figures: some ten times a second.
    pub fn update(&mut self, status: CallStatus) {
        let now = status.elapsed;
        self.near.update(status.engine.near_level, now);
        self.far.update(status.engine.far_level, now);
        self.warnings.update(&status.engine, now);
        self.status = status;
    }

    /// How long the call had lasted at the newest figures.
    pub fn elapsed(&self) -> Duration {
        self.status.elapsed
    }

    /// Shows `panel` under the status, or no longer.
    pub fn toggle(&mut self, panel: Panel) {
        self.panel = (self.panel != Some(panel)).then_some(panel);
    }

    /// At most `height` lines of at most `width` columns, the most important first.
    pub fn lines(&self, width: usize, height: usize) -> Vec<String> {
        let is_small = width < NARROW || height < FEW_ROWS;
        let mut lines = vec![match is_small {
            true => self.small_line(width),
            false => fit(self.call_parts(), width),
        }];
        let notice = self.warnings.current().map(|warning| warning.words());
        // On a small screen there is room for what is wrong, none for what is right.
        let notice = notice.unwrap_or(match is_small {
            true => "",
            false => &self.status.engine.echo.message,
        });
        let parties = self.status.session.parties.words();
        let parties = match parties.is_empty() {
            true => None,
            false => Some(text_layout::cut(&format!("with {parties}"), width)),
        };
        let near = fit(self.near_parts(width), width);
        let far = fit(self.far_parts(width), width);
        let notice = match notice.is_empty() {
            true => Vec::new(),
            false => wrap(notice, width, 0),
        };
        // Where there is no row for all, a warning comes before the levels, but leaves room for one's own.
        let rows = lines.len() + 2 + parties.iter().len() + notice.len();
        if rows > height && self.warnings.current().is_some() {
            lines.extend(notice.into_iter().take(height.saturating_sub(2)));
            lines.extend([near, far]);
            lines.extend(parties);
        } else {
            lines.extend([near, far]);
            lines.extend(parties);
            lines.extend(notice);
        }
        if let Some(panel) = self.panel {
            lines.extend(panel.lines(&self.status, width));
            if lines.len() > height && height > FEW_ROWS {
                let hidden = lines.len() - (height - 1);
                lines.truncate(height - 1);
                let rows = if hidden == 1 { "row" } else { "rows" };
                lines.push(text_layout::cut(&format!("… {hidden} {rows} more"), width));
            }
        }
        lines.truncate(height.max(1));
        lines
    }

    /// All of the first three lines in one, however long.
    pub fn plain_line(&self) -> String {
        let mut parts = self.call_parts();
        parts.insert(1, Part::new(0, format!("you {}", self.near_text())));
        parts.insert(2, Part::new(0, format!("far {}", self.far.text())));
        fit(parts, usize::MAX)
    }

    /// The line, the delay, and whether one is heard.
    fn small_line(&self, width: usize) -> String {
        let mut words = Vec::new();
        if self.status.on_hold {
            words.push("ON HOLD".to_owned());
        } else if self.status.engine.muted {
            words.push("MUTED".to_owned());
        }
        words.extend([self.line().to_owned(), self.mouth_to_ear()]);
        words.extend(self.status.recording.then(|| "REC".to_owned()));
        text_layout::cut(&words.join(" "), width)
    }

    fn call_parts(&self) -> Vec<Part> {
        let status = &self.status;
        let seconds = status.elapsed.as_secs();
        let time = format!("{:02}:{:02}", seconds / 60, seconds % 60);
        let mos = status.engine.call_stats.mos.filter(|_| self.is_connected());
        let mos = mos.and_then(|mos| mos.now);
        let mos = mos.map_or_else(|| "?".to_owned(), |mos| format!("{mos:.1}"));
        let concealed = Report::concealed_ratio(&status.engine) * 100.0;
        let round_trip = status.session.round_trip.filter(|_| self.is_connected());
        let round_trip =
            round_trip.map_or_else(unknown, |rtt| format!("{:.1} ms", rtt.as_secs_f64() * 1e3));
        let delay = self.mouth_to_ear();
        let mut parts = vec![
            Part::new(9, format!("{time} {}", self.line())).or(self.line()),
            Part::new(8, format!("mouth-to-ear {delay}")).or(delay),
            Part::new(7, format!("MOS {mos}")),
            Part::new(6, format!("concealed {concealed:.1} %")),
            Part::new(5, format!("rtt {round_trip}")),
        ];
        if status.recording {
            parts.insert(1, Part::new(10, "REC"));
        }
        parts
    }

    fn near_parts(&self, width: usize) -> Vec<Part> {
        let engine = &self.status.engine;
        let mut parts = vec![Part::new(9, "you")];
        parts.extend(bar(&self.near, width, self.status.elapsed));
        parts.push(Part::new(8, self.near_text()));
        if !engine.muted && !self.status.on_hold {
            let peak = self.near.peak_text(self.status.elapsed);
            parts.push(Part::new(5, peak));
        }
        parts.extend(device_name(&engine.microphone));
        parts
    }

    fn far_parts(&self, width: usize) -> Vec<Part> {
        let engine = &self.status.engine;
        let mut parts = vec![Part::new(9, "far")];
        parts.extend(bar(&self.far, width, self.status.elapsed));
        parts.push(Part::new(8, self.far.text()));
        parts.push(Part::new(5, self.far.peak_text(self.status.elapsed)));
        if engine.volume_db != 0 {
            let most = match engine.volume_db {
                MAX_VOLUME_DB => ", max",
                _ => "",
            };
            let volume = format!("volume {:+} dB", engine.volume_db);
            let short = format!("{:+} dB", engine.volume_db);
            parts.push(Part::new(6, format!("{volume}{most}")).or(short));
        }
        parts.extend(device_name(&engine.speaker));
        parts
    }

    fn near_text(&self) -> String {
        let engine = &self.status.engine;
        if self.status.on_hold {
            "ON HOLD   ".to_owned()
        } else if engine.muted {
            "MUTED     ".to_owned()
        } else if engine.microphone.state != DeviceState::Running {
            "no microphone".to_owned()
        } else {
            self.near.text()
        }
    }

    fn line(&self) -> &'static str {
        match &self.status.session.line {
            Line::Connecting => "connecting",
            Line::Connected => "in call",
            Line::Stalled => "line stalled",
            Line::Lost { .. } => "line lost",
            Line::Ended => "ended",
        }
    }

    fn mouth_to_ear(&self) -> String {
        let us = self.status.engine.mouth_to_ear_us();
        // On a line that is lost, and where nothing is heard, there is no delay, only what it once was.
        us.filter(|_| self.is_connected())
            .map_or_else(unknown, |us| format!("{:.0} ms", f64::from(us) / 1e3))
    }

    fn is_connected(&self) -> bool {
        self.status.session.line == Line::Connected
    }
}

fn bar(meter: &Meter, width: usize, now: Duration) -> Option<Part> {
    let cells = match width {
        ..NARROW => return None,
        NARROW..60 => SHORT_BAR,
        60.. => BAR,
    };
    Some(Part::new(7, meter.bar(cells, now)))
}

fn device_name(device: &DeviceStats) -> Option<Part> {
    let name = one_line(&device.name);
    (!name.is_empty()).then(|| Part::new(3, name).cut_to(MIN_NAME))
}

fn unknown() -> String {
    "? ms".to_owned()
}

#[cfg(test)]
mod tests;
