//! Whether the speaker passed over something: a device that finds nothing to take plays silence
//! instead, and takes the sound that was meant for that moment later. What waits is late from then
//! on, and nothing but the pace of the pulls tells. Pure; the jitter buffer's own.

use std::time::Duration;

use crate::Format;

/// Without a pull for so long, the speaker had stopped.
pub(crate) const STOPPED: Duration = Duration::from_millis(100);
/// No pause between two pulls counts as longer.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// The pace is judged once in so long, by the pull of it that was farthest ahead: pulls are uneven,
/// and a late one is made up for by the next.
const SPAN: Duration = Duration::from_millis(100);
/// … and of so many pulls.
const MIN_PULLS: u32 = 3;
/// Having fallen behind by less may be a margin of the device that was changed.
const MIN_SKIPPED: Duration = Duration::from_millis(5);
/// Clocks differ by less than one part in so many.
const MAX_DRIFT_PART: i64 = 2_000;

#[derive(Debug)]
pub(crate) struct SpeakerPace {
    format: Format,
    /// The time of the last pull, and what was pulled at that time.
    last: Option<(Duration, usize)>,
    /// Said to have been played in silence since then.
    underrun: usize,
    /// Found to have been played in silence in this span, before anybody said so.
    found: usize,
    /// Pulls are known to come so much before the speaker takes what they pulled.
    early: i64,
    /// Pulled less what the time since the beginning of this span would take.
    ahead: i64,
    most_ahead: i64,
    /// The same at the end of the span before, from this beginning.
    usual: Option<i64>,
    begun: Duration,
    pulls: u32,
}

