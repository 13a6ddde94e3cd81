//! The near end's processing at the softphone: echo cancellation, noise suppression, gain control
//! and a high-pass, each on or off by itself.
//!
//! Runs on the engine thread. It allocates, so never in a device callback. Works on 10 ms of 48 kHz
//! mono; what comes in is made finite and clamped before any of it. NS and AGC2 are of WebRTC's audio
//! processing, ported to Rust by the `sonora` library. Of echo cancellers there are two, for two kinds
//! of calls ([`EchoCanceller`]): WebRTC's AEC3 and our own (`echo_canceller`).

use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, Pipeline};
use sonora::{AudioProcessing, Config, StreamConfig};

use super::{
    aec3::{self, Aec3},
    echo_canceller,
    voice_cleaner::{Canceller, VoiceCleaner},
};
use crate::{
    codec::make_finite,
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
};

/// Samples at 48 kHz by which each part delays the sound, as measured. Splitting into three bands
/// and joining them costs 1 ms, once; the suppressor 6 ms. Gain control delays nothing.
const BANDS_DELAY_SAMPLES: usize = 46;
const NOISE_SUPPRESSION_DELAY_SAMPLES: usize = 288;

/// The most by which gain control amplifies, in dB.
const MAX_GAIN_DB: f32 = 18.0;

/// A far end below this is silence: it makes no echo that could be measured.
const ACTIVE_DBFS: f32 = -50.0;

/// Nor is there anything to be learned from a microphone that hears less than this.
const AUDIBLE_DBFS: f32 = -65.0;

/// Frames for which the echo of the far end may still be in the room (0.4 s).
const ECHO_FRAMES: u32 = 40;

/// Part by which the powers follow a new frame: a time constant of half a second.
const FOLLOW: f64 = 0.02;

/// How the loudspeaker's echo is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoCanceller {
    /// WebRTC's. It holds every loop, also that of a call that returns one's own voice. While both
    /// ends talk it takes much of the near one for echo.
    Aec3,
    /// Our own, a Kalman filter, which lets both talk at once. In a call that returns one's own voice,
    /// where what is said now follows from what is heard, it finds an echo that is none.
    Kalman,
}

impl EchoCanceller {
    /// Its name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aec3 => "aec3",
            Self::Kalman => "kalman",
        }
    }

    fn start(self) -> Canceller {
        match self {
            Self::Aec3 => Canceller::Aec3(Box::new(Aec3::new())),
            Self::Kalman => Canceller::Kalman(Box::new(echo_canceller::EchoCanceller::new())),
        }
    }

    fn delay_samples(self) -> usize {
        match self {
            Self::Aec3 => aec3::DELAY_SAMPLES,
            Self::Kalman => echo_canceller::DELAY_SAMPLES,
        }
    }
}

/// What the near end shall do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NearEndOptions {
    /// Remove what the loudspeaker plays from what the microphone hears.
    pub echo_canceller: Option<EchoCanceller>,
    /// Remove steady noise.
    pub noise_suppression: bool,
    /// Raise quiet speech.
    pub gain_control: bool,
    /// Remove hum and rumble. The echo canceller does that anyway.
    pub high_pass: bool,
}

impl NearEndOptions {
    /// Whether there is anything to do.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Samples at 48 kHz by which a near end with these options delays the microphone.
    pub fn delay_samples(self) -> usize {
        let parts = [
            self.cleans().then_some(BANDS_DELAY_SAMPLES),
            self.echo_canceller.map(EchoCanceller::delay_samples),
            self.noise_suppression
                .then_some(NOISE_SUPPRESSION_DELAY_SAMPLES),
        ];
        parts.into_iter().flatten().sum()
    }

    fn cleans(self) -> bool {
        self.echo_canceller.is_some() || self.noise_suppression || self.high_pass
    }
}

