//! The coupling monitor with what was played and what is captured side by side.

use std::time::Duration;

use audio::{ResamplerError, coupling::CouplingMonitor};

use crate::aligned_frames::{AlignedFrames, Rendered};

/// Listens to a call for an echo.
pub struct CouplingWatch {
    monitor: CouplingMonitor,
    frames: AlignedFrames,
}

impl CouplingWatch {
    /// A watch that has heard nothing.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new() -> Result<Self, ResamplerError> {
        Ok(Self {
            monitor: CouplingMonitor::new()?,
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

    /// Takes what the microphone gave, mono at 48 kHz, whose newest sample is `latency` old.
    pub fn listen(&mut self, captured: &[f32], latency: Duration, now: Duration) {
        let monitor = &mut self.monitor;
        self.frames.capture(captured, latency, now, |frame| {
            monitor.push(&frame.played, &frame.captured);
        });
    }

    /// What it concludes.
    pub fn monitor(&self) -> &CouplingMonitor {
        &self.monitor
    }
}
