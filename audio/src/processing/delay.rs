//! An audible echo: a copy of the sound, later and softer, that echoes again.
//!
//! For hearing that a line works and how it answers; the undelayed sound passes untouched.

use crate::frame::{Frame, SAMPLE_RATE_HZ};

/// What comes back of the sound the first time, and of each echo the next time (−6 dB). Being
/// below 1 it bounds the whole: the echoes of a full-scale sound add up to no more than itself.
const FEEDBACK: f32 = 0.5;

/// Adds a decaying train of echoes.
pub(super) struct Delay {
    /// One ring of past sound (with its echoes) per channel, all as long as the delay.
    rings: Vec<Vec<f32>>,
    position: usize,
}

impl Delay {
    /// Echoes `delay_ms` apart in `channels` (1 or 2). 0 ms is taken as 1.
    pub(super) fn new(delay_ms: u32, channels: usize) -> Self {
        let samples = (delay_ms.max(1) * (SAMPLE_RATE_HZ / 1_000)) as usize;
        Self {
            rings: vec![vec![0.0; samples]; channels],
            position: 0,
        }
    }

    /// Adds the echoes to one frame in place.
    pub(super) fn process(&mut self, frame: &mut Frame) {
        let start = self.position;
        for (ring, samples) in self.rings.iter_mut().zip(frame.channels_mut()) {
            self.position = start;
            for sample in samples {
                let echoed = *sample + FEEDBACK * ring[self.position];
                ring[self.position] = echoed;
                *sample = echoed;
                self.position = (self.position + 1) % ring.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{peak, run_blocks};

    #[test]
    fn an_impulse_comes_at_once_and_again_ever_softer() {
        let mut input = vec![0.0; 48_000];
        input[100] = 0.5;
        let mut block = Delay::new(100, 1);
        let output = run_blocks(1, &input, |frame| block.process(frame));
        for (n, &sample) in output.iter().enumerate() {
            let expected = match n.checked_sub(100) {
                Some(after) if after % 4_800 == 0 => 0.5_f32.powi(1 + (after / 4_800) as i32),
                _ => 0.0,
            };
            assert_eq!(sample, expected, "sample {n}");
        }
    }

    #[test]
    fn the_sum_of_all_echoes_is_bounded() {
        let mut block = Delay::new(1, 2);
        let output = run_blocks(2, &vec![1.0; 960_000], |frame| block.process(frame));
        assert!(peak(&output) <= 2.0);
    }

    #[test]
    fn channels_stay_apart() {
        let input: Vec<f32> = (0..48_000)
            .flat_map(|n| [(n % 7) as f32 * 0.1, 0.0])
            .collect();
        let mut block = Delay::new(50, 2);
        let output = run_blocks(2, &input, |frame| block.process(frame));
        assert!(
            output
                .iter()
                .skip(1)
                .step_by(2)
                .all(|&sample| sample == 0.0)
        );
        assert!(output[20_000] != input[20_000]);
    }
}
