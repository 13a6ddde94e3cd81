//! Whether a leg pours: whether more sound comes of it than time passes. Pure: time comes in as a
//! number.

use std::time::Duration;

/// So much more sound than time has passed may come of a leg before it counts as one that pours: the
/// longest chunk.
const HEAD_START: Duration = Duration::from_millis(120);

/// A leg's head start is this part of the time since its first sound, until it is whole. Many legs
/// that begin to pour at once would have all of theirs at once.
const HEAD_START_PART: u32 = 4;

/// Of sound that comes so many percent too fast nothing adds up: no clock is so wrong.
const MAX_DRIFT_PERCENT: u32 = 5;

/// A line that comes back after a stall brings much at once, which is not poured; for so long at
/// most, so that nobody saves up for an hour.
const MAX_STALL: Duration = Duration::from_secs(10);

/// So many times as fast as it lasts is a stream worked on that pours while others do not.
pub(crate) const MAX_SPEED: u32 = 20;

/// A clock may be fast by so many parts of 2,000, which is 500 ppm: what is faster pours, and is held.
const MAX_CLOCK_DRIFT: u32 = 1;

/// What a peer may be late by in a call of several and still be read at once: who was silent for long and pours
/// then is not late. What a longer stall held up stays late.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// Sound may come so much earlier than it is heard in a call of several: what a line's jitter makes of sound
/// in time, and the longest chunk but one.
const MAX_LEAD: Duration = Duration::from_millis(80);

/// What is waited for at once: short waits cost more than they are worth.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// The sound of one leg against time.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When its first sound came.
    began: Option<Duration>,
    /// When all that came would have been heard.
    heard_at: Duration,
    /// When what was poured would have been heard at the greatest speed.
    poured_at: Duration,
    /// When all that came would have been heard in a call of several, by a clock that is a little fast.
    played_at: Duration,
}

impl Pace {
    /// Takes note of so much sound.
    pub(crate) fn came(&mut self, media: Duration, now: Duration) {
        if self.pours(now) {
            self.poured_at = self.poured_at.max(now) + media / MAX_SPEED;
        }
        if !media.is_zero() && self.began.is_none() {
            // What was not said before is not saved up.
            self.began = Some(now);
            self.heard_at = now;
        }
        let played = media * 2_000 / (2_000 + MAX_CLOCK_DRIFT);
        self.played_at = self.played_at.max(now.saturating_sub(MAX_LATENESS)) + played;
        let media = media * 100 / (100 + MAX_DRIFT_PERCENT);
        self.heard_at = self.heard_at.max(now.saturating_sub(MAX_STALL)) + media;
    }

