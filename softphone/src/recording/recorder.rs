//! The engine's end of a recording. Never waits: what does not fit into the queue is counted.

use audio::ResamplerError;

use super::{
    RATE_HZ,
    sample_queue::SampleQueue,
    track::{Batch, Mark, Track},
};

/// A side that is farther behind the other is taken to be away.
const MOST_BEHIND: i64 = RATE_HZ as i64;

/// What a recording is fed with.
pub struct Recorder {
    near: Track,
    far: Track,
    /// Where the newest sample that was played is on the timeline.
    mark: Option<Mark>,
    /// Left, right, left, right ...
    pairs: Vec<f32>,
    queue: SampleQueue,
}

impl Recorder {
    /// One that fills `queue`, of two channels.
    ///
    /// # Errors
    /// None in practice: its own rate is one that can be resampled.
    pub fn new(queue: SampleQueue) -> Result<Self, ResamplerError> {
        Ok(Self {
            near: Track::new(true)?,
            far: Track::new(false)?,
            mark: None,
            pairs: Vec::new(),
            queue,
        })
    }

    /// Takes what was said and played since the last call. Each may be empty.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn push(&mut self, near: &Batch<'_>, far: &Batch<'_>) -> Result<(), ResamplerError> {
        self.mark = self.far.push(far, self.mark)?;
        let near_mark = self.near.push(near, self.mark)?;
        // Where nothing was played yet, what was said begins the timeline.
        self.mark = self.mark.or(near_mark);
        let newest = self.near.position.max(self.far.position);
        self.near.fill_to(newest - MOST_BEHIND);
        self.far.fill_to(newest - MOST_BEHIND);
        self.queue_pairs();
        Ok(())
    }

    fn queue_pairs(&mut self) {
        let count = self.near.waiting.len().min(self.far.waiting.len());
        let near = self.near.waiting.drain(..count);
        let far = self.far.waiting.drain(..count);
        self.pairs.clear();
        self.pairs
            .extend(near.zip(far).flat_map(|(near, far)| [near, far]));
        self.queue.push(&self.pairs);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let newest = self.near.position.max(self.far.position);
        self.near.fill_to(newest);
        self.far.fill_to(newest);
        self.queue_pairs();
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_queue::Progress;
    use super::{super::track::FADE, *};
    use ringbuf::{HeapCons, traits::Consumer};
    use std::sync::{Arc, atomic::Ordering};

    fn recorder() -> (Recorder, HeapCons<f32>) {
        let (queue, samples) = SampleQueue::new(2_000_000, 2, Arc::default());
        (Recorder::new(queue).unwrap(), samples)
    }

    /// A sound whose value says when it was: `t` s after the origin.
    fn sound_at(t: f64) -> f32 {
        (t / 100.0) as f32
    }

    /// `seconds` of two devices, each with its own clock and its own delay, looked at every 10 ms.
    fn record(
        seconds: u32,
        near_ppm: f64,
        near_latency_s: f64,
        far_latency_s: f64,
        near_is_away: impl Fn(f64) -> bool,
    ) -> Vec<[f32; 2]> {
        let (mut recorder, mut samples) = recorder();
        let near_hz = 48_000.0 * (1.0 + near_ppm * 1e-6);
        let (mut said, mut played) = (0_u64, 0_u64);
        for tick in 1..=seconds * 100 {
            let now_s = f64::from(tick) / 100.0;
            let batch = |from: u64, to: u64, hz: f64, offset_s: f64| -> Vec<f32> {
                (from..to)
                    .map(|n| sound_at(n as f64 / hz + offset_s))
                    .collect()
            };
            let said_now = (now_s * near_hz) as u64;
            let played_now = (now_s * 48_000.0) as u64;
            let mut near = batch(said, said_now, near_hz, -near_latency_s);
            let far = batch(played, played_now, 48_000.0, far_latency_s);
            (said, played) = (said_now, played_now);
            if near_is_away(now_s) {
                near.clear();
            }
            recorder
                .push(
                    &Batch {
                        samples: &near,
                        sample_rate_hz: 48_000,
                        ends_s: now_s - near_latency_s,
                    },
                    &Batch {
                        samples: &far,
                        sample_rate_hz: 48_000,
                        ends_s: now_s + far_latency_s,
                    },
                )
                .unwrap();
        }
        drop(recorder);
        let samples: Vec<f32> = samples.pop_iter().collect();
        samples
            .chunks_exact(2)
            .map(|pair| [pair[0], pair[1]])
            .collect()
    }

    /// By how many samples left and right are of different moments, at most, where both sound.
    fn most_off(pairs: &[[f32; 2]]) -> f64 {
        // Beside silence it fades, and is not what it was.
        let is_sound = |pair: &[f32; 2]| pair[0] > 0.0 && pair[1] > 0.0;
        let all_sound = pairs.windows(2 * FADE + 1);
        let both = all_sound.filter(|near| is_sound(&near[0]) && is_sound(&near[2 * FADE]));
        both.map(|near| &near[FADE])
            .map(|[near, far]| f64::from((near - far).abs()) * 100.0 * 48_000.0)
            .fold(0.0, f64::max)
    }

    #[test]
    fn equal_clocks_without_delay_are_recorded_bit_for_bit() {
        let pairs = record(3, 0.0, 0.0, 0.0, |_| false);
        assert_eq!(pairs.len(), 3 * 48_000);
        for (n, pair) in pairs.iter().enumerate() {
            assert_eq!(*pair, [sound_at(n as f64 / 48_000.0); 2], "{n}");
        }
    }

    #[test]
    fn what_was_heard_and_said_at_one_moment_stands_side_by_side() {
        // A slow speaker and a slow microphone: 100 ms between what is read and written at once.
        let pairs = record(10, 0.0, 0.03, 0.07, |_| false);
        assert!(most_off(&pairs) < 2.0, "{}", most_off(&pairs));
        assert!(pairs.len() >= 10 * 48_000);
    }

    #[test]
    fn a_microphone_with_another_clock_is_followed() {
        for ppm in [-150.0, 150.0] {
            let pairs = record(60, ppm, 0.01, 0.02, |_| false);
            // Half a millisecond, and what 5 s of averaging fall behind.
            assert!(most_off(&pairs) < 72.0, "{ppm} ppm: {}", most_off(&pairs));
        }
    }

    #[test]
    fn a_microphone_that_was_away_leaves_silence_and_comes_back_in_time() {
        let pairs = record(10, 0.0, 0.01, 0.02, |now_s| (3.0..6.0).contains(&now_s));
        let silent = pairs.iter().filter(|pair| pair[0] == 0.0).count();
        assert!((2.9..3.2).contains(&(silent as f64 / 48_000.0)), "{silent}");
        assert!(most_off(&pairs) < 2.0, "{}", most_off(&pairs));
    }

    #[test]
    fn a_queue_that_is_full_costs_samples_and_nothing_else() {
        let progress = Arc::new(Progress::default());
        let (queue, _samples) = SampleQueue::new(480, 2, Arc::clone(&progress));
        let mut recorder = Recorder::new(queue).unwrap();
        for tick in 1..=3 {
            let batch = Batch {
                samples: &[0.1; 480],
                sample_rate_hz: 48_000,
                ends_s: f64::from(tick) / 100.0,
            };
            recorder.push(&batch, &batch).unwrap();
        }
        assert_eq!(progress.lost.load(Ordering::Relaxed), 960);
    }
}
