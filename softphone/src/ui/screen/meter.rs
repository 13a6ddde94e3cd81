//! A level as a bar, with the highest peak of the last moments. Pure.

use std::time::Duration;

use audio::measure::Level;

/// How long a peak stays where it was, and how fast it falls then.
const HOLD: Duration = Duration::from_millis(1_500);
const FALL_DB_PER_S: f32 = 20.0;

/// The left end of the bar; the right one is full scale.
const LEFT_DBFS: f32 = -60.0;

/// Below this there is nothing to hear.
const SILENT_DBFS: f32 = -90.0;

/// One direction's level.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    level: Option<Level>,
    held: Option<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    dbfs: f32,
    since: Duration,
}

impl Meter {
    pub(super) fn update(&mut self, level: Option<Level>, now: Duration) {
        self.level = level;
        let peak_dbfs = level.map_or(SILENT_DBFS, |level| level.peak_dbfs);
        if self.held_dbfs(now).is_none_or(|held| peak_dbfs >= held) {
            self.held = Some(Held {
                dbfs: peak_dbfs,
                since: now,
            });
        }
    }

    /// The level in figures.
    pub(super) fn text(&self) -> String {
        match self.level {
            Some(level) if level.rms_dbfs > SILENT_DBFS => format!("{:5.1} dBFS", level.rms_dbfs),
            _ => "silent    ".to_owned(),
        }
    }

    /// The peak in figures.
    pub(super) fn peak_text(&self, now: Duration) -> String {
        match self.held_dbfs(now).filter(|&dbfs| dbfs > SILENT_DBFS) {
            Some(dbfs) => format!("peak {dbfs:5.1}"),
            None => "peak     -".to_owned(),
        }
    }

    /// Mean level and peak as a bar of `cells` columns.
    pub(super) fn bar(&self, cells: usize, now: Duration) -> String {
        let place = |dbfs: f32| {
            let part = (dbfs - LEFT_DBFS) / -LEFT_DBFS;
            // A part of so few columns is one of them.
            (part.clamp(0.0, 1.0) * cells as f32).round() as usize
        };
        let filled = place(self.level.map_or(LEFT_DBFS, |level| level.rms_dbfs));
        let peak = place(self.held_dbfs(now).unwrap_or(LEFT_DBFS));
        let cell = |index: usize| match index {
            index if index < filled => '█',
            index if index + 1 == peak => '│',
            _ => '·',
        };
        (0..cells).map(cell).collect()
    }

    fn held_dbfs(&self, now: Duration) -> Option<f32> {
        let held = self.held?;
        let falling = now.saturating_sub(held.since).saturating_sub(HOLD);
        Some(held.dbfs - falling.as_secs_f32() * FALL_DB_PER_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(rms_dbfs: f32, peak_dbfs: f32) -> Option<Level> {
        Some(Level {
            rms_dbfs,
            peak_dbfs,
        })
    }

    #[test]
    fn a_peak_is_held_and_falls_then() {
        let at = Duration::from_millis;
        let mut meter = Meter::default();
        meter.update(level(-20.0, -6.0), at(0));
        meter.update(level(-50.0, -40.0), at(1_400));
        assert_eq!(meter.peak_text(at(1_400)), "peak  -6.0");
        assert_eq!(meter.text(), "-50.0 dBFS");
        meter.update(level(-50.0, -40.0), at(2_500));
        assert_eq!(meter.peak_text(at(2_500)), "peak -26.0");
        meter.update(level(-20.0, -10.0), at(2_600));
        assert_eq!(meter.peak_text(at(2_600)), "peak -10.0");
    }

    #[test]
    fn a_bar_goes_from_60_db_below_full_scale_to_full_scale() {
        let bar = |rms, peak| {
            let mut meter = Meter::default();
            meter.update(level(rms, peak), Duration::ZERO);
            meter.bar(12, Duration::ZERO)
        };
        assert_eq!(bar(-30.0, -10.0), "██████···│··");
        assert_eq!(bar(-127.0, -127.0), "············");
        assert_eq!(bar(-60.0, -57.0), "│···········");
        assert_eq!(bar(0.0, 0.0), "████████████");
        assert_eq!(Meter::default().bar(3, Duration::ZERO), "···");
        assert_eq!(Meter::default().text(), "silent    ");
        assert_eq!(Meter::default().peak_text(Duration::ZERO), "peak     -");
    }
}
