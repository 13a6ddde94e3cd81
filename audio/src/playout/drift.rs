//! Two clocks that should run alike and do not: how much faster or slower to hand on what waits
//! between them, so that it neither runs out nor piles up.
//!
//! Pure, of whichever thread owns the queue. What goes in is by how much more waits than should;
//! what comes out is the ratio of a [`Resampler`](crate::Resampler) behind the queue.

use std::time::Duration;

/// Natural frequency of the observer, in radians per second. A step of 200 ppm then moves the queue
/// by 200e-6 / (e · 0.08) s = 0.9 ms at most, and 1 ms with the smoothing; slower would cost delay,
/// faster would follow jitter.
const NATURAL_FREQUENCY: f64 = 0.08;
/// Critically damped: no overshoot that would look like drift the other way.
const DAMPING: f64 = 1.0;
/// Parts of what was not foreseen that correct the foresight, and the drift: of s² + 2ζω s + ω², the
/// middle and the last.
const FORESIGHT_GAIN: f64 = 2.0 * DAMPING * NATURAL_FREQUENCY;
const DRIFT_GAIN: f64 = NATURAL_FREQUENCY * NATURAL_FREQUENCY;
/// Part of the error that is worked off in a second: as fast as the observer, so that together they
/// are a loop of second order.
const ERROR_GAIN: f64 = 2.0 * NATURAL_FREQUENCY;
/// Smoothing of the error, in seconds. At the loop's crossover of 0.16 rad/s it costs 9° of the 76°
/// of phase margin, and queues that fill and empty by whole periods of a device become steady.
const SMOOTHING: f64 = 1.0;
/// So much later, in seconds, a change of the ratio shows in the smoothed error; a queue that is
/// itself judged by its last seconds adds to it.
const LAG: f64 = 1.5;
/// In seconds. What was not foreseen by more than this is no drift but a stall, a burst or another
/// line: it teaches nothing, and neither do the next seconds, until it is smoothed away.
const LEARNABLE: f64 = 0.005;
const UNTEACHABLE_FOR: f64 = 4.0 * SMOOTHING;
/// In seconds. A greater step of the error counts as one of this, so that it is smoothed away in time.
const LARGEST_STEP: f64 = 0.05;
/// In seconds. A greater error is worked off no faster, so that nobody hears it.
const REACH: f64 = 0.003;
/// The most by which the pitch is changed: 500 ppm are 0.9 cents, a fifth of what trained ears tell
/// apart; crystals differ by 200 ppm at the very most.
const LIMIT: f64 = 500e-6;
/// Longer than this without an update, and it counts as so long: what happened meanwhile is unknown.
const LONGEST_STEP: f64 = 0.5;

/// Learns the drift between the clock that fills a queue and the clock that empties it, and keeps
/// the queue where it should be: an observer of second order foresees the error from the drift that
/// it believes in and learns from what comes otherwise; the ratio makes up for that drift and for a
/// part of the error.
#[derive(Debug, Clone)]
pub struct DriftControl {
    sample_rate_hz: f64,
    /// Smoothed error, and what was foreseen of it, in seconds; `None` until something is known.
    error: Option<(f64, f64)>,
    /// The emptying clock against the filling one, as a part of 1.
    drift: f64,
    correction: f64,
    /// What of the correction has come to show.
    shown: f64,
    /// Seconds until something can be learned again.
    unteachable: f64,
}

