//! How old the sound is that is being played: what was known of each chunk when it arrived, found
//! again when the jitter buffer gives it out.
//!
//! Judged at the speaker and not at the arrival, because what waits may still be cut or stretched.
//! Runs on the engine thread; pure.

use std::{collections::VecDeque, time::Duration};

use super::{capture_path::micros, delay::Stages};

/// Chunks remembered behind the one that is played: an insertion of the jitter buffer moves the
/// place of what is heard back by a period of the voice.
const BEHIND: usize = 16;

/// More chunks never wait: the bound on memory.
const MOST: usize = 2_048;

/// The chunks that wait in the jitter buffer, oldest first.
#[derive(Debug, Default)]
pub struct HeardDelay {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// At its first sample, when it came to the engine; `None`: nobody tells.
    stages: Option<Stages>,
    came: Duration,
    length: Duration,
}

impl HeardDelay {
    /// A chunk of this length has gone into the jitter buffer, which grew by so much: what is more
    /// than the chunk is no sound, but a guess in place of what is missing before it.
    pub fn insert(
        &mut self,
        stages: Option<Stages>,
        length: Duration,
        grown: Duration,
        now: Duration,
    ) {
        let guessed = grown.saturating_sub(length);
        if !guessed.is_zero() {
            self.push(None, guessed, now);
        }
        self.push(stages, length, now);
    }

    fn push(&mut self, stages: Option<Stages>, length: Duration, now: Duration) {
        if self.waiting.len() == MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            stages,
            came: now,
            length,
        });
    }

    /// A new stream begins.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }

    /// The stages of what is taken out of the jitter buffer now, with `depth` waiting before it is
    /// taken out, until it leaves the jitter buffer. `None` if nobody tells.
    pub fn pull(&mut self, depth: Duration, now: Duration) -> Option<Stages> {
        if depth.is_zero() {
            return None;
        }
        // The newest chunk is the last to come out, so the place of the next sample is found from
        // the end.
        let mut reached = Duration::ZERO;
        let (index, &chunk) = self.waiting.iter().enumerate().rev().find(|(_, chunk)| {
            reached += chunk.length;
            reached >= depth
        })?;
        let offset = reached - depth;
        self.waiting.drain(..index.saturating_sub(BEHIND));
        // Later samples of a chunk were so much later at the microphone too.
        let waited = now.saturating_sub(chunk.came).saturating_sub(offset);
        let mut stages = chunk.stages?;
        stages.jitter_buffer = micros(waited);
        Some(stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn arrival(age_us: u32) -> Option<Stages> {
        Some(Stages {
            uplink: age_us,
            ..Stages::default()
        })
    }

    #[test]
    fn sound_waits_from_its_arrival_until_it_is_taken_out() {
        let mut heard = HeardDelay::default();
        // Ten chunks of 10 ms, and 25 ms wait when the first is taken out, 2.5 ms at a time.
        for n in 0..10 {
            heard.insert(arrival(30_000), ms(10), ms(10), ms(10 * n));
            if n < 2 {
                continue;
            }
            for quarter in 0..4 {
                let taken_out = Duration::from_micros(2_500) * quarter;
                let depth = ms(30) - taken_out;
                let now = ms(10 * n) + taken_out;
                let stages = heard.pull(depth, now).unwrap();
                assert_eq!((stages.uplink, stages.jitter_buffer), (30_000, 20_000));
            }
        }
    }

    #[test]
    fn what_was_cut_did_not_wait() {
        let mut heard = HeardDelay::default();
        for n in 0..30 {
            heard.insert(arrival(2_000_000 - 10_000 * n), ms(10), ms(10), ms(2_000));
        }
        // All came at once; 200 ms of it are gone, and the rest is only so late.
        let stages = heard.pull(ms(100), ms(2_000)).unwrap();
        assert_eq!(stages.total(), 2_000_000 - 200_000);
    }

    #[test]
    fn what_was_inserted_waited_longer() {
        let mut heard = HeardDelay::default();
        for n in 0..20 {
            heard.insert(arrival(1_000), ms(10), ms(10), ms(10 * n));
        }
        assert_eq!(heard.pull(ms(10), ms(190)).unwrap().jitter_buffer, 0);
        // The same sound once more, 8 ms later.
        let again = heard.pull(ms(10), ms(198)).unwrap();
        assert_eq!(again.jitter_buffer, 8_000);
        assert_eq!(heard.pull(ms(18), ms(198)).unwrap().jitter_buffer, 16_000);
    }

    #[test]
    fn a_guess_before_a_chunk_has_no_age_and_moves_nothing() {
        let mut heard = HeardDelay::default();
        heard.insert(arrival(40_000), ms(10), ms(10), ms(0));
        heard.insert(arrival(20_000), ms(10), ms(70), ms(0));
        assert_eq!(heard.pull(ms(80), ms(5)).unwrap().uplink, 40_000);
        assert_eq!(heard.pull(ms(70), ms(15)), None);
        assert_eq!(heard.pull(ms(10), ms(75)).unwrap().total(), 95_000);
    }

    #[test]
    fn an_empty_buffer_and_an_unknown_age_tell_nothing() {
        let mut heard = HeardDelay::default();
        assert_eq!(heard.pull(ms(0), ms(5)), None);
        heard.insert(None, ms(10), ms(10), ms(5));
        assert_eq!(heard.pull(ms(10), ms(6)), None);
        assert_eq!(heard.pull(ms(0), ms(6)), None);
        heard.insert(arrival(1_000), ms(10), ms(10), ms(15));
        assert!(heard.pull(ms(10), ms(16)).is_some());
        heard.forget();
        assert_eq!(heard.pull(ms(10), ms(16)), None);
    }
}
