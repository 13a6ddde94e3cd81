//! Brownian motion that can be entered on any day: the randomness of the market's prices.
//!
//! A day has two parts, the night, in which nobody trades, and the session of [`DAY_TICKS`] ticks.
//! How far the motion gets in each is drawn first, from the day alone; the session's way there is a
//! Brownian bridge, drawn tick by tick. So a day begins without the days before it being walked
//! through, and yet the whole is Brownian motion: increments are independent and normal, and their
//! variance is the time they take.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::StandardNormal;

use super::instrument::scramble;

/// Ticks in a trading day: at one a second, New York's six and a half hours.
pub(super) const DAY_TICKS: u64 = 23_400;

/// The share of a day's variance that falls into the night.
pub(super) const NIGHT: f64 = 0.2;

/// The share of a day's variance in one tick.
pub(super) const TICK: f64 = (1.0 - NIGHT) / DAY_TICKS as f64;

/// The motion at the end of every session so far: its value grows by a variance of 1 a day.
#[derive(Debug, Clone)]
pub(super) struct Days {
    key: u64,
    day: u64,
    /// Where the session before this day ended.
    close_before: f64,
}

impl Days {
    /// At the first day, at 0. Another key is another motion.
    pub(super) fn new(key: u64) -> Self {
        Self {
            key,
            day: 0,
            close_before: 0.0,
        }
    }

    /// Where the session before a day ended. Goes on from the day asked for last, never back.
    pub(super) fn close_before(&mut self, day: u64) -> f64 {
        while self.day < day {
            let (night, session) = self.increments(self.day);
            self.close_before += night + session;
            self.day += 1;
        }
        self.close_before
    }

    /// The session of a day that is not before the one asked for last.
    pub(super) fn session(&mut self, day: u64) -> Session {
        let close_before = self.close_before(day);
        let (night, session) = self.increments(day);
        let value = close_before + night;
        Session {
            value,
            close: value + session,
            left: DAY_TICKS,
            random: self.random(day, 1),
        }
    }

    fn increments(&self, day: u64) -> (f64, f64) {
        let mut random = self.random(day, 0);
        let night: f64 = random.sample(StandardNormal);
        let session: f64 = random.sample(StandardNormal);
        (night * NIGHT.sqrt(), session * (1.0 - NIGHT).sqrt())
    }

    fn random(&self, day: u64, what_for: u64) -> Xoshiro256PlusPlus {
        let seed = scramble(self.key ^ scramble(day << 1 | what_for));
        Xoshiro256PlusPlus::seed_from_u64(seed)
    }
}

/// One session's way from its open to its close.
#[derive(Debug, Clone)]
pub(super) struct Session {
    value: f64,
    close: f64,
    left: u64,
    random: Xoshiro256PlusPlus,
}

impl Session {
    /// The next tick's value; the last one's is the close, and so is all that would come after it.
    pub(super) fn step(&mut self) -> f64 {
        match self.left {
            0 | 1 => {
                self.left = 0;
                self.value = self.close;
            }
            left => {
                let left = left as f64;
                let deviation = (TICK * (left - 1.0) / left).sqrt();
                let noise: f64 = self.random.sample(StandardNormal);
                self.value += (self.close - self.value) / left + deviation * noise;
                self.left -= 1;
            }
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: u64, day: u64) -> Vec<f64> {
        let mut session = Days::new(key).session(day);
        (0..DAY_TICKS).map(|_| session.step()).collect()
    }

    #[test]
    fn days_are_the_same_whichever_was_entered_first() {
        let mut walked = Days::new(5);
        for day in 0..7 {
            let mut session = walked.session(day);
            let direct = path(5, day);
            assert!(direct.iter().all(|value| *value == session.step()));
        }
        assert_eq!(walked.close_before(6), *path(5, 5).last().expect("ticks"));
        assert_ne!(path(5, 0), path(6, 0));
    }

    #[test]
    fn increments_are_independent_and_their_variance_is_the_time() {
        // 200 sessions; bounds are 5 deviations of each estimate.
        let days: Vec<_> = (0..200).map(|key| path(key, 3)).collect();
        for distance in [1_usize, 60, 3_600] {
            let steps: Vec<f64> = days
                .iter()
                .flat_map(|day| {
                    day[..]
                        .chunks(distance)
                        .collect::<Vec<_>>()
                        .windows(2)
                        .map(|c| c[1][0] - c[0][0])
                        .collect::<Vec<_>>()
                })
                .collect();
            let count = steps.len() as f64;
            let variance = steps.iter().map(|s| s * s).sum::<f64>() / count;
            let expected = TICK * distance as f64;
            // The variance of a sample variance of normal numbers: 2 sigma^4 / n.
            let bound = 5.0 * (2.0 / count).sqrt();
            assert!(
                (variance / expected - 1.0).abs() < bound,
                "{distance}: {variance}"
            );
            let mean = steps.iter().sum::<f64>() / count;
            assert!(
                mean.abs() < 5.0 * (expected / count).sqrt(),
                "{distance}: {mean}"
            );
            let products = steps.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / count;
            let correlation = products / variance;
            assert!(
                correlation.abs() < 5.0 / count.sqrt(),
                "{distance}: {correlation}"
            );
        }
    }

    #[test]
    fn a_day_has_a_variance_of_one() {
        let mut days = Days::new(11);
        let mut closes = vec![0.0];
        closes.extend((1..=2_000).map(|day| days.close_before(day)));
        let steps: Vec<f64> = closes.windows(2).map(|w| w[1] - w[0]).collect();
        let variance = steps.iter().map(|s| s * s).sum::<f64>() / steps.len() as f64;
        assert!(
            (variance - 1.0).abs() < 5.0 * (2.0_f64 / 2_000.0).sqrt(),
            "{variance}"
        );
    }
}
