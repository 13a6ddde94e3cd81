//! Captured sound through the near end's processing, 10 ms at a time, with the reference of what
//! the speaker played meanwhile. 48 kHz in and out.
//!
//! Runs on the engine thread. Only there when something of it is on (`near_end_switch`): a
//! microphone that needs no processing is not cut into frames either, and so not delayed.

use std::time::Duration;

use audio::{
    ResamplerError,
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    near_end::{NearEnd, NearEndOptions, NearEndStats},
    near_end_reference::RenderReference,
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

/// From the microphone's samples to processed ones, mono at 48 kHz.
pub struct NearEndPath {
    near_end: NearEnd,
    reference: RenderReference,
    render_latency: Duration,
    /// Captured, and not yet a whole frame.
    unframed: Vec<f32>,
}

impl NearEndPath {
    /// A path that does what `options` say.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new(options: NearEndOptions) -> Result<Self, ResamplerError> {
        Ok(Self {
            near_end: NearEnd::new(options),
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

    /// Takes what was `captured`, and appends what comes of all whole frames to `output`.
    /// `capture_latency` is how old the newest captured sample is.
    pub fn process(
        &mut self,
        captured: &[f32],
        capture_latency: Duration,
        now: Duration,
        output: &mut Vec<f32>,
    ) {
        self.unframed.extend_from_slice(captured);
        self.reference.align(
            self.render_latency,
            capture_latency,
            self.unframed.len(),
            now,
        );
        let mut frame = [0.0; SAMPLES_PER_CHANNEL];
        let frames = self.unframed.chunks_exact(SAMPLES_PER_CHANNEL);
        let rest = frames.remainder().len();
        for captured in frames {
            self.reference.read(&mut frame);
            self.near_end.render(&mut frame);
            frame.copy_from_slice(captured);
            self.near_end.capture(&mut frame);
            output.extend_from_slice(&frame);
        }
        self.unframed.drain(..self.unframed.len() - rest);
    }

    /// The microphone was away: what is not yet a frame never becomes one.
    pub fn forget(&mut self) {
        self.reference.realign();
        self.unframed.clear();
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
