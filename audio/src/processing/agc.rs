//! Automatic gain control: brings a quiet speaker up to a common level, and leaves noise alone.
//!
//! A gain of 0–12 dB, never an attenuation (that is the limiter's). It rises slowly, falls fast,
//! and stays as it is through pauses: background noise is not speech to be raised.

use crate::frame::{Frame, SAMPLES_PER_CHANNEL};

/// Where speech is brought to: its RMS level while it lasts, leaving room for its peaks.
const TARGET_DBFS: f32 = -20.0;

/// The most it amplifies.
const MAX_GAIN_DB: f32 = 12.0;

/// How fast the gain may rise and fall, in dB a frame (3 dB/s and 40 dB/s).
const RISE_DB: f32 = 0.03;
const FALL_DB: f32 = 0.4;

/// How fast it falls for the sake of the noise, which is no hurry (6 dB/s).
const FALL_FOR_NOISE_DB: f32 = 0.06;

/// Background noise is not raised beyond this.
const MAX_NOISE_DBFS: f32 = -50.0;

/// Nothing below this is speech, nor tells anything about the noise: a muted microphone.
const SILENCE_DBFS: f32 = -70.0;

/// Speech stands out of the background by at least this much.
const SPEECH_OVER_NOISE_DB: f32 = 9.0;

/// Parts of the difference by which the speech level follows a louder and a softer frame: time
/// constants of 0.1 s and 1.5 s.
const LOUDER: f32 = 0.1;
const SOFTER: f32 = 0.006_5;

/// Half the stretch, in frames, whose softest frame is taken for the background (1.5 s). Speech has
/// a pause in any three seconds; noise and tones have none.
const NOISE_HALF_WINDOW: u32 = 150;

/// Raises quiet speech. Both channels get the same gain.
pub(super) struct Agc {
    gain_db: f32,
    speech_dbfs: Option<f32>,
    noise: NoiseFloor,
}

impl Agc {
    /// Starts at 0 dB.
    pub(super) fn new() -> Self {
        Self {
            gain_db: 0.0,
            speech_dbfs: None,
            noise: NoiseFloor::default(),
        }
    }

    /// Applies the gain to one frame in place.
    pub(super) fn process(&mut self, frame: &mut Frame) {
        let before = self.gain_db;
        self.adapt(10.0 * (frame.mean_square() + 1e-12).log10());
        if before == 0.0 && self.gain_db == 0.0 {
            return;
        }
        // A ramp across the frame: a step would click.
        let (from, to) = (ratio(before), ratio(self.gain_db));
        let step = (to - from) / SAMPLES_PER_CHANNEL as f32;
        for samples in frame.channels_mut() {
            let mut gain = from;
            for sample in samples {
                gain += step;
                *sample *= gain;
            }
        }
    }

    fn adapt(&mut self, level_dbfs: f32) {
        if level_dbfs < SILENCE_DBFS {
            return;
        }
        let noise_dbfs = self.noise.update(level_dbfs);
        let most = (MAX_NOISE_DBFS - noise_dbfs).clamp(0.0, MAX_GAIN_DB);
        if self.gain_db > most {
            self.gain_db = (self.gain_db - FALL_FOR_NOISE_DB).max(most);
        }
        if level_dbfs < noise_dbfs + SPEECH_OVER_NOISE_DB {
            return;
        }
        let speech = self.speech_dbfs.get_or_insert(level_dbfs);
        let part = if level_dbfs > *speech { LOUDER } else { SOFTER };
        *speech += part * (level_dbfs - *speech);
        let wanted = (TARGET_DBFS - *speech).clamp(0.0, most);
        self.gain_db = wanted.clamp((self.gain_db - FALL_DB).max(0.0), self.gain_db + RISE_DB);
    }
}

impl Default for Agc {
    fn default() -> Self {
        Self::new()
    }
}

/// The softest frame within the last three seconds or so.
#[derive(Default)]
struct NoiseFloor {
    previous_dbfs: Option<f32>,
    current_dbfs: Option<f32>,
    frames: u32,
}

impl NoiseFloor {
    fn update(&mut self, level_dbfs: f32) -> f32 {
        let current = self
            .current_dbfs
            .map_or(level_dbfs, |softest| softest.min(level_dbfs));
        let floor = self
            .previous_dbfs
            .map_or(current, |softest| softest.min(current));
        self.frames += 1;
        if self.frames == NOISE_HALF_WINDOW {
            self.frames = 0;
            self.previous_dbfs = Some(current);
            self.current_dbfs = None;
        } else {
            self.current_dbfs = Some(current);
        }
        floor
    }
}

