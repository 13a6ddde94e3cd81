//! Levels of a stretch of samples: for the screen, for the wire, and for tests that judge loudness.
//!
//! All levels are relative to full scale (1.0) without any correction for sine waves: a sine that
//! just reaches full scale has a peak of 0 dBFS and an RMS of −3.01 dBFS, a square wave 0 dBFS
//! both. RMS in this convention is the dBov of RFC 6464. Pure arithmetic: fit for any thread.

/// What silence measures, instead of minus infinity: the lowest level that RFC 6464 can carry.
pub(super) const FLOOR_DBFS: f32 = -127.0;

/// RMS level in dBFS of all `samples` together, at least −127.
pub fn rms_dbfs(samples: &[f32]) -> f32 {
    power_to_dbfs(sum_of_squares(samples), samples.len() as u64)
}

/// Level in dBFS of the sample farthest from zero, at least −127.
pub fn peak_dbfs(samples: &[f32]) -> f32 {
    amplitude_to_dbfs(peak(samples))
}

/// The level of `samples` as RFC 6464 writes it: −dBov, 0 (loudest) to 127 (silence).
pub fn rfc6464_level(samples: &[f32]) -> u8 {
    // `as` saturates, and the clamp leaves nothing for it to saturate.
    (-rms_dbfs(samples)).round().clamp(0.0, 127.0) as u8
}

/// An amplitude (1.0 is full scale) in dBFS, at least −127.
pub(crate) fn amplitude_to_dbfs(amplitude: f32) -> f32 {
    (20.0 * amplitude.abs().log10()).max(FLOOR_DBFS)
}

/// Both levels of what was pushed since the last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// RMS in dBFS.
    pub rms_dbfs: f32,
    /// Peak in dBFS.
    pub peak_dbfs: f32,
}

/// Gathers levels between two readings, and over all of them.
#[derive(Debug, Clone, Default)]
pub struct LevelMeter {
    since_reading: Sums,
    overall: Sums,
}

#[derive(Debug, Clone, Default)]
struct Sums {
    squares: f64,
    count: u64,
    peak: f32,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.squares += other.squares;
        self.count += other.count;
        self.peak = self.peak.max(other.peak);
    }

    fn level(&self) -> Level {
        Level {
            rms_dbfs: power_to_dbfs(self.squares, self.count),
            peak_dbfs: amplitude_to_dbfs(self.peak),
        }
    }
}

impl LevelMeter {
    /// A meter that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes samples into account, of one channel or interleaved.
    pub fn push(&mut self, samples: &[f32]) {
        let sums = Sums {
            squares: sum_of_squares(samples),
            count: samples.len() as u64,
            peak: peak(samples),
        };
        self.since_reading.add(&sums);
        self.overall.add(&sums);
    }

    /// The level since the last call, and begins anew. Nothing pushed reads as silence.
    pub fn read(&mut self) -> Level {
        std::mem::take(&mut self.since_reading).level()
    }

    /// The level of all that was ever pushed, whatever was read meanwhile.
    pub fn overall(&self) -> Level {
        self.overall.level()
    }
}

fn sum_of_squares(samples: &[f32]) -> f64 {
    samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum()
}

fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, s| peak.max(s.abs()))
}

fn power_to_dbfs(squares: f64, count: u64) -> f32 {
    let power = squares / count.max(1) as f64;
    (10.0 * power.log10()).max(f64::from(FLOOR_DBFS)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(amplitude: f32) -> Vec<f32> {
        (0..48_000)
            .map(|n| amplitude * (n as f32 * std::f32::consts::TAU / 48.0).sin())
            .collect()
    }

    #[test]
    fn a_full_scale_sine_is_3_db_below_its_peak() {
        assert!((rms_dbfs(&sine(1.0)) + 3.01).abs() < 0.01);
        assert!(peak_dbfs(&sine(1.0)).abs() < 0.01);
        assert!((rms_dbfs(&sine(0.1)) + 23.01).abs() < 0.01);
        assert!(rms_dbfs(&[1.0, -1.0, 1.0, -1.0]).abs() < 0.01);
    }

    #[test]
    fn silence_and_nothing_measure_the_floor() {
        assert_eq!(rms_dbfs(&[0.0; 480]), -127.0);
        assert_eq!(peak_dbfs(&[0.0; 480]), -127.0);
        assert_eq!(rms_dbfs(&[]), -127.0);
        assert_eq!(rms_dbfs(&[1e-20; 480]), -127.0);
        assert_eq!(rfc6464_level(&[0.0; 480]), 127);
    }

    #[test]
    fn the_wire_level_counts_down_from_full_scale() {
        assert_eq!(rfc6464_level(&[1.0; 480]), 0);
        assert_eq!(rfc6464_level(&sine(1.0)), 3);
        assert_eq!(rfc6464_level(&sine(0.01)), 43);
        // Out of range already: loud, not wrapped around.
        assert_eq!(rfc6464_level(&[20.0; 480]), 0);
    }

    #[test]
    fn the_meter_joins_what_was_pushed_and_forgets_it_when_read() {
        let mut meter = LevelMeter::new();
        meter.push(&[0.0; 24_000]);
        meter.push(&sine(1.0)[..24_000]);
        let level = meter.read();
        assert!((level.rms_dbfs + 6.02).abs() < 0.01, "{level:?}");
        assert!(level.peak_dbfs.abs() < 0.01);
        let silence = Level {
            rms_dbfs: FLOOR_DBFS,
            peak_dbfs: FLOOR_DBFS,
        };
        assert_eq!(meter.read(), silence);
        assert_eq!(meter.overall(), level);
    }
}