impl SpeakerPace {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            last: None,
            underrun: 0,
            found: 0,
            early: 0,
            ahead: 0,
            most_ahead: 0,
            usual: None,
            begun: Duration::ZERO,
            pulls: 0,
        }
    }

    /// The time of the last pull, and what was pulled at that time.
    pub(crate) fn last_pull(&self) -> Option<(Duration, usize)> {
        self.last
    }

    /// From now on pulls come so much before the speaker takes what they pulled.
    pub(crate) fn set_ahead(&mut self, samples: usize) {
        self.early = samples as i64;
    }

    /// The speaker played so much in silence: the pulls fall behind by that, and it is known. Returns
    /// how much of it was not found before.
    pub(crate) fn underrun(&mut self, samples: usize) -> usize {
        let new = samples.saturating_sub(self.found);
        self.found -= samples - new;
        self.underrun += new;
        new
    }

    /// So much is pulled. Returns how much less was pulled lately than the speaker has played: more
    /// than 100 ms at once, or what it does not make up for.
    pub(crate) fn pull(&mut self, wanted: usize, now: Duration) -> usize {
        let underrun = std::mem::take(&mut self.underrun);
        let Some((last, played)) = self.last else {
            self.begin(now);
            self.last = Some((now, wanted));
            return 0;
        };
        if last == now {
            self.last = Some((now, played + wanted));
            self.count(wanted + underrun, now);
            return 0;
        }
        self.last = Some((now, wanted));
        let pause = now.saturating_sub(last).min(MAX_PAUSE);
        let played = played + underrun;
        let unplayed = self.format.samples_in(pause).saturating_sub(played);
        if unplayed > self.format.samples_in(STOPPED) {
            self.usual = None;
            self.begin(now);
            self.found = unplayed;
            return unplayed;
        }
        let skipped = self.judge(now);
        self.count(wanted + underrun, now);
        skipped
    }

    fn count(&mut self, wanted: usize, now: Duration) {
        let passed = now.saturating_sub(self.begun).min(MAX_PAUSE);
        self.ahead += wanted as i64;
        let ahead = self.ahead - self.format.samples_in(passed) as i64 - self.early;
        self.most_ahead = if self.pulls == 0 {
            ahead
        } else {
            self.most_ahead.max(ahead)
        };
        self.pulls += 1;
    }

    fn judge(&mut self, now: Duration) -> usize {
        let span = now.saturating_sub(self.begun);
        if span < SPAN || self.pulls < MIN_PULLS {
            return 0;
        }
        let length = self.format.samples_in(span) as i64;
        let usual = self
            .usual
            .map_or(self.most_ahead, |usual| usual - length / MAX_DRIFT_PART);
        let behind = usual - self.most_ahead;
        // From here on, counted from now.
        let carried = self.ahead - length;
        self.begun = now;
        self.ahead = carried;
        self.pulls = 0;
        if behind > self.format.samples_in(MIN_SKIPPED) as i64 {
            self.usual = Some(self.most_ahead);
            self.found = usize::try_from(behind).unwrap_or(0);
            return self.found;
        }
        self.found = 0;
        self.usual = Some(usual.max(self.most_ahead));
        0
    }

    fn begin(&mut self, now: Duration) {
        self.begun = now;
        self.ahead = 0;
        self.most_ahead = 0;
        self.pulls = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 48_000;

    /// Pulls of a device that takes `step` samples at a time, its clock off by `ppm`, from an engine
    /// that looks every 2.1 ms, sleeps from `asleep.0` to `asleep.1` (in µs) and plays silence then.
    fn skipped(step: u64, ppm: f64, asleep: (u64, u64)) -> (usize, u64) {
        skipped_by(step, ppm, asleep, |_, _| ())
    }

    /// The same, `tell` being called with what was played in silence.
    fn skipped_by(
        step: u64,
        ppm: f64,
        asleep: (u64, u64),
        tell: impl Fn(&mut SpeakerPace, usize),
    ) -> (usize, u64) {
        let mut pace = SpeakerPace::new(Format::OPUS_48K_MONO);
        let (mut put, mut total, mut silent) = (0, 0, 0);
        for poll in 0..30_000_u64 {
            let us = poll * 2_100 + poll * 37 % 400;
            if (asleep.0..asleep.1).contains(&us) {
                continue;
            }
            let taken = |us: u64| {
                let exact = us as f64 * (1.0 + ppm * 1e-6) * RATE as f64 / 1e6;
                exact as u64 / step * step
            };
            if taken(us) > put {
                silent += taken(us) - put;
                tell(&mut pace, (taken(us) - put) as usize);
                put = taken(us);
            }
            let needed = taken(us + 5_000);
            if needed > put {
                let now = Duration::from_micros(us);
                total += pace.pull((needed - put) as usize, now);
                put = needed;
            }
        }
        (total, silent)
    }

    #[test]
    fn uneven_pulls_and_drifting_clocks_pass_over_nothing() {
        for step in [24, 240, 256, 480, 512, 1_024] {
            for ppm in [-200.0, -52.0, 0.0, 200.0] {
                assert_eq!(skipped(step, ppm, (0, 0)), (0, 0), "{step} {ppm}");
            }
        }
    }

    #[test]
    fn what_a_device_played_in_silence_is_found() {
        for step in [24, 240, 256, 480, 512] {
            for ppm in [-200.0, 0.0, 200.0] {
                for length in [15_000, 30_000, 60_000, 90_000] {
                    let (found, silent) = skipped(step, ppm, (10_000_000, 10_000_000 + length));
                    let off = found as i64 - silent as i64;
                    assert!(
                        off.abs() <= 144 || silent < 480,
                        "{step} {ppm} {length}: {found} of {silent}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_the_device_told_is_not_found_once_more() {
        for step in [24, 240, 480] {
            for length in [15_000, 90_000, 300_000] {
                let asleep = (10_000_000, 10_000_000 + length);
                let (found, silent) = skipped_by(step, 0.0, asleep, |pace, silent| {
                    pace.underrun(silent);
                });
                assert!(
                    silent > 0 && found <= 144,
                    "{step} {length}: {found} of {silent}"
                );
            }
        }
    }

    #[test]
    fn what_was_found_is_not_told_once_more() {
        let mut pace = SpeakerPace::new(Format::OPUS_48K_MONO);
        let at = Duration::from_millis;
        for pull in 0..30 {
            assert_eq!(pace.pull(480, at(10 * pull)), 0);
        }
        assert_eq!(pace.pull(480, at(410)), 5_280);
        assert_eq!(pace.underrun(4_000), 0);
        assert_eq!(pace.underrun(2_000), 720, "what is more is new");
        for pull in 42..80 {
            pace.pull(480, at(10 * pull));
        }
        assert_eq!(pace.underrun(480), 480);
    }

    #[test]
    fn a_speaker_that_stood_still_is_seen_at_once() {
        let mut pace = SpeakerPace::new(Format::OPUS_48K_MONO);
        let at = Duration::from_millis;
        assert_eq!(pace.pull(480, at(0)), 0);
        assert_eq!(pace.pull(480, at(10)), 0);
        assert_eq!(pace.pull(480, at(510)), 24_000 - 480);
        assert_eq!(pace.pull(480, at(520)), 0);
    }
}
