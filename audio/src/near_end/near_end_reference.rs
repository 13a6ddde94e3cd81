//! What the loudspeaker plays, kept for the echo canceller until the microphone hears it.
//!
//! Runs on the engine thread, never in a device callback. Pure. Speaker and microphone have clocks of
//! their own and latencies of their own. What was played is brought to 48 kHz and waits in a queue
//! from which 10 ms are taken for each 10 ms captured; how long it has to wait follows from the two
//! latencies, and a drift loop keeps it so for hours.
//!
//! A reference that is later than its echo is of no use at all; one that is early costs nothing
//! until it is earlier than the canceller searches (0.4 s). So it is kept early by 40 ms,
//! because hosts are wrong about their latencies.

use std::time::Duration;

use crate::{
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    playout::DriftControl,
    processing::{Resampler, ResamplerError, SampleFifo},
};

/// How much earlier than the estimated echo the reference is.
const HEADROOM: Duration = Duration::from_millis(40);

/// But it waits so long at least: shorter latencies than these are not believed either, and a queue
/// that is looked at every few milliseconds must not be empty when it is.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Latencies beyond this are not believed.
const MOST: Duration = Duration::from_millis(500);

/// When the queue is longer than wanted by this, it is no drift: a device stood still, was opened
/// again, or has learned better of its latency. Then it is put right at once, and the canceller has
/// to find the echo again. It is too short as soon as it is empty: nothing would be left of the
/// reference.
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
            // Another device, or the same opened again: where it stands has nothing to do with before.
            self.realign();
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
            .saturating_sub(HEADROOM)
            .max(LEAST_WAIT);
        let wait = wait.as_secs_f64() * f64::from(SAMPLE_RATE_HZ);
        let wanted = wait + unframed as f64;
        let surplus = self.queue.len() as f64 - self.owed as f64 - wanted;
        let passed = now.saturating_sub(self.aligned);
        self.aligned = now;
        let smoothed = self.surplus.map(|smoothed| {
            smoothed + (1.0 - (-passed.as_secs_f64() / SMOOTHING_S).exp()) * (surplus - smoothed)
        });
        match smoothed {
            Some(smoothed) if (-wait..=JUMP_SAMPLES).contains(&smoothed) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{lag, noise, rms_db};

    const MS: Duration = Duration::from_millis(1);

    /// Both directions in steps of 10 ms for `seconds`: returns what was played and what was read,
    /// of the last second.
    struct Devices {
        reference: RenderReference,
        now: Duration,
        /// Of the speaker's clock against the microphone's.
        drift_ppm: f64,
        render_latency: Duration,
        capture_latency: Duration,
        due: f64,
        played: Vec<f32>,
        read: Vec<f32>,
    }

    impl Devices {
        fn new(render_latency: Duration, capture_latency: Duration, drift_ppm: f64) -> Self {
            Self {
                reference: RenderReference::new(48_000).unwrap(),
                now: Duration::ZERO,
                drift_ppm,
                render_latency,
                capture_latency,
                due: 0.0,
                played: Vec::new(),
                read: Vec::new(),
            }
        }

        fn run(&mut self, seconds: u64) {
            let sound = noise(0.3, 5, 481 * 100 * seconds as usize);
            let mut sound = sound.into_iter();
            for _ in 0..seconds * 100 {
                self.now += 10 * MS;
                self.due += 480.0 * (1.0 + self.drift_ppm * 1e-6);
                let count = self.due as usize;
                self.due -= count as f64;
                let piece: Vec<f32> = sound.by_ref().take(count).collect();
                self.reference.push(&piece, 48_000).unwrap();
                self.played.extend(piece);
                self.capture();
            }
        }

        fn capture(&mut self) {
            self.reference
                .align(self.render_latency, self.capture_latency, 480, self.now);
            let mut frame = [0.0; SAMPLES_PER_CHANNEL];
            self.reference.read(&mut frame);
            self.read.extend_from_slice(&frame);
        }

        /// How much later than what is played now is what is read now, in milliseconds.
        fn lag_ms(&self) -> f64 {
            let last = |samples: &[f32]| samples[samples.len() - 24_000..].to_vec();
            lag(&last(&self.played), &last(&self.read), 12_000) / 48.0
        }
    }

    #[test]
    fn what_was_played_waits_as_long_as_the_latencies_say_less_the_headroom() {
        for (render_ms, capture_ms, wait_ms) in [(30, 10, 10), (70, 30, 60), (150, 90, 200)] {
            let mut devices = Devices::new(render_ms * MS, capture_ms * MS, 0.0);
            devices.run(3);
            let lag_ms = devices.lag_ms();
            // And the resampler, which counts as little.
            let off = lag_ms - f64::from(wait_ms);
            assert!(
                (0.0..1.0).contains(&off),
                "{render_ms} + {capture_ms}: {lag_ms} ms"
            );
        }
    }

    #[test]
    fn clocks_that_drift_apart_do_not_move_it() {
        for drift_ppm in [-200.0, 200.0] {
            let mut devices = Devices::new(70 * MS, 30 * MS, drift_ppm);
            devices.run(1);
            let before = devices.lag_ms();
            for minute in 0..5 {
                devices.run(60);
                let moved = devices.lag_ms() - before;
                assert!(
                    moved.abs() < 1.5,
                    "{drift_ppm} ppm, minute {minute}: {moved} ms"
                );
            }
        }
    }

    #[test]
    fn what_is_late_does_not_move_what_follows() {
        let mut devices = Devices::new(60 * MS, 20 * MS, 0.0);
        devices.run(3);
        let before = devices.lag_ms();
        // The engine plays 80 ms late, and then all of it.
        for _ in 0..8 {
            devices.now += 10 * MS;
            devices.reference.align(140 * MS, 20 * MS, 480, devices.now);
            let mut frame = [0.0; SAMPLES_PER_CHANNEL];
            devices.reference.read(&mut frame);
            devices.read.extend_from_slice(&frame);
        }
        let late = noise(0.3, 11, 8 * 480);
        devices.reference.push(&late, 48_000).unwrap();
        devices.played.extend(late);
        devices.run(1);
        assert!(
            (devices.lag_ms() - before).abs() < 1.0,
            "{} ms",
            devices.lag_ms()
        );
    }

    #[test]
    fn a_queue_that_runs_dry_is_soon_filled_again() {
        let mut devices = Devices::new(30 * MS, 10 * MS, 0.0);
        devices.run(3);
        let before = devices.lag_ms();
        // A microphone that gave more than the speaker took, once.
        devices.capture();
        devices.capture();
        devices.run(2);
        let heard = rms_db(&devices.read[devices.read.len() - 24_000..]);
        assert!((heard - rms_db(&devices.played)).abs() < 0.5, "{heard} dB");
        assert!(
            (devices.lag_ms() - before).abs() < 1.0,
            "{} ms",
            devices.lag_ms()
        );
    }

    #[test]
    fn a_device_that_is_opened_again_with_another_latency_is_followed_at_once() {
        let mut devices = Devices::new(60 * MS, 20 * MS, 0.0);
        devices.run(3);
        devices.render_latency = 160 * MS;
        devices.reference.realign();
        devices.run(1);
        assert!(
            (devices.lag_ms() - 140.0).abs() < 1.0,
            "{} ms",
            devices.lag_ms()
        );
        // Without being told it takes it a moment.
        devices.render_latency = 60 * MS;
        devices.run(2);
        assert!(
            (devices.lag_ms() - 40.0).abs() < 1.0,
            "{} ms",
            devices.lag_ms()
        );
    }

    #[test]
    fn a_microphone_that_is_away_for_long_costs_no_memory() {
        let mut reference = RenderReference::new(44_100).unwrap();
        for _ in 0..1_000 {
            reference.push(&[0.1; 4_410], 44_100).unwrap();
            assert!(reference.queue.len() <= CAPACITY);
        }
    }
}
