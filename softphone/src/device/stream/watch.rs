//! When to give a stream up and when to try again: decisions on a clock that is passed in.

use std::time::Duration;

use crate::device::RebuildReason;

/// A stream that has not called for this long is given up, error or not.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_millis(500);
/// … and after an error of the host already after this long. Errors alone mean little: ALSA over
/// PulseAudio reports up to 2,000 in the 80 ms in which it starts, and then plays; one that failed
/// reports 700,000 a second and never calls again.
const SILENCE_AFTER_ERROR: Duration = Duration::from_millis(150);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(2);
/// A supervisor that runs steps more often than this. In any longer time nobody watched: this program
/// stood still, and whoever does that hears nothing.
const UNWATCHED_AFTER: Duration = Duration::from_millis(250);
/// A stream that ran for this long is healthy: its next loss is a new story.
const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// What the supervisor must do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Keep,
    /// Drop the stream, aside.
    GiveUp(RebuildReason),
    /// Try to open it again, then report `opened` or `failed`.
    Open,
}

/// What a stream has shown until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Callbacks so far.
    pub(crate) callbacks: u64,
    /// Errors so far that may pass.
    pub(crate) backend_errors: u64,
    /// An error that does not.
    pub(crate) fault: Option<RebuildReason>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// `errors`: how many there were at the latest callback that was noticed.
    Running {
        since: Duration,
        callbacks: u64,
        last_callback: Duration,
        errors: u64,
    },
    Waiting {
        until: Duration,
    },
}

/// The decisions of one stream's supervisor.
#[derive(Debug)]
pub(crate) struct Watch {
    phase: Phase,
    backoff: Duration,
    stepped_at: Duration,
}

impl Watch {
    /// For a stream that was opened at `now`.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            phase: running(now),
            backoff: FIRST_BACKOFF,
            stepped_at: now,
        }
    }

    /// Decides at `now`, from what the stream has shown.
    pub(crate) fn step(&mut self, now: Duration, seen: Seen) -> Step {
        let passed = now.saturating_sub(std::mem::replace(&mut self.stepped_at, now));
        match &mut self.phase {
            Phase::Running {
                since,
                callbacks,
                last_callback,
                errors,
            } => {
                if seen.callbacks != *callbacks {
                    (*callbacks, *last_callback, *errors) =
                        (seen.callbacks, now, seen.backend_errors);
                } else if passed > UNWATCHED_AFTER {
                    *last_callback = now;
                }
                if now.saturating_sub(*since) >= HEALTHY_AFTER && *last_callback == now {
                    self.backoff = FIRST_BACKOFF;
                }
                let silence = now.saturating_sub(*last_callback);
                let failed = seen.backend_errors > *errors && silence >= SILENCE_AFTER_ERROR;
                let why = if let Some(fault) = seen.fault {
                    fault
                } else if failed {
                    RebuildReason::Backend
                } else if silence >= SILENCE_LIMIT {
                    RebuildReason::Silent
                } else {
                    return Step::Keep;
                };
                self.phase = Phase::Waiting {
                    until: now + self.backoff,
                };
                self.lengthen();
                Step::GiveUp(why)
            }
            Phase::Waiting { until } if now >= *until => Step::Open,
            Phase::Waiting { .. } => Step::Keep,
        }
    }

    /// The stream was opened again.
    pub(crate) fn opened(&mut self, now: Duration) {
        self.phase = running(now);
    }

    /// It could not be opened.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.phase = Phase::Waiting {
            until: now + self.backoff,
        };
        self.lengthen();
    }

    fn lengthen(&mut self) {
        self.backoff = (self.backoff * 2).min(LAST_BACKOFF);
    }
}

