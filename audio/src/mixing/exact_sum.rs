//! Sums of frames without rounding: integers of 2⁻⁴⁰ of full scale, wide enough for thousands of voices.
//!
//! What is added and subtracted again leaves nothing, in whatever order. A limiter belongs behind the
//! subtraction: before it, it would leave a residue of the listener's own voice.

use crate::frame::{Frame, SAMPLES_PER_CHANNEL};

/// Integers in full scale.
const SCALE: f64 = (1_u64 << 40) as f64;

/// How long a voice that comes or goes takes for it, in samples at 48 kHz: 2.5 ms, against clicks.
const FADE_SAMPLES: usize = 120;

type Samples = [i64; SAMPLES_PER_CHANNEL];

/// One voice's frame as integers.
#[derive(Debug, Clone)]
pub struct ExactFrame {
    mono: Box<Samples>,
    /// Left and right; `None`: both are `mono`.
    stereo: Option<Box<[Samples; 2]>>,
}

/// A voice that is heard from this frame on, or until it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fade {
    /// It begins with this frame.
    In,
    /// It is over with the beginning of this frame.
    Out,
}

impl Fade {
    fn gain(self, sample: usize) -> f64 {
        let position = (sample as f64 + 0.5) / FADE_SAMPLES as f64;
        let rising = match sample < FADE_SAMPLES {
            true => 0.5 - 0.5 * (std::f64::consts::PI * position).cos(),
            false => 1.0,
        };
        match self {
            Self::In => rising,
            Self::Out => 1.0 - rising,
        }
    }
}

impl ExactFrame {
    /// The same sound. What is not a number is silence.
    pub fn new(frame: &Frame) -> Self {
        let mut channels = frame.channels().map(exact);
        let (left, right) = (channels.next(), channels.next());
        let left = left.unwrap_or_else(|| Box::new([0; SAMPLES_PER_CHANNEL]));
        match right {
            None => Self {
                mono: left,
                stereo: None,
            },
            Some(right) => {
                let mut mono = left.clone();
                for (mono, right) in mono.iter_mut().zip(right.iter()) {
                    *mono = (*mono + right) / 2;
                }
                Self {
                    mono,
                    stereo: Some(Box::new([*left, *right])),
                }
            }
        }
    }

    /// Whether its sides differ.
    pub fn is_stereo(&self) -> bool {
        self.stereo.is_some()
    }

    /// One side for a listener of so many channels: of stereo the half of both sides for one ear.
    fn side(&self, side: usize, channels: usize) -> &Samples {
        match &self.stereo {
            Some(stereo) if channels == 2 => &stereo[side.min(1)],
            _ => &self.mono,
        }
    }
}

fn exact(samples: &[f32; SAMPLES_PER_CHANNEL]) -> Box<Samples> {
    // `as` takes NaN to 0, and saturates.
    Box::new(samples.map(|sample| (f64::from(sample.clamp(-8.0, 8.0)) * SCALE).round() as i64))
}

/// What a listener of one or two channels hears.
#[derive(Debug, Clone)]
pub struct ExactSum {
    sides: Vec<Samples>,
}

impl ExactSum {
    /// Silence in `channels` (1 or 2; anything else is taken as the nearer of them).
    pub fn silence(channels: usize) -> Self {
        Self {
            sides: vec![[0; SAMPLES_PER_CHANNEL]; channels.clamp(1, 2)],
        }
    }

    /// Adds a voice.
    pub fn add(&mut self, voice: &ExactFrame) {
        self.each(voice, |sum, sample, _| *sum += sample);
    }

    /// Takes away a voice that was added.
    pub fn subtract(&mut self, voice: &ExactFrame) {
        self.each(voice, |sum, sample, _| *sum -= sample);
    }

    /// Adds the part of a voice that fades in or out.
    pub fn add_faded(&mut self, voice: &ExactFrame, fade: Fade) {
        self.each(voice, |sum, sample, index| {
            *sum += (sample as f64 * fade.gain(index)).round() as i64;
        });
    }

