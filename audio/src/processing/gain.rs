//! A gain that changes without a click.

/// The most that the gain changes from one sample to the next: from nothing to unity in 20 ms at
/// 48 kHz.
const MAX_STEP: f32 = 1.0 / 960.0;

/// A gain that moves towards what it was set to, or to nothing while muted. At unity, samples pass
/// unchanged, bit for bit.
#[derive(Debug, Clone)]
pub struct SmoothGain {
    set: f32,
    muted: bool,
    current: f32,
}

impl SmoothGain {
    /// Unity, not muted.
    pub fn new() -> Self {
        Self {
            set: 1.0,
            muted: false,
            current: 1.0,
        }
    }

    /// Moves to `db` from the next sample on.
    pub fn set_db(&mut self, db: f32) {
        // Quite unity, or it would never be unchanged again.
        self.set = if db == 0.0 {
            1.0
        } else {
            10.0_f32.powf(db / 20.0)
        };
    }

    /// Mutes, or lets pass again, from the next sample on.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Applies it to samples of one channel.
    pub fn process(&mut self, samples: &mut [f32]) {
        let target = if self.muted { 0.0 } else { self.set };
        if self.current == 1.0 && target == 1.0 {
            return;
        }
        for sample in samples {
            let missing = target - self.current;
            self.current = match missing.abs() <= MAX_STEP {
                true => target,
                false => self.current + MAX_STEP.copysign(missing),
            };
            *sample *= self.current;
        }
    }
}

impl Default for SmoothGain {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{peak, rms_dbfs, sine};

    #[test]
    fn the_level_becomes_what_it_was_set_to_without_a_click() {
        for db in [-40.0, -6.0, 2.0, 12.0] {
            let before = sine(440.0, 0.1, 48_000, 48_000);
            let mut after = before.clone();
            let mut gain = SmoothGain::new();
            gain.process(&mut after[..12_000]);
            gain.set_db(db);
            for block in after[12_000..].chunks_mut(480) {
                gain.process(block);
            }
            assert_eq!(after[..12_000], before[..12_000]);
            let change = rms_dbfs(&after[24_000..]) - rms_dbfs(&before[24_000..]);
            assert!((change - db).abs() < 0.01, "{change} for {db}");
            // A 440 Hz tone moves by at most 2π·440/48000 of its amplitude in a sample.
            let peak = 0.1 * 10.0_f32.powf(db.max(0.0) / 20.0);
            let largest = after.windows(2).map(|pair| (pair[1] - pair[0]).abs());
            let largest = largest.fold(0.0, f32::max);
            assert!(largest < peak * 0.06, "{db} dB: a step of {largest}");
        }
    }

    #[test]
    fn muted_it_falls_silent_and_comes_back_to_what_was_set() {
        let mut gain = SmoothGain::new();
        gain.set_db(-6.0);
        let tone = sine(440.0, 0.5, 48_000, 48_000);
        let mut played = tone.clone();
        for (index, piece) in played.chunks_mut(96).enumerate() {
            gain.set_muted((100..300).contains(&index));
            gain.process(piece);
        }
        assert_eq!(peak(&played[9_600 + 960..28_800]), 0.0, "it is muted");
        let change = rms_dbfs(&played[38_400..]) - rms_dbfs(&tone[38_400..]);
        assert!((change + 6.0).abs() < 0.01, "it is back at {change} dB");
        let steps = played.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        // A tone of 440 Hz rises by 0.029 a sample.
        assert!(steps.fold(0.0, f32::max) < 0.031, "it clicks");
    }

    #[test]
    fn back_at_unity_nothing_is_changed() {
        let mut gain = SmoothGain::new();
        gain.set_db(12.0);
        gain.process(&mut [0.5; 9_600]);
        gain.set_db(0.0);
        gain.process(&mut [0.5; 9_600]);
        let before = sine(440.0, 0.3, 48_000, 4_800);
        let mut after = before.clone();
        gain.process(&mut after);
        assert_eq!(after, before);
    }
}