fn ratio(gain_db: f32) -> f32 {
    10.0_f32.powf(gain_db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{noise, rms_db, run_blocks, sine, speech_like};

    fn scaled(samples: &[f32], gain_db: f32) -> Vec<f32> {
        samples
            .iter()
            .map(|sample| sample * ratio(gain_db))
            .collect()
    }

    /// Levelled speech and the gain after each frame.
    fn levelled(input: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut agc = Agc::new();
        let mut gains = Vec::new();
        let output = run_blocks(1, input, |frame| {
            agc.process(frame);
            gains.push(agc.gain_db);
        });
        (output, gains)
    }

    #[test]
    fn quiet_speech_is_raised_by_12_db_and_no_more() {
        let input = scaled(&speech_like(10), -24.0);
        let (output, gains) = levelled(&input);
        let end = 8 * 48_000;
        let raised = rms_db(&output[end..]) - rms_db(&input[end..]);
        assert!((raised - 12.0).abs() < 0.1, "{raised:.2} dB");
        assert!(gains.iter().all(|gain| (0.0..=12.0).contains(gain)));
    }

    #[test]
    fn speech_somewhat_quiet_comes_to_the_target() {
        let speech = speech_like(12);
        let (mut levels, end) = (Vec::new(), 10 * 48_000);
        for gain_db in [-6.0, -9.0, -12.0] {
            let (output, _) = levelled(&scaled(&speech, gain_db));
            levels.push(rms_db(&output[end..]));
        }
        let spread = levels[0] - levels[2];
        assert!(spread.abs() < 0.7, "{levels:?}");
        // RMS over speech with its pauses lies some dB below that of its syllables.
        assert!((-26.0..-19.0).contains(&levels[0]), "{levels:?}");
    }

    #[test]
    fn loud_speech_is_not_touched() {
        let input = scaled(&speech_like(6), 6.0);
        let (output, gains) = levelled(&input);
        assert!(
            gains.iter().all(|&gain| gain < 0.5),
            "{:?}",
            gains.iter().copied().fold(0.0, f32::max)
        );
        assert!((rms_db(&output) - rms_db(&input)).abs() < 0.3);
    }

    #[test]
    fn it_falls_fast_and_rises_slowly() {
        let speech = speech_like(9);
        let mut input = scaled(&speech, -24.0);
        input.extend(scaled(&speech, 6.0));
        let (_, gains) = levelled(&input);
        assert!(gains[899] > 11.9, "{}", gains[899]);
        // Half a second after the loud voice began.
        assert!(gains[950] < 1.0, "{}", gains[950]);
        let steepest = gains
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(0.0, f32::max);
        assert!(steepest <= RISE_DB + 1e-5, "{steepest}");
    }

    #[test]
    fn the_gain_stays_through_a_pause_with_or_without_noise() {
        for background in [0.0, 0.000_8] {
            let mut input = scaled(&speech_like(6), -8.0);
            input.extend(vec![0.0; 10 * 48_000]);
            for (sample, noise) in input.iter_mut().zip(noise(background, 1, 16 * 48_000)) {
                *sample += noise;
            }
            let (_, gains) = levelled(&input);
            let (before, after) = (gains[599], gains[1_599]);
            assert!((1.0..11.0).contains(&before), "{before}");
            assert!((before - after).abs() < 0.2, "{before} then {after}");
        }
    }

    #[test]
    fn neither_noise_nor_a_tone_is_raised() {
        let silence = vec![0.0; 48_000];
        for sound in [
            noise(0.01, 3, 10 * 48_000),
            sine(440.0, 0.05, 48_000, 10 * 48_000),
        ] {
            let (output, gains) = levelled(&[silence.clone(), sound.clone()].concat());
            let most = gains.iter().copied().fold(0.0, f32::max);
            assert!(most < 0.5, "{most} dB");
            assert!((rms_db(&output[48_000..]) - rms_db(&sound)).abs() < 0.1);
        }
    }

    #[test]
    fn both_channels_get_one_gain() {
        let quiet = scaled(&speech_like(6), -24.0);
        let input: Vec<f32> = quiet
            .iter()
            .flat_map(|&sample| [sample, 0.25 * sample])
            .collect();
        let mut agc = Agc::new();
        let output = run_blocks(2, &input, |frame| agc.process(frame));
        assert!(agc.gain_db > 6.0);
        for pair in output.chunks_exact(2) {
            assert!((pair[0] * 0.25 - pair[1]).abs() < 1e-6);
        }
    }
}