    /// The sum as a frame of as many channels, not limited.
    pub fn frame(&self) -> Frame {
        let mut frame = Frame::silence(self.sides.len());
        for (samples, sums) in frame.channels_mut().zip(&self.sides) {
            for (sample, &sum) in samples.iter_mut().zip(sums) {
                *sample = (sum as f64 / SCALE) as f32;
            }
        }
        frame
    }

    fn each(&mut self, voice: &ExactFrame, mut change: impl FnMut(&mut i64, i64, usize)) {
        let channels = self.sides.len();
        for (side, sums) in self.sides.iter_mut().enumerate() {
            let samples = voice.side(side, channels);
            for (index, (sum, &sample)) in sums.iter_mut().zip(samples).enumerate() {
                change(sum, sample, index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::noise;

    fn frame(channels: usize, level: f32, seed: u64) -> Frame {
        let mut frame = Frame::silence(channels);
        frame.fill_from_interleaved(&noise(level, seed, channels * SAMPLES_PER_CHANNEL));
        frame
    }

    #[test]
    fn one_voice_comes_out_bit_for_bit() {
        for channels in [1, 2] {
            let mut voice = frame(channels, 0.9, 1);
            for sample in voice.channels_mut().flatten() {
                // As 16-bit samples are.
                *sample = (*sample * 32_768.0).round() / 32_768.0;
            }
            let mut sum = ExactSum::silence(channels);
            sum.add(&ExactFrame::new(&voice));
            assert_eq!(sum.frame(), voice);
        }
    }

    #[test]
    fn what_is_subtracted_leaves_nothing_however_loud_it_was() {
        let quiet = ExactFrame::new(&frame(1, 1e-4, 1));
        let mut alone = ExactSum::silence(1);
        alone.add(&quiet);
        let loud: Vec<_> = (2..200)
            .map(|n| ExactFrame::new(&frame(1, 1.0, n)))
            .collect();
        let mut sum = ExactSum::silence(1);
        for voice in loud.iter().chain([&quiet]) {
            sum.add(voice);
        }
        for voice in loud.iter().rev() {
            sum.subtract(voice);
        }
        assert_eq!(sum.frame(), alone.frame());
    }

    #[test]
    fn one_ear_hears_half_of_both_sides_and_two_ears_hear_mono_in_both() {
        let stereo = frame(2, 0.5, 1);
        let mut sum = ExactSum::silence(1);
        sum.add(&ExactFrame::new(&stereo));
        let heard = sum.frame();
        let (mut sides, mono) = (stereo.channels(), heard.channels().next().unwrap());
        let (left, right) = (sides.next().unwrap(), sides.next().unwrap());
        for n in 0..SAMPLES_PER_CHANNEL {
            assert!((mono[n] - (left[n] + right[n]) / 2.0).abs() < 1e-6);
        }
        let mut sum = ExactSum::silence(2);
        let mono = frame(1, 0.5, 2);
        sum.add(&ExactFrame::new(&mono));
        for side in sum.frame().channels() {
            assert_eq!(side, mono.channels().next().unwrap());
        }
    }

    #[test]
    fn what_fades_out_and_what_fades_in_are_the_whole() {
        let voice = ExactFrame::new(&frame(1, 0.5, 1));
        let mut sum = ExactSum::silence(1);
        sum.add_faded(&voice, Fade::In);
        sum.add_faded(&voice, Fade::Out);
        let mut whole = ExactSum::silence(1);
        whole.add(&voice);
        let (sum, whole) = (sum.frame(), whole.frame());
        let pairs = sum.channels().flatten().zip(whole.channels().flatten());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-7));
        let mut out = ExactSum::silence(1);
        out.add_faded(&voice, Fade::Out);
        let out = out.frame();
        let rest = out.channels().next().unwrap();
        assert!(rest[FADE_SAMPLES..].iter().all(|&sample| sample == 0.0));
    }
}
