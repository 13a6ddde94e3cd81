//! Two clocks that should run alike and do not: how much faster or slower to hand on what waits
//! between them, so that it neither runs out nor piles up.
//!
//! Pure, of whichever thread owns the queue. What goes in is by how much more waits than should;
//! what comes out is the ratio of a [`Resampler`](crate::Resampler) behind the queue.

use std::time::Duration;

/// Natural frequency of the loop, in radians per second. A step of 200 ppm then moves the queue by
/// 200e-6 / (e · 0.08) s = 0.9 ms at most, and 1 ms with the smoothing; slower would cost delay,
/// faster would follow jitter.
const NATURAL_FREQUENCY: f64 = 0.08;
/// Critically damped: no overshoot that would look like drift the other way.
const DAMPING: f64 = 1.0;
/// Parts of the error per second that are worked off: of s² + 2ζω s + ω², the middle.
const PROPORTIONAL: f64 = 2.0 * DAMPING * NATURAL_FREQUENCY;
const INTEGRAL: f64 = NATURAL_FREQUENCY * NATURAL_FREQUENCY;
/// Smoothing of the error, in seconds. At the loop's crossover of 0.16 rad/s it costs 9° of the 76°
/// of phase margin, and queues that fill and empty by whole periods of a device become steady.
const SMOOTHING: f64 = 1.0;
/// In seconds. An error beyond this is no drift but a stall, a burst or another aim: it is worked
/// off as fast as nobody hears, and teaches nothing.
const REACH: f64 = 0.003;
/// The most by which the pitch is changed: 500 ppm are 0.9 cents, a fifth of what trained ears tell
/// apart; crystals differ by 200 ppm at the very most.
const LIMIT: f64 = 500e-6;
/// Longer than this without an update, and it counts as so long: what happened meanwhile is unknown.
const LONGEST_STEP: f64 = 0.5;

/// Learns the drift between the clock that fills a queue and the clock that empties it: a
/// proportional-integral loop of second order, whose integral is the drift.
#[derive(Debug, Clone)]
pub struct DriftControl {
    sample_rate_hz: f64,
    /// Smoothed error in seconds.
    error: f64,
    /// The emptying clock against the filling one, as a part of 1.
    drift: f64,
    correction: f64,
}