impl DriftControl {
    /// For a queue of samples at this rate; supposes that the clocks agree.
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz: f64::from(sample_rate_hz.max(1)),
            error: None,
            drift: 0.0,
            correction: 0.0,
            shown: 0.0,
            unteachable: 0.0,
        }
    }

    /// So many samples per channel wait more than should (negative: fewer), so long after the
    /// update before. Returns the new [`Self::relative_ratio`].
    pub fn update(&mut self, error_samples: f64, elapsed: Duration) -> f64 {
        let elapsed = elapsed.as_secs_f64().min(LONGEST_STEP);
        let newest = error_samples / self.sample_rate_hz;
        if !newest.is_finite() {
            return self.relative_ratio();
        }
        let (mut error, mut foreseen) = self.error.unwrap_or((newest, newest));
        let newest = newest.clamp(error - LARGEST_STEP, error + LARGEST_STEP);
        error += (newest - error) * (1.0 - (-elapsed / SMOOTHING).exp());
        self.shown += (self.correction - self.shown) * (1.0 - (-elapsed / LAG).exp());
        foreseen += (self.shown - self.drift) * elapsed;
        let surprise = error - foreseen;
        self.unteachable -= elapsed;
        if surprise.abs() > LEARNABLE {
            self.unteachable = UNTEACHABLE_FOR;
        }
        if self.unteachable <= 0.0 {
            self.unteachable = 0.0;
            foreseen += FORESIGHT_GAIN * surprise * elapsed;
            self.drift -= DRIFT_GAIN * surprise * elapsed;
            self.drift = self.drift.clamp(-LIMIT, LIMIT);
        } else {
            foreseen = error;
        }
        self.error = Some((error, foreseen));
        let part = ERROR_GAIN * error.clamp(-REACH, REACH);
        self.correction = (self.drift - part).clamp(-LIMIT, LIMIT);
        self.relative_ratio()
    }

    /// To be called before an update whose error has changed by so many samples for a reason that
    /// is known and is not the clocks: some were put in or taken out, or others should wait.
    pub fn adjust(&mut self, samples: f64) {
        let seconds = samples / self.sample_rate_hz;
        if let Some((error, foreseen)) = self.error.as_mut().filter(|_| seconds.is_finite()) {
            *error += seconds;
            *foreseen += seconds;
        }
    }

    /// It is not known how much waits: what has been learned counts on, alone.
    pub fn hold(&mut self) {
        self.error = None;
        self.correction = self.drift;
        self.shown = self.drift;
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
    fn a_burst_that_nobody_announces_passes_and_moves_the_queue_by_two_milliseconds() {
        let mut queue = Queue::new(-200.0);
        for _ in 0..6_000 {
            queue.step(0.0);
        }
        for seen in [14_400.0, -14_400.0, 96_000.0] {
            let before = queue.control.ppm();
            for _ in 0..50 {
                queue.step(seen);
            }
            let (mut off, mut moved) = (0.0_f64, 0.0_f64);
            for _ in 0..3_500 {
                queue.step(0.0);
                off = off.max((queue.control.ppm() - before).abs());
                moved = moved.max(queue.ms().abs());
            }
            println!("{seen} for a second: at most {off:.0} ppm off, {moved:.2} ms");
            // Measured: 60 ppm and 1.9 ms, whatever the size, and then learned anew.
            assert!(off < 75.0 && moved < 2.5, "{seen}: {off} ppm, {moved} ms");
            assert!((queue.control.ppm() - before).abs() < 10.0, "{seen}");
        }
        let learned = queue.control.ppm();
        queue.control.hold();
        assert_eq!(queue.control.relative_ratio(), 1.0 + learned * 1e-6);
    }

    #[test]
    fn what_somebody_puts_in_or_takes_out_teaches_nothing() {
        let mut queue = Queue::new(100.0);
        for step in 0..60_000 {
            if step > 6_000 && step % 50 == 0 {
                // 0.3 ms each second, which only the ratio takes out again.
                queue.error += 14.4;
                queue.control.adjust(14.4);
            }
            queue.step(0.0);
            let learned = queue.control.ppm();
            assert!(step < 6_000 || (learned - 100.0).abs() < 25.0, "{learned}");
        }
        assert!(queue.ms() < 3.0, "{}", queue.ms());
        queue.control.adjust(f64::NAN);
        assert!(queue.control.update(0.0, STEP).is_finite());
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