    /// Whether the leg is ahead of time.
    pub(crate) fn pours(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.began.unwrap_or(now));
        self.heard_at > now + HEAD_START.min(age / HEAD_START_PART)
    }

    /// How long the next chunk is left unread where it is heard at the pace of time.
    pub(crate) fn early(&self, now: Duration) -> Option<Duration> {
        let wait = self.played_at.saturating_sub(now + MAX_LEAD);
        (!wait.is_zero()).then_some(wait)
    }

    /// What came before is not heard any more: it was answered at once.
    pub(crate) fn begin_in_time(&mut self, now: Duration) {
        self.played_at = now;
    }

    /// How long the next chunk is left unread, beside legs that do not pour.
    pub(crate) fn wait(&self, now: Duration) -> Option<Duration> {
        let wait = self.poured_at.saturating_sub(now);
        (wait >= SHORTEST_WAIT).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: Duration = Duration::from_millis(20);

    #[test]
    fn what_comes_ahead_of_time_is_poured_and_what_a_stall_held_up_is_not() {
        let mut pace = Pace::default();
        let mut now = Duration::ZERO;
        for _ in 0..50 {
            pace.came(CHUNK, now);
            now += CHUNK;
        }
        let mut ahead = Duration::ZERO;
        while !pace.pours(now) {
            pace.came(CHUNK, now);
            ahead += CHUNK;
        }
        assert!((120..=200).contains(&ahead.as_millis()), "{ahead:?}");
        // In time again, then a stall of five seconds, all of which comes at its end.
        now += Duration::from_secs(5);
        assert!(!pace.pours(now));
        for _ in 0..250 {
            pace.came(CHUNK, now);
            assert!(!pace.pours(now));
        }
        // Whoever was silent for an hour has saved up ten seconds of it.
        now += Duration::from_secs(3_600);
        let mut came = Duration::ZERO;
        while !pace.pours(now) {
            pace.came(CHUNK, now);
            came += CHUNK;
        }
        assert!((10..=12).contains(&came.as_secs()), "{came:?}");
    }

    #[test]
    fn a_leg_that_begins_has_no_head_start_yet_however_long_it_was_silent() {
        for silent in [Duration::ZERO, Duration::from_secs(60)] {
            let mut pace = Pace::default();
            pace.came(Duration::ZERO, Duration::ZERO);
            assert!(!pace.pours(silent));
            pace.came(CHUNK, silent);
            assert!(pace.pours(silent));
            assert!(!pace.pours(silent + CHUNK));
        }
        for (age_ms, most_ms) in [(100, 45), (200, 70), (480, 140), (1_000, 140)] {
            let mut pace = Pace::default();
            let age = Duration::from_millis(age_ms);
            let mut now = Duration::ZERO;
            while now < age {
                pace.came(CHUNK, now);
                now += CHUNK;
            }
            let mut ahead = Duration::ZERO;
            while !pace.pours(age) {
                pace.came(CHUNK, age);
                ahead += CHUNK;
            }
            let most = Duration::from_millis(most_ms + 2 * age_ms / 20);
            assert!(ahead <= most, "{ahead:?} ahead at an age of {age:?}");
        }
    }

    #[test]
    fn in_a_call_what_is_poured_is_held_and_a_fast_clock_never() {
        let mut pace = Pace::default();
        let (mut now, mut came) = (Duration::ZERO, Duration::ZERO);
        while now < Duration::from_secs(60) {
            now += pace.early(now).unwrap_or_default();
            pace.came(CHUNK, now);
            came += CHUNK;
        }
        let ahead = came.saturating_sub(now);
        assert!((60..=150).contains(&ahead.as_millis()), "{ahead:?}");
        let (mut pace, mut now) = (Pace::default(), Duration::ZERO);
        while now < Duration::from_secs(8 * 3_600) {
            // 200 ppm.
            now += CHUNK - CHUNK / 5_000;
            assert_eq!(pace.early(now), None, "after {now:?}");
            pace.came(CHUNK, now);
        }
        // Nobody saves up by being silent.
        let (mut pace, now) = (Pace::default(), Duration::from_secs(60));
        pace.came(CHUNK, Duration::ZERO);
        let mut came = Duration::ZERO;
        while pace.early(now).is_none() {
            pace.came(CHUNK, now);
            came += CHUNK;
        }
        assert!((1_000..=1_200).contains(&came.as_millis()), "{came:?}");
        // What was poured while it was answered at once is not waited for.
        let mut pace = Pace::default();
        for _ in 0..1_000 {
            pace.came(CHUNK, Duration::ZERO);
        }
        pace.begin_in_time(CHUNK);
        assert_eq!(pace.early(CHUNK), None);
    }

    #[test]
    fn a_fast_clock_pours_nothing_in_a_day() {
        let (mut pace, mut now) = (Pace::default(), Duration::ZERO);
        while now < Duration::from_secs(86_400) {
            now += CHUNK * 99 / 100;
            assert!(!pace.pours(now), "after {now:?}");
            pace.came(CHUNK, now);
        }
    }

    #[test]
    fn what_is_poured_goes_so_many_times_as_fast_and_no_faster() {
        let (mut pace, mut now, mut came) = (Pace::default(), Duration::ZERO, Duration::ZERO);
        while now < Duration::from_secs(10) {
            now += pace.wait(now).unwrap_or_default();
            pace.came(CHUNK, now);
            came += CHUNK;
        }
        let times = came.as_secs_f64() / now.as_secs_f64();
        assert!((times - f64::from(MAX_SPEED)).abs() < 0.5, "{times}");
    }
}
