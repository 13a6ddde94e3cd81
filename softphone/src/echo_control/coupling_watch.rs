//! The coupling monitor with what was played and what is captured side by side, in frames.

use std::time::Duration;

use audio::{
    ResamplerError,
    coupling::CouplingMonitor,
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    near_end_reference::RenderReference,
};

use crate::near_end_path::Rendered;

/// Listens to a call for an echo.
pub struct CouplingWatch {
    monitor: CouplingMonitor,
    reference: RenderReference,
    render_latency: Duration,
    unframed: Vec<f32>,
}

impl CouplingWatch {
    /// A watch that has heard nothing.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new() -> Result<Self, ResamplerError> {
        Ok(Self {
            monitor: CouplingMonitor::new()?,
            reference: RenderReference::new(SAMPLE_RATE_HZ)?,
            render_latency: Duration::ZERO,
            unframed: Vec::new(),
        })
    }

    /// Takes what is played, also when it is nothing.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn hear(&mut self, rendered: Rendered<'_>) -> Result<(), ResamplerError> {
        self.render_latency = Duration::from_micros(u64::from(rendered.latency_us));
        self.reference
            .push(rendered.samples, rendered.sample_rate_hz)
    }

    /// Takes what the microphone gave, mono at 48 kHz, whose newest sample is `latency` old.
    pub fn listen(&mut self, captured: &[f32], latency: Duration, now: Duration) {
        self.unframed.extend_from_slice(captured);
        self.reference
            .align(self.render_latency, latency, self.unframed.len(), now);
        let mut played = [0.0; SAMPLES_PER_CHANNEL];
        let mut heard = [0.0; SAMPLES_PER_CHANNEL];
        let frames = self.unframed.chunks_exact(SAMPLES_PER_CHANNEL);
        let rest = frames.remainder().len();
        for captured in frames {
            self.reference.read(&mut played);
            heard.copy_from_slice(captured);
            self.monitor.push(&played, &heard);
        }
        self.unframed.drain(..self.unframed.len() - rest);
    }

    /// What it concludes.
    pub fn monitor(&self) -> &CouplingMonitor {
        &self.monitor
    }
}
