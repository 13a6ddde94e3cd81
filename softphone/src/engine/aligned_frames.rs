//! What the microphone hears beside what the speaker plays at that moment, in frames of 10 ms at
//! 48 kHz: what a canceller and whoever looks for an echo work on. Runs on the engine thread.

use std::time::Duration;

use audio::{
    ResamplerError,
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    near_end::RenderReference,
};

/// What was just handed to the speaker.
#[derive(Debug, Clone, Copy)]
pub struct Rendered<'a> {
    /// The samples, mono.
    pub samples: &'a [f32],
    /// Their rate.
    pub sample_rate_hz: u32,
    /// How long it takes until the next sample that is written is heard, in microseconds.
    pub latency_us: u32,
}

/// 10 ms of both, mono at 48 kHz.
#[derive(Debug, Clone)]
pub struct AlignedFrame {
    /// What was played.
    pub played: [f32; SAMPLES_PER_CHANNEL],
    /// What the microphone gave.
    pub captured: [f32; SAMPLES_PER_CHANNEL],
}

/// Cuts both into frames.
pub struct AlignedFrames {
    reference: RenderReference,
    render_latency: Duration,
    /// Captured, and not yet a whole frame.
    unframed: Vec<f32>,
}

impl AlignedFrames {
    /// Nothing was played or captured.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new() -> Result<Self, ResamplerError> {
        Ok(Self {
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

    /// Takes what was `captured`, mono at 48 kHz, whose newest sample is `latency` old, and hands on
    /// each frame that is whole.
    pub fn capture(
        &mut self,
        captured: &[f32],
        latency: Duration,
        now: Duration,
        mut each: impl FnMut(AlignedFrame),
    ) {
        self.unframed.extend_from_slice(captured);
        self.reference
            .align(self.render_latency, latency, self.unframed.len(), now);
        let (frames, rest) = self.unframed.as_chunks::<SAMPLES_PER_CHANNEL>();
        for &captured in frames {
            let mut played = [0.0; SAMPLES_PER_CHANNEL];
            self.reference.read(&mut played);
            each(AlignedFrame { played, captured });
        }
        let rest = rest.len();
        self.unframed.drain(..self.unframed.len() - rest);
    }

    /// The microphone was away: what is not yet a frame never becomes one.
    pub fn forget(&mut self) {
        self.reference.realign();
        self.unframed.clear();
    }
}
