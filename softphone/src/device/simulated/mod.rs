//! Devices without a sound card: tones, files, and a clock that makes them due.

pub mod virtual_clock;
pub mod virtual_microphone;
pub mod virtual_speaker;
pub mod wav_microphone;
