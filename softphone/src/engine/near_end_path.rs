//! Captured sound through the near end's processing, 10 ms at a time, with the reference of what
//! the speaker played meanwhile. 48 kHz in and out.
//!
//! Runs on the engine thread. Only there when something of it is on (`near_end_switch`): a
//! microphone that needs no processing is not cut into frames either, and so not delayed.

use std::time::Duration;

use audio::{
    ResamplerError,
    near_end::{NearEnd, NearEndOptions, NearEndStats},
};

use super::aligned_frames::{AlignedFrames, Rendered};

/// From the microphone's samples to processed ones, mono at 48 kHz.
pub struct NearEndPath {
    near_end: NearEnd,
    frames: AlignedFrames,
}

impl NearEndPath {
    /// A path that does what `options` say.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new(options: NearEndOptions) -> Result<Self, ResamplerError> {
        Ok(Self {
            near_end: NearEnd::new(options),
            frames: AlignedFrames::new()?,
        })
    }

    /// Takes what is played, also when it is nothing.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn hear(&mut self, rendered: Rendered<'_>) -> Result<(), ResamplerError> {
        self.frames.hear(rendered)
    }

    /// Takes what was `captured`, and appends what comes of all whole frames to `output`.
    /// `capture_latency` is how old the newest captured sample is.
    pub fn process(
        &mut self,
        captured: &[f32],
        capture_latency: Duration,
        now: Duration,
        output: &mut Vec<f32>,
    ) {
        let near_end = &mut self.near_end;
        self.frames
            .capture(captured, capture_latency, now, |mut frame| {
                near_end.render(&mut frame.played);
                near_end.capture(&mut frame.captured);
                output.extend_from_slice(&frame.captured);
            });
    }

    /// The microphone was away: what is not yet a frame never becomes one.
    pub fn forget(&mut self) {
        self.frames.forget();
    }

    /// What it was told to do.
    pub fn options(&self) -> NearEndOptions {
        self.near_end.options()
    }

    /// Samples by which the processing delays.
    pub fn delay_samples(&self) -> usize {
        self.near_end.options().delay_samples()
    }

    /// The figures of this moment.
    pub fn stats(&self) -> NearEndStats {
        self.near_end.stats()
    }
}