impl DriftControl {
    /// For a queue of samples at this rate; supposes that the clocks agree.
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz: f64::from(sample_rate_hz.max(1)),
            error: 0.0,
            drift: 0.0,
            correction: 0.0,
        }
    }

    /// So many samples per channel wait more than should (negative: fewer), so long after the
    /// update before. Returns the new [`Self::relative_ratio`].
    pub fn update(&mut self, error_samples: f64, elapsed: Duration) -> f64 {
        let elapsed = elapsed.as_secs_f64().min(LONGEST_STEP);
        let error = error_samples / self.sample_rate_hz;
        if !error.is_finite() {
            return self.relative_ratio();
        }
        // Held to little more than the reach before it is smoothed, or a short burst would count
        // for as long as it takes to smooth it away.
        let error = error.clamp(-3.0 * REACH, 3.0 * REACH);
        self.error += (error - self.error) * (1.0 - (-elapsed / SMOOTHING).exp());
        if self.error.abs() < REACH {
            self.drift -= INTEGRAL * self.error * elapsed;
            self.drift = self.drift.clamp(-LIMIT, LIMIT);
        }
        let proportional = PROPORTIONAL * self.error.clamp(-REACH, REACH);
        self.correction = (self.drift - proportional).clamp(-LIMIT, LIMIT);
        self.relative_ratio()
    }

    /// It is not known how much waits: what has been learned counts on, alone.
    pub fn hold(&mut self) {
        self.error = 0.0;
        self.correction = self.drift;
    }

    /// How much a resampler behind the queue is to give out for what it takes, over what the nominal
    /// rates say.
    pub fn relative_ratio(&self) -> f64 {
        1.0 + self.correction
    }

    /// The learned drift: by how many parts per million the clock that empties the queue is faster
    /// than the one that fills it.
    pub fn ppm(&self) -> f64 {
        self.drift * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 48_000.0;
    const STEP: Duration = Duration::from_millis(20);

    /// A queue between two clocks, looked at every 20 ms.
    struct Queue {
        control: DriftControl,
        drift_ppm: f64,
        error: f64,
    }

    impl Queue {
        fn new(drift_ppm: f64) -> Self {
            Self {
                control: DriftControl::new(48_000),
                drift_ppm,
                error: 0.0,
            }
        }

        fn step(&mut self, seen: f64) {
            let ratio = self.control.update(self.error + seen, STEP);
            assert!((ratio - 1.0).abs() <= LIMIT * 1.000_1);
            let filled = RATE * STEP.as_secs_f64();
            self.error += filled - filled * (1.0 + self.drift_ppm * 1e-6) / ratio;
        }

        fn ms(&self) -> f64 {
            self.error * 1e3 / RATE
        }
    }

    #[test]
    fn eight_hours_of_drift_move_the_queue_by_a_millisecond_or_so() {
        for drift_ppm in [-200.0, -30.0, 0.0, 200.0] {
            let mut queue = Queue::new(drift_ppm);
            let mut most: f64 = 0.0;
            for step in 0..8 * 3_600 * 50 {
                queue.step(0.0);
                most = most.max(queue.ms().abs());
                if step == 3_000 {
                    assert!((queue.control.ppm() - drift_ppm).abs() < 20.0, "after 60 s");
                }
            }
            println!(
                "{drift_ppm} ppm: at most {most:.2} ms, in the end {:.6} ms",
                queue.ms()
            );
            assert!(most < 1.1, "{drift_ppm}: {most}");
            assert!(queue.ms().abs() < 0.001, "{drift_ppm}: {}", queue.ms());
            assert!((queue.control.ppm() - drift_ppm).abs() < 0.1);
        }
    }

    #[test]
    fn clocks_that_wander_with_the_temperature_are_followed() {
        let mut queue = Queue::new(0.0);
        for step in 0..8 * 3_600 * 50 {
            queue.drift_ppm = 100.0 + 50.0 * (f64::from(step) / 50.0 / 1_200.0).sin();
            queue.step(0.0);
            if step > 6_000 {
                assert!(queue.ms().abs() < 0.05, "{step} {}", queue.ms());
            }
        }
    }

    #[test]
    fn a_queue_that_is_filled_by_whole_periods_is_steady_all_the_same() {
        let mut queue = Queue::new(150.0);
        for step in 0..3_600 * 50 {
            // 20 ms come at once every 20 ms of another clock, so the phase of the look glides.
            let seen = (f64::from(step) * 0.317).fract() * 960.0 - 480.0;
            queue.step(seen);
            if step > 6_000 {
                assert!(queue.ms().abs() < 0.5, "{step} {}", queue.ms());
                assert!((queue.control.ppm() - 150.0).abs() < 15.0);
            }
        }
    }

    #[test]
    fn a_stall_does_not_throw_the_estimate_off() {
        let mut queue = Queue::new(-200.0);
        for _ in 0..6_000 {
            queue.step(0.0);
        }
        for seen in [14_400.0, -14_400.0, 96_000.0] {
            let before = queue.control.ppm();
            for _ in 0..50 {
                queue.step(seen);
            }
            for _ in 0..500 {
                queue.step(0.0);
                let off = (queue.control.ppm() - before).abs();
                assert!(off < 40.0, "{seen}: {off} ppm");
                assert!(queue.ms().abs() < 1.5, "{seen}: {} ms", queue.ms());
            }
            for _ in 0..3_000 {
                queue.step(0.0);
            }
        }
        let learned = queue.control.ppm();
        queue.control.hold();
        assert_eq!(queue.control.relative_ratio(), 1.0 + learned * 1e-6);
    }

    #[test]
    fn nonsense_is_ignored_and_what_is_too_much_is_limited() {
        let mut control = DriftControl::new(0);
        for error in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            assert_eq!(control.update(error, STEP), 1.0);
        }
        let mut control = DriftControl::new(48_000);
        for _ in 0..100_000 {
            let ratio = control.update(-100.0, Duration::from_secs(1_000));
            assert!((1.0..=1.0 + LIMIT * 1.000_1).contains(&ratio));
        }
        assert!((control.ppm() - LIMIT * 1e6).abs() < 1e-6);
    }
}
