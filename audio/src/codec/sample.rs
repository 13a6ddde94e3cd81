//! Samples as numbers: floats that are safe to process, and 16 bits.

/// Replaces what is not a number by silence and clamps the rest to −1..1.
pub fn make_finite(samples: &mut [f32]) {
    for sample in samples {
        *sample = if sample.is_finite() {
            sample.clamp(-1.0, 1.0)
        } else {
            0.0
        };
    }
}

pub(crate) fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

pub(super) fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and takes NaN to 0.
    (sample * 32_768.0).round() as i16
}
