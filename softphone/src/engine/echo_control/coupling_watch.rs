//! What was played and what is captured side by side, for those who compare the two.

use std::time::Duration;

use audio::{
    ResamplerError,
    measure::rms_dbfs,
    near_end::{CouplingMonitor, LoopGuard},
};

use crate::engine::aligned_frames::{AlignedFrames, Rendered};

/// Listens to a call for an echo.
pub struct CouplingWatch {
    monitor: CouplingMonitor,
    guard: LoopGuard,
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
            guard: LoopGuard::new(),
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

    /// Takes what the microphone gave, mono at 48 kHz, whose newest sample is `latency` old. It hears
    /// the loudspeaker `echo_gain_db` louder than it was played, at most.
    pub fn listen(
        &mut self,
        captured: &[f32],
        latency: Duration,
        echo_gain_db: f32,
        now: Duration,
    ) {
        let (monitor, guard) = (&mut self.monitor, &mut self.guard);
        self.frames.capture(captured, latency, now, |frame| {
            monitor.push(&frame.played, &frame.captured);
            let (played, captured) = (rms_dbfs(&frame.played), rms_dbfs(&frame.captured));
            guard.push(played, captured, echo_gain_db);
        });
    }

    /// What is known of a loop.
    pub fn guard(&self) -> &LoopGuard {
        &self.guard
    }

    /// What is known of an echo.
    pub fn monitor(&self) -> &CouplingMonitor {
        &self.monitor
    }
}