fn running(now: Duration) -> Phase {
    Phase::Running {
        since: now,
        callbacks: 0,
        last_callback: now,
        errors: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn calls(callbacks: u64) -> Seen {
        Seen {
            callbacks,
            ..Seen::default()
        }
    }

    fn fault(why: RebuildReason) -> Seen {
        Seen {
            fault: Some(why),
            ..Seen::default()
        }
    }

    /// Time of the first step that is not `Keep`, looking every 50 ms.
    fn next(watch: &mut Watch, from: u64, callbacks: impl Fn(u64) -> u64) -> (u64, Step) {
        (from..from + 60_000)
            .step_by(50)
            .find_map(|t| match watch.step(ms(t), calls(callbacks(t))) {
                Step::Keep => None,
                step => Some((t, step)),
            })
            .expect("something happens within a minute")
    }

    #[test]
    fn a_stream_that_calls_is_kept_for_hours() {
        let mut watch = Watch::new(Duration::ZERO);
        for t in (0..4 * 3_600_000).step_by(50) {
            assert_eq!(watch.step(ms(t), calls(t / 400)), Step::Keep, "at {t} ms");
        }
    }

    #[test]
    fn half_a_second_of_silence_is_the_end_of_a_stream() {
        let mut watch = Watch::new(Duration::ZERO);
        let (t, step) = next(&mut watch, 0, |t| (t / 10).min(300)); // calls until 3 s
        assert_eq!(step, Step::GiveUp(RebuildReason::Silent));
        assert!((3_500..=3_550).contains(&t), "{t} ms");
    }

    #[test]
    fn a_program_that_was_stopped_itself_does_not_take_its_streams_for_silent() {
        let mut watch = Watch::new(Duration::ZERO);
        assert_eq!(watch.step(ms(50), calls(5)), Step::Keep);
        // Stopped for a minute; the callbacks need a moment to come again.
        for t in (60_000..60_500).step_by(50) {
            assert_eq!(watch.step(ms(t), calls(5)), Step::Keep, "at {t} ms");
        }
        let (t, step) = next(&mut watch, 60_500, |_| 5);
        assert_eq!(step, Step::GiveUp(RebuildReason::Silent));
        assert!(t <= 60_500, "{t} ms");
    }

    #[test]
    fn a_fault_ends_it_at_once_though_it_still_calls() {
        let mut watch = Watch::new(Duration::ZERO);
        assert_eq!(watch.step(ms(50), calls(5)), Step::Keep);
        assert_eq!(
            watch.step(ms(100), fault(RebuildReason::Unavailable)),
            Step::GiveUp(RebuildReason::Unavailable)
        );
        // Given up once, not at every look.
        assert_eq!(
            watch.step(ms(150), fault(RebuildReason::Unavailable)),
            Step::Keep
        );
    }

    #[test]
    fn a_few_errors_pass_while_callbacks_come() {
        let mut watch = Watch::new(Duration::ZERO);
        for t in (0..10_000).step_by(50) {
            let seen = Seen {
                callbacks: t / 10,
                backend_errors: t / 100,
                fault: None,
            };
            assert_eq!(watch.step(ms(t), seen), Step::Keep, "at {t} ms");
        }
    }

    #[test]
    fn a_storm_while_a_stream_starts_passes() {
        let mut watch = Watch::new(Duration::ZERO);
        for (t, callbacks, backend_errors) in [(50, 3, 900), (100, 3, 1_800), (150, 7, 1_822)] {
            let seen = Seen {
                callbacks,
                backend_errors,
                fault: None,
            };
            assert_eq!(watch.step(ms(t), seen), Step::Keep, "at {t} ms");
        }
    }

    #[test]
    fn an_error_after_which_nothing_comes_ends_it_sooner_than_silence_alone() {
        let mut watch = Watch::new(Duration::ZERO);
        let seen = Seen {
            callbacks: 5,
            backend_errors: 0,
            fault: None,
        };
        assert_eq!(watch.step(ms(50), seen), Step::Keep);
        let seen = Seen {
            backend_errors: 1,
            ..seen
        };
        assert_eq!(watch.step(ms(100), seen), Step::Keep);
        assert_eq!(
            watch.step(ms(200), seen),
            Step::GiveUp(RebuildReason::Backend)
        );
    }

    #[test]
    fn attempts_come_at_a_quarter_half_one_and_then_every_two_seconds() {
        let mut watch = Watch::new(Duration::ZERO);
        watch.step(ms(0), fault(RebuildReason::Backend));
        let mut last = 0;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (t, step) = next(&mut watch, last, |_| 0);
            assert_eq!(step, Step::Open);
            waits.push(t - last);
            watch.failed(ms(t));
            last = t;
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 2000, 2000]);
    }

    #[test]
    fn a_stream_that_opens_and_dies_at_once_does_not_spin() {
        let mut watch = Watch::new(Duration::ZERO);
        let mut t = 0;
        let mut opens = 0;
        while t < 60_000 {
            match watch.step(ms(t), fault(RebuildReason::Backend)) {
                Step::Open => {
                    opens += 1;
                    watch.opened(ms(t));
                }
                _ => t += 50,
            }
        }
        assert!(opens <= 32, "{opens} attempts in a minute");
    }

    #[test]
    fn after_a_healthy_while_the_first_attempt_is_quick_again() {
        let mut watch = Watch::new(Duration::ZERO);
        watch.step(ms(0), fault(RebuildReason::Backend));
        for t in [250, 750, 1750, 3750] {
            watch.failed(ms(t));
        }
        watch.opened(ms(6_000));
        for t in (6_000..20_000).step_by(50) {
            assert_eq!(watch.step(ms(t), calls(t)), Step::Keep);
        }
        watch.step(ms(20_000), fault(RebuildReason::Backend));
        assert_eq!(next(&mut watch, 20_000, |_| 0), (20_250, Step::Open));
    }
}
