//! Captured sound through the near end's processing, 10 ms at a time, with the reference of what
//! the speaker played meanwhile.
//!
//! Runs on the engine thread. Only there when something of it is on: a microphone that needs no
//! processing is not cut into frames either, and so not delayed.

use std::time::Duration;

use audio::{
    Resampler, ResamplerError,
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

/// From the microphone's samples at 48 kHz to processed ones at the format's rate.
pub struct NearEndPath {
    near_end: NearEnd,
    reference: RenderReference,
    render_latency: Duration,
    /// Captured, and not yet a whole frame.
    unframed: Vec<f32>,
    processed: Vec<f32>,
    to_format: Resampler,
}

impl NearEndPath {
    /// A path that does what `options` say and gives samples of `format_rate_hz`.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new(options: NearEndOptions, format_rate_hz: u32) -> Result<Self, ResamplerError> {
        Ok(Self {
            near_end: NearEnd::new(options),
            reference: RenderReference::new(SAMPLE_RATE_HZ)?,
            render_latency: Duration::ZERO,
            unframed: Vec::new(),
            processed: Vec::new(),
            to_format: Resampler::new(SAMPLE_RATE_HZ, format_rate_hz, 1)?,
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

    /// Where captured samples are to be appended, mono at 48 kHz.
    pub fn input(&mut self) -> &mut Vec<f32> {
        &mut self.unframed
    }

    /// Processes all whole frames and appends what comes of them to `output`. `capture_latency` is
    /// how old the newest captured sample is.
    pub fn process(&mut self, capture_latency: Duration, now: Duration, output: &mut Vec<f32>) {
        self.reference.align(
            self.render_latency,
            capture_latency,
            self.unframed.len(),
            now,
        );
        self.processed.clear();
        let mut frame = [0.0; SAMPLES_PER_CHANNEL];
        let frames = self.unframed.chunks_exact(SAMPLES_PER_CHANNEL);
        let rest = frames.remainder().len();
        for captured in frames {
            self.reference.read(&mut frame);
            self.near_end.render(&mut frame);
            frame.copy_from_slice(captured);
            self.near_end.capture(&mut frame);
            self.processed.extend_from_slice(&frame);
        }
        self.unframed.drain(..self.unframed.len() - rest);
        self.to_format.process(&self.processed, output);
    }

    /// The microphone was away: what is not yet a frame never becomes one. Returns how many samples
    /// at 48 kHz that were.
    pub fn forget(&mut self) -> usize {
        self.reference.realign();
        let count = self.unframed.len();
        self.unframed.clear();
        count
    }

    /// What it was told to do.
    pub fn options(&self) -> NearEndOptions {
        self.near_end.options()
    }

    /// Captured sound that is not yet a whole frame, in microseconds.
    pub fn framing_us(&self) -> u32 {
        micros(self.unframed.len())
    }

    /// By how much the processing delays, in microseconds.
    pub fn processing_us(&self) -> u32 {
        micros(self.near_end.options().delay_samples())
    }

    /// By how much the resampler behind it delays, in microseconds.
    pub fn resampler_us(&self) -> u32 {
        self.to_format.delay_us()
    }

    /// The figures of this moment.
    pub fn stats(&self) -> NearEndStats {
        self.near_end.stats()
    }
}

fn micros(samples: usize) -> u32 {
    (samples as u64 * 1_000_000 / u64::from(SAMPLE_RATE_HZ)) as u32
}