/// What the near end has to report.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NearEndStats {
    /// Echo return loss enhancement: by how many dB the canceller lowers the microphone's power
    /// while the far end can be heard, over the last second or so of that. Speech of the near end
    /// counts as echo that was let through, so in double talk it falls towards 0. `None` without a
    /// canceller, or before the far end was heard.
    pub erle_db: Option<f32>,
    /// Where the canceller finds the echo: how much later than the reference, in milliseconds.
    pub echo_delay_ms: Option<u32>,
    /// Gain of the gain control in the last frame, in dB; `None` without it.
    pub gain_db: Option<f32>,
}

/// The near end of one call.
pub struct NearEnd {
    options: NearEndOptions,
    /// Canceller, suppressor and high-pass, where one of them is on.
    cleaner: Option<Box<VoiceCleaner>>,
    /// Gain control by itself, so that what it does is not taken for echo.
    gain: Option<AudioProcessing>,
    input: [f32; SAMPLES_PER_CHANNEL],
    erle: Erle,
    gain_db: f32,
}

impl NearEnd {
    /// A near end that does what `options` say.
    pub fn new(options: NearEndOptions) -> Self {
        Self {
            options,
            cleaner: options.cleans().then(|| {
                let canceller = options.echo_canceller.map(EchoCanceller::start);
                Box::new(VoiceCleaner::new(canceller, options.noise_suppression))
            }),
            gain: options.gain_control.then(|| processing(gain_config())),
            input: [0.0; SAMPLES_PER_CHANNEL],
            erle: Erle::default(),
            gain_db: 0.0,
        }
    }

    /// Takes the next 10 ms of what the loudspeaker plays: the echo in the microphone's frames from
    /// now on may be of this. Call it once for each captured frame, before it.
    pub fn render(&mut self, frame: &mut [f32; SAMPLES_PER_CHANNEL]) {
        make_finite(frame);
        self.erle.render(power(frame));
        if let Some(cleaner) = &mut self.cleaner {
            cleaner.render(frame);
        }
    }

    /// Processes the next 10 ms of the microphone in place.
    pub fn capture(&mut self, frame: &mut [f32; SAMPLES_PER_CHANNEL]) {
        make_finite(frame);
        if let Some(cleaner) = &mut self.cleaner {
            let before = power(frame);
            cleaner.capture(frame);
            self.erle.capture(before, power(frame));
        }
        if let Some(gain) = &mut self.gain {
            let before = power(frame);
            apply(gain, &mut self.input, frame);
            if before > 0.0 {
                self.gain_db = (10.0 * (power(frame) / before).log10()) as f32;
            }
        }
    }

    /// The figures of this moment.
    pub fn stats(&self) -> NearEndStats {
        let cancels = self.options.echo_canceller.is_some();
        let canceller = self.cleaner.as_ref().filter(|_| cancels);
        NearEndStats {
            erle_db: canceller.and_then(|_| self.erle.db()),
            echo_delay_ms: canceller.and_then(|cleaner| cleaner.echo_delay_ms()),
            gain_db: self.gain.is_some().then_some(self.gain_db),
        }
    }

    /// What it was told to do.
    pub fn options(&self) -> NearEndOptions {
        self.options
    }
}

fn processing(config: Config) -> AudioProcessing {
    let mono = StreamConfig::new(SAMPLE_RATE_HZ, 1);
    AudioProcessing::builder()
        .config(config)
        .capture_config(mono)
        .render_config(mono)
        .build()
}

