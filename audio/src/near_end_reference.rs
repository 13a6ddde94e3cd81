//! What the loudspeaker plays, kept for the echo canceller until the microphone hears it.
//!
//! Runs on the engine thread, never in a device callback. Pure. Speaker and microphone have clocks of
//! their own and latencies of their own. What was played is brought to 48 kHz and waits in a queue
//! from which 10 ms are taken for each 10 ms captured; how long it has to wait follows from the two
//! latencies, and a drift loop keeps it so for hours.
//!
//! A reference that is later than its echo is of no use at all; one that is early costs nothing
//! until it is earlier than the canceller searches (0.4 s). So it is kept early by [`HEADROOM`],
//! because hosts are wrong about their latencies.

use std::time::Duration;

use crate::{
    drift::DriftControl,
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    resampler::{Resampler, ResamplerError},
    sample_fifo::SampleFifo,
};

/// How much earlier than the estimated echo the reference is.
const HEADROOM: Duration = Duration::from_millis(40);

/// Latencies beyond this are not believed.
const MOST: Duration = Duration::from_millis(500);

/// When the queue is off by more than this, it is no drift: it is put right at once, and the canceller has to find
/// the echo again: a device stood still or was opened again.
const JUMP_SAMPLES: f64 = 960.0;

/// Time constant of the filter before that decision, in seconds.
const SMOOTHING_S: f64 = 0.5;

/// The most that is kept: two seconds. Only a microphone that is away lets it grow so far.
const CAPACITY: usize = 2 * SAMPLE_RATE_HZ as usize;

/// A queue between the speaker's clock and the microphone's.
pub struct RenderReference {
    resampler: Resampler,
    rate_hz: u32,
    drift: DriftControl,
    queue: SampleFifo,
    /// Samples that were taken as silence because they had not been played yet: they are dropped
    /// when they come, so that what follows is in its place.
    owed: usize,
    /// Smoothed surplus of the queue, in samples; `None` until it was put right once.
    surplus: Option<f64>,
    aligned: Duration,
}

impl RenderReference {
    /// A queue that has heard nothing, for a speaker of `rate_hz`.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new(rate_hz: u32) -> Result<Self, ResamplerError> {
        Ok(Self {
            resampler: Resampler::adjustable(rate_hz, SAMPLE_RATE_HZ, 1)?,
            rate_hz,
            drift: DriftControl::new(SAMPLE_RATE_HZ),
            queue: SampleFifo::new(1, SAMPLE_RATE_HZ as usize / 10, CAPACITY),
            owed: 0,
            surplus: None,
            aligned: Duration::ZERO,
        })
    }

    /// Takes what was just handed to the speaker, mono at `rate_hz`.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn push(&mut self, played: &[f32], rate_hz: u32) -> Result<(), ResamplerError> {
        if rate_hz != self.rate_hz {
            self.resampler = Resampler::adjustable(rate_hz, SAMPLE_RATE_HZ, 1)?;
            self.rate_hz = rate_hz;
        }
        self.resampler.process(played, self.queue.tail());
        let late = self.owed.min(self.queue.len());
        self.queue.skip(late);
        self.owed -= late;
        self.queue.skip(self.queue.len().saturating_sub(CAPACITY));
        Ok(())
    }

    /// Keeps the queue as long as it has to be, at a moment at which both directions are up to date.
    ///
    /// `render_latency` is the time from the speaker's queue to the ear, `capture_latency` that from
    /// the microphone to here, and `unframed` the number of samples at 48 kHz that were captured
    /// and for which no reference was taken yet.
    pub fn align(
        &mut self,
        render_latency: Duration,
        capture_latency: Duration,
        unframed: usize,
        now: Duration,
    ) {
        let wait = (render_latency + capture_latency)
            .min(MOST)
            .saturating_sub(HEADROOM);
        let wanted = wait.as_secs_f64() * f64::from(SAMPLE_RATE_HZ) + unframed as f64;
        let surplus = self.queue.len() as f64 - self.owed as f64 - wanted;
        let passed = now.saturating_sub(self.aligned);
        self.aligned = now;
        let smoothed = self.surplus.map(|smoothed| {
            smoothed + (1.0 - (-passed.as_secs_f64() / SMOOTHING_S).exp()) * (surplus - smoothed)
        });
        match smoothed {
            Some(smoothed) if smoothed.abs() <= JUMP_SAMPLES => {
                self.surplus = Some(smoothed);
                let ratio = self.drift.update(surplus, passed);
                self.resampler.set_relative_ratio(ratio);
            }
            _ => {
                self.drift.hold();
                self.jump(surplus);
                self.surplus = Some(0.0);
            }
        }
    }

    /// Puts the queue right at the next [`RenderReference::align`]: the microphone was away.
    pub fn realign(&mut self) {
        self.surplus = None;
    }

    /// The next 10 ms, to be heard while the next captured frame was.
    pub fn read(&mut self, frame: &mut [f32; SAMPLES_PER_CHANNEL]) {
        let count = self.queue.read(frame);
        frame[count..].fill(0.0);
        self.owed += SAMPLES_PER_CHANNEL - count;
    }

    /// Makes the queue shorter by `surplus` samples, or longer.
    fn jump(&mut self, surplus: f64) {
        let samples = surplus.abs() as usize;
        if surplus > 0.0 {
            self.queue.skip(samples);
            return;
        }
        let paid = samples.min(self.owed);
        self.owed -= paid;
        let silence = samples - paid;
        self.queue.extend_front(silence)[..silence].fill(0.0);
    }
}
