//! Measures of sound, and sound to measure with: levels, tones, the E-model.

pub mod e_model;
mod meter;
#[cfg(test)]
mod test_signal;
mod tone;
mod tone_detector;

pub(crate) use meter::amplitude_to_dbfs;
pub use meter::{Level, LevelMeter, peak_dbfs, rfc6464_level, rms_dbfs};
#[cfg(test)]
pub(crate) use test_signal::{
    fan_noise, fit_sine, lag, noise, peak, phase_delay_s, rms_db, run_blocks, sine, speech_like,
};
pub use tone::Tone;
pub use tone_detector::{ToneDetector, ToneReport};