fn gain_config() -> Config {
    Config {
        pipeline: Pipeline {
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        gain_controller2: Some(GainController2 {
            adaptive_digital: Some(AdaptiveDigital {
                // The library would begin with 15 dB and go to 50: a loop that howls.
                initial_gain_db: 0.0,
                max_gain_db: MAX_GAIN_DB,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

fn apply(
    processing: &mut AudioProcessing,
    input: &mut [f32; SAMPLES_PER_CHANNEL],
    frame: &mut [f32; SAMPLES_PER_CHANNEL],
) {
    input.copy_from_slice(frame);
    let fine = processing.process_capture_f32(&[&input[..]], &mut [&mut frame[..]]);
    debug_assert_eq!(fine, Ok(()), "every size here is the library's own");
}

/// Mean square.
fn power(frame: &[f32]) -> f64 {
    frame
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        / frame.len() as f64
}

/// The canceller's loss, from powers before and after it.
#[derive(Debug, Default)]
struct Erle {
    /// Frames since the far end was last heard.
    quiet_frames: u32,
    heard: bool,
    before: f64,
    after: f64,
}

impl Erle {
    fn render(&mut self, power: f64) {
        if is_above(power, ACTIVE_DBFS) {
            self.heard = true;
            self.quiet_frames = 0;
        } else {
            self.quiet_frames = self.quiet_frames.saturating_add(1);
        }
    }

    fn capture(&mut self, before: f64, after: f64) {
        let may_be_echo = self.heard && self.quiet_frames < ECHO_FRAMES;
        if may_be_echo && is_above(before, AUDIBLE_DBFS) {
            self.before += FOLLOW * (before - self.before);
            self.after += FOLLOW * (after - self.after);
        }
    }

    fn db(&self) -> Option<f32> {
        // Below the smallest step of 16 bits nothing is left to be removed.
        let floor = 1e-10;
        (self.before > 0.0).then(|| (10.0 * (self.before / self.after.max(floor)).log10()) as f32)
    }
}

fn is_above(power: f64, dbfs: f32) -> bool {
    10.0 * (power + 1e-30).log10() > f64::from(dbfs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, lag, noise, peak, rms_db, sine, speech_like};

    const OFF: NearEndOptions = NearEndOptions {
        echo_canceller: None,
        noise_suppression: false,
        gain_control: false,
        high_pass: false,
    };
    const CANCELLER: NearEndOptions = NearEndOptions {
        echo_canceller: Some(EchoCanceller::Aec3),
        high_pass: true,
        ..OFF
    };

    /// What `options` make of `microphone` while `far_end` is played.
    fn run(options: NearEndOptions, far_end: &[f32], microphone: &[f32]) -> (Vec<f32>, NearEnd) {
        let mut near_end = NearEnd::new(options);
        let mut output = Vec::new();
        for (played, heard) in far_end.chunks_exact(480).zip(microphone.chunks_exact(480)) {
            let mut frame = [0.0; SAMPLES_PER_CHANNEL];
            frame.copy_from_slice(played);
            near_end.render(&mut frame);
            frame.copy_from_slice(heard);
            near_end.capture(&mut frame);
            output.extend_from_slice(&frame);
        }
        (output, near_end)
    }

    fn with_silence(options: NearEndOptions, microphone: &[f32]) -> (Vec<f32>, NearEnd) {
        run(options, &vec![0.0; microphone.len()], microphone)
    }

    /// `far_end` in a room: the direct sound `delay` samples later, and 60 reflections after it that
    /// die away over 150 ms.
    fn in_a_room(far_end: &[f32], delay: usize, gain: f32) -> Vec<f32> {
        let reflections = noise(1.0, 7, 60).into_iter().zip(noise(0.2, 8, 60));
        let mut paths = vec![(delay, gain)];
        paths.extend(reflections.map(|(when, level)| {
            let after = when.abs() * 7_200.0;
            let faded = gain * level * (-after / 1_040.0).exp();
            (delay + 48 + after as usize, faded)
        }));
        let mut heard = vec![0.0; far_end.len()];
        for (later, level) in paths {
            for (heard, played) in heard.iter_mut().skip(later).zip(far_end) {
                *heard += level * played;
            }
        }
        heard
    }

    fn seconds(samples: &[f32], from: usize, to: usize) -> &[f32] {
        &samples[from * 48_000..to * 48_000]
    }

    #[test]
    fn with_all_off_nothing_is_touched() {
        assert!(!OFF.any());
        let speech = speech_like(1);
        let (output, near_end) = run(OFF, &noise(0.5, 1, 48_000), &speech);
        assert_eq!(output, speech);
        assert_eq!(near_end.stats(), NearEndStats::default());
    }

    #[test]
    fn an_echo_is_gone_within_two_seconds() {
        let far_end = speech_like(5);
        for delay_ms in [20, 120, 300] {
            for gain in [0.5, 1.0, 2.0] {
                let microphone = in_a_room(&far_end, delay_ms * 48, gain);
                let (output, near_end) = run(CANCELLER, &far_end, &microphone);
                let erle_db = rms_db(seconds(&microphone, 2, 5)) - rms_db(seconds(&output, 2, 5));
                assert!(erle_db > 25.0, "{delay_ms} ms, {gain}: {erle_db} dB");
                let stats = near_end.stats();
                let told_db = f64::from(stats.erle_db.unwrap());
                assert!(told_db > 25.0, "{delay_ms} ms, {gain}: {stats:?}");
                let found_ms = stats.echo_delay_ms.unwrap() as usize;
                assert!(found_ms.abs_diff(delay_ms) <= 8, "{delay_ms}: {stats:?}");
            }
        }
    }

    #[test]
    fn an_echo_that_comes_before_its_reference_cannot_be_removed() {
        // Why the reference has to be early rather than late.
        let far_end = speech_like(5);
        let late = [vec![0.0; 960], far_end.clone()].concat();
        let (output, _) = run(CANCELLER, &late, &far_end);
        let erle_db = rms_db(seconds(&far_end, 2, 5)) - rms_db(seconds(&output, 2, 5));
        assert!(erle_db < 15.0, "{erle_db} dB");
    }

    #[test]
    fn who_speaks_at_the_same_time_is_heard() {
        let far_end = speech_like(20);
        let echo = in_a_room(&far_end, 2_400, 0.5);
        // Another voice, of another pitch: the same faster. It joins after five seconds.
        let voice: Vec<f32> = (0..far_end.len())
            .map(|n| {
                if n < 240_000 {
                    0.0
                } else {
                    far_end[n * 7 / 5 % far_end.len()]
                }
            })
            .collect();
        let both: Vec<f32> = echo.iter().zip(&voice).map(|(a, b)| a + b).collect();
        let (output, _) = run(CANCELLER, &far_end, &both);
        let (alone, _) = with_silence(CANCELLER, &voice);
        let lost_db = rms_db(seconds(&alone, 10, 19)) - rms_db(seconds(&output, 10, 19));
        let error: Vec<f32> = output.iter().zip(&alone).map(|(a, b)| a - b).collect();
        let sdr_db = rms_db(seconds(&alone, 10, 19)) - rms_db(seconds(&error, 10, 19));
        assert!(lost_db < 4.0, "{lost_db} dB");
        assert!(sdr_db > 3.0, "{sdr_db} dB");
    }

    #[test]
    fn both_talk_from_the_start_and_only_the_echo_is_lost() {
        const KALMAN: NearEndOptions = NearEndOptions {
            echo_canceller: Some(EchoCanceller::Kalman),
            ..CANCELLER
        };
        let far_end = speech_like(12);
        // Another voice, of another pitch: the same faster.
        let voice: Vec<f32> = (0..far_end.len())
            .map(|n| far_end[(n * 7 / 5 + 100_000) % far_end.len()])
            .collect();
        let (alone, _) = with_silence(KALMAN, &voice);
        let alone = seconds(&alone, 6, 12);
        for delay_ms in [20, 120, 300] {
            let mut both = in_a_room(&far_end, delay_ms * 48, 0.1);
            for (heard, voice) in both.iter_mut().zip(&voice) {
                *heard += voice;
            }
            let (output, near_end) = run(KALMAN, &far_end, &both);
            let output = seconds(&output, 6, 12);
            let error: Vec<f32> = output.iter().zip(alone).map(|(a, b)| a - b).collect();
            let sdr_db = rms_db(alone) - rms_db(&error);
            assert!(sdr_db > 20.0, "{delay_ms} ms: {sdr_db} dB");
            let loud_db = rms_db(alone) - 10.0;
            let missing = alone
                .chunks(960)
                .zip(output.chunks(960))
                .filter(|(alone, output)| {
                    rms_db(alone) > loud_db && rms_db(output) < rms_db(alone) - 6.0
                })
                .count();
            assert!(missing <= 3, "{delay_ms} ms: {missing} of 300");
            let found_ms = near_end.stats().echo_delay_ms.unwrap() as usize;
            assert!(found_ms.abs_diff(delay_ms) <= 8, "{delay_ms}: {found_ms}");
        }
    }

    #[test]
    fn the_delay_is_the_stated_one() {
        let cancellers = [None, Some(EchoCanceller::Aec3), Some(EchoCanceller::Kalman)];
        for bits in 0..24 {
            let options = NearEndOptions {
                echo_canceller: cancellers[bits / 8],
                noise_suppression: bits & 1 > 0,
                gain_control: bits & 2 > 0,
                high_pass: bits & 4 > 0,
            };
            let mut input = noise(0.2, 3, 96_000);
            // Not steady, or the suppressor would take it for noise.
            for (n, sample) in input.iter_mut().enumerate() {
                *sample *= (n as f32 / 12_000.0).sin().max(0.0);
            }
            let (output, _) = with_silence(options, &input);
            let delay = lag(&input, &output, 1_000);
            let stated = options.delay_samples() as f64;
            assert!((delay - stated).abs() < 1.0, "{options:?}: {delay}");
        }
    }

    #[test]
    fn the_whole_band_is_kept() {
        let input = sine(18_000.0, 0.2, 48_000, 96_000);
        let (output, _) = with_silence(CANCELLER, &input);
        let fit = fit_sine(&output[48_000..], 18_000.0, 48_000);
        assert!((fit.level_db - -13.98).abs() < 1.0, "{fit:?}");
    }

    #[test]
    fn hum_is_removed_and_steady_noise_is_lowered() {
        let hum = sine(20.0, 0.3, 48_000, 96_000);
        let (output, _) = with_silence(
            NearEndOptions {
                high_pass: true,
                ..OFF
            },
            &hum,
        );
        let left_db = rms_db(seconds(&output, 1, 2)) - rms_db(seconds(&hum, 1, 2));
        assert!(left_db < -15.0, "{left_db} dB");

        let hiss = noise(0.05, 9, 5 * 48_000);
        let (output, _) = with_silence(
            NearEndOptions {
                noise_suppression: true,
                ..OFF
            },
            &hiss,
        );
        let left_db = rms_db(seconds(&output, 4, 5)) - rms_db(seconds(&hiss, 4, 5));
        assert!(left_db < -8.0, "{left_db} dB");
    }

    #[test]
    fn quiet_speech_is_raised_and_loud_speech_is_not() {
        let options = NearEndOptions {
            gain_control: true,
            ..OFF
        };
        for (level, at_least, at_most) in [(0.05, 6.0, 18.1), (1.0, -1.0, 3.0)] {
            let speech: Vec<f32> = speech_like(15).iter().map(|x| level * x).collect();
            let (output, near_end) = with_silence(options, &speech);
            let gain_db = rms_db(seconds(&output, 12, 15)) - rms_db(seconds(&speech, 12, 15));
            assert!(
                (at_least..at_most).contains(&gain_db),
                "{level}: {gain_db} dB"
            );
            let told_db = f64::from(near_end.stats().gain_db.unwrap());
            assert!(
                (told_db - gain_db).abs() < 2.0,
                "{told_db}, not {gain_db} dB"
            );
        }
    }

    #[test]
    fn what_is_no_number_does_no_harm() {
        let options = NearEndOptions {
            noise_suppression: true,
            gain_control: true,
            ..CANCELLER
        };
        let mut far_end = speech_like(4);
        let mut microphone = in_a_room(&far_end, 4_800, 0.5);
        for samples in [&mut far_end, &mut microphone] {
            samples[1_000..1_500].fill(f32::NAN);
            samples[2_000] = f32::INFINITY;
            samples[2_001] = -1e30;
        }
        let (output, _) = run(options, &far_end, &microphone);
        assert!(output.iter().all(|sample| sample.is_finite()));
        assert!(peak(&output) <= 1.0);
        let erle_db = rms_db(seconds(&microphone, 3, 4)) - rms_db(seconds(&output, 3, 4));
        assert!(erle_db > 20.0, "{erle_db} dB");
    }
}
