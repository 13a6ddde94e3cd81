//! An ear for a tone: judges over a whole call whether the expected one was heard.
//!
//! Two views of the same samples. Windows of 100 ms ask *which* tone dominates, how loud and how
//! pure it is, without presuming the expected one, so that a wrong frequency is named and not
//! merely missed. Blocks of 5 ms ask whether the expected tone is *there*, so that gaps are
//! measured. Any tone of 100–3,400 Hz. Not for a device callback: a window is worked through at
//! once. Never keeps the sound itself: memory does not grow with the call.

use std::f64::consts::{PI, TAU};

use super::meter::{FLOOR_DBFS, amplitude_to_dbfs};

/// Sound below this amplitude (−70 dBFS) is nothing.
const NOTHING: f64 = 0.000_316;
/// A window whose strongest tone exceeds all else by this holds a tone. White noise stays below
/// −15 dB here, speech mostly below 3.
const TONAL_DB: f64 = 6.0;
const LOWEST_HZ: f64 = 90.0;
const HIGHEST_HZ: f64 = 3_500.0;

/// What was heard. Nothing: `sound_dbfs` at the floor. Noise or speech: sound, but not `heard`. A
/// wrong tone: `heard`, and another `frequency_hz`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToneReport {
    /// A tone, of whichever frequency, dominated at some time.
    pub heard: bool,
    /// Frequency of the tone that dominated most, in Hz; 0 without one.
    pub frequency_hz: f32,
    /// Its level (median) as [`crate::Tone::new`] takes it: the peak of the sine, in dBFS.
    pub level_dbfs: f32,
    /// How far it stood out of everything else (median), in dB.
    pub purity_db: f32,
    /// How long the expected tone was missing after it had set in, up to the last sample, in ms.
    pub missing_ms: f32,
    /// The longest of these gaps, in ms.
    pub longest_missing_ms: f32,
    /// When the expected tone set in, in ms since the first sample; `None`: never.
    pub onset_ms: Option<f32>,
    /// Steps in the waveform that the expected tone does not have, where it is there. Those of
    /// tones above a quarter of the sample rate cannot be told.
    pub clicks: u32,
    /// RMS of everything heard, tone or not, in dBFS.
    pub sound_dbfs: f32,
    /// How much was listened to, in ms.
    pub listened_ms: f32,
}

/// Listens for one tone. Feed it all that is heard, in one channel.
pub struct ToneDetector {
    sample_rate_hz: f64,
    presence: Presence,
    window: Vec<f32>,
    hann: Vec<f32>,
    /// For three quarters of the window.
    part_hann: Vec<f32>,
    expected_hz: f64,
    levels: Histogram,
    purities: Histogram,
    /// For each 10 Hz: power of the windows that it dominated, and power times frequency.
    frequencies: Vec<(f64, f64)>,
    squares: f64,
    count: u64,
}

impl ToneDetector {
    /// An ear that expects a tone of `expected_hz` (100–3,400).
    pub fn new(expected_hz: f32, sample_rate_hz: u32) -> Self {
        let rate = f64::from(sample_rate_hz.max(8_000));
        let length = (rate / 10.0) as usize;
        Self {
            sample_rate_hz: rate,
            presence: Presence::new(f64::from(expected_hz), rate),
            window: Vec::with_capacity(length),
            hann: hann(length),
            part_hann: hann(length * 3 / 4),
            expected_hz: f64::from(expected_hz),
            levels: Histogram::new(),
            purities: Histogram::new(),
            frequencies: vec![(0.0, 0.0); (HIGHEST_HZ / 10.0) as usize + 2],
            squares: 0.0,
            count: 0,
        }
    }

    /// Listens to the next samples. What is not a number counts as silence.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            let sample = if sample.is_finite() { sample } else { 0.0 };
            self.squares += f64::from(sample) * f64::from(sample);
            self.count += 1;
            self.presence.push(sample);
            self.window.push(sample);
            if self.window.len() == self.hann.len() {
                self.judge_window();
                self.window.clear();
            }
        }
    }

    /// The judgement on all samples so far.
    pub fn report(&self) -> ToneReport {
        let ms = |samples: u64| (samples as f64 * 1_000.0 / self.sample_rate_hz) as f32;
        let rms = (self.squares / self.count.max(1) as f64).sqrt();
        let frequency_hz = self.dominant_hz();
        let (missing, longest) = self.presence.missing();
        ToneReport {
            heard: frequency_hz.is_some(),
            frequency_hz: frequency_hz.unwrap_or(0.0) as f32,
            level_dbfs: self.levels.median().unwrap_or(f64::from(FLOOR_DBFS)) as f32,
            purity_db: self.purities.median().unwrap_or(f64::from(FLOOR_DBFS)) as f32,
            missing_ms: ms(missing),
            longest_missing_ms: ms(longest),
            onset_ms: self.presence.onset.map(ms),
            clicks: self.presence.clicks,
            sound_dbfs: amplitude_to_dbfs(rms as f32),
            listened_ms: ms(self.count),
        }
    }

    fn judge_window(&mut self) {
        let weighed = self.window.iter().zip(&self.hann);
        let power: f64 = weighed
            .map(|(&s, &w)| f64::from(w) * f64::from(s) * f64::from(s))
            .sum();
        let power = power / total(&self.hann);
        if power < NOTHING * NOTHING / 2.0 {
            return;
        }
        // The expected one first: it is nearly always right, and the search is dear.
        let mut tone = self.refine(self.expected_hz);
        if tone.is_none_or(|(_, amplitude)| amplitude * amplitude / 2.0 < power / 2.0) {
            let candidates = (9..=340).map(|n| f64::from(n) * 10.0);
            let loudest = candidates
                .map(|hz| (hz, self.spectrum(hz, 0, &self.hann)))
                .map(|(hz, (re, im))| (hz, re * re + im * im))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            tone = loudest.and_then(|(hz, _)| self.refine(hz));
        }
        let Some((frequency_hz, amplitude)) = tone else {
            return;
        };
        let tone_power = amplitude * amplitude / 2.0;
        // A rest below −90 dB is the arithmetic's own.
        let rest = (power - tone_power).max(power * 1e-9);
        let purity_db = 10.0 * (tone_power / rest).log10();
        if purity_db >= TONAL_DB {
            self.purities.add(purity_db);
            self.levels.add(20.0 * amplitude.log10());
            let bin = &mut self.frequencies[(frequency_hz / 10.0) as usize];
            bin.0 += tone_power;
            bin.1 += tone_power * frequency_hz;
        }
    }

    /// Frequency and amplitude of the tone within 20 Hz of `near_hz`. The phase that it gains from
    /// one part of the window to another a quarter later gives the frequency far finer than the
    /// window's length alone.
    fn refine(&self, near_hz: f64) -> Option<(f64, f64)> {
        let apart = self.hann.len() - self.part_hann.len();
        let first = self.spectrum(near_hz, 0, &self.part_hann);
        let second = self.spectrum(near_hz, apart, &self.part_hann);
        let turned = (second.1.atan2(second.0) - first.1.atan2(first.0)) / TAU;
        let turned = turned - turned.round();
        let frequency_hz = near_hz + turned * self.sample_rate_hz / apart as f64;
        if !(LOWEST_HZ..HIGHEST_HZ).contains(&frequency_hz) {
            return None;
        }
        let (re, im) = self.spectrum(frequency_hz, 0, &self.hann);
        Some((frequency_hz, 2.0 * re.hypot(im) / total(&self.hann)))
    }

    /// The weighted Fourier sum at one frequency from `start` on, phases counted from the window's
    /// start.
    fn spectrum(&self, hz: f64, start: usize, weights: &[f32]) -> (f64, f64) {
        let angle = TAU * hz / self.sample_rate_hz;
        let (turn_im, turn_re) = (-angle).sin_cos();
        let (mut im, mut re) = (-angle * start as f64).sin_cos();
        let mut sum = (0.0, 0.0);
        for (&sample, &weight) in self.window[start..].iter().zip(weights) {
            let value = f64::from(sample * weight);
            sum.0 += value * re;
            sum.1 += value * im;
            (re, im) = (re * turn_re - im * turn_im, re * turn_im + im * turn_re);
        }
        sum
    }

    fn dominant_hz(&self) -> Option<f64> {
        // A tone on the border of two bins counts in both.
        let pairs = self
            .frequencies
            .windows(2)
            .map(|w| (w[0].0 + w[1].0, w[0].1 + w[1].1));
        pairs
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(power, _)| *power > 0.0)
            .map(|(power, moment)| moment / power)
    }
}

fn hann(length: usize) -> Vec<f32> {
    let angle = |n| PI * (n as f64 + 0.5) / length as f64;
    (0..length).map(|n| angle(n).sin().powi(2) as f32).collect()
}

fn total(weights: &[f32]) -> f64 {
    weights.iter().map(|&weight| f64::from(weight)).sum()
}

/// Whether the expected tone is there, block by block.
struct Presence {
    /// One block's cosine and sine at the expected frequency.
    basis: Vec<(f64, f64)>,
    /// The inverse of the basis's products: cos·cos, cos·sin, sin·sin.
    inverse: (f64, f64, f64),
    /// Twice the cosine of the tone's turn per sample: what predicts its next sample.
    turn: f64,
    /// A step beyond this share of the amplitude is a click: more than if the tone turned round,
    /// as concealment that plays backwards makes it do.
    kink: f64,
    filled: usize,
    cos: f64,
    sin: f64,
    squares: f64,
    previous: (f64, f64),
    /// The largest step in this block that the tone itself would not make.
    step: f64,
    /// What the tone's amplitude has been; follows slowly, so that a new level becomes the norm.
    norm: f64,
    blocks: u64,
    onset: Option<u64>,
    missing: u64,
    current_gap: u64,
    longest_gap: u64,
    clicks: u32,
}

impl Presence {
    fn new(frequency_hz: f64, rate: f64) -> Self {
        // Less than a whole period cannot be told from a slow drift.
        let length = (rate / 200.0).max(rate / frequency_hz.max(50.0)).ceil() as usize;
        let angle = TAU * frequency_hz / rate;
        let basis: Vec<(f64, f64)> = (0..length)
            .map(|n| ((angle * n as f64).cos(), (angle * n as f64).sin()))
            .collect();
        let (cc, cs, ss) = basis.iter().fold((0.0, 0.0, 0.0), |(cc, cs, ss), (c, s)| {
            (cc + c * c, cs + c * s, ss + s * s)
        });
        let determinant = cc * ss - cs * cs;
        Self {
            basis,
            inverse: (ss / determinant, -cs / determinant, cc / determinant),
            turn: 2.0 * angle.cos(),
            kink: 0.25 + 2.0 * angle,
            filled: 0,
            cos: 0.0,
            sin: 0.0,
            squares: 0.0,
            previous: (0.0, 0.0),
            step: 0.0,
            norm: 0.0,
            blocks: 0,
            onset: None,
            missing: 0,
            current_gap: 0,
            longest_gap: 0,
            clicks: 0,
        }
    }

    fn push(&mut self, sample: f32) {
        let sample = f64::from(sample);
        let (cos, sin) = self.basis[self.filled];
        self.cos += sample * cos;
        self.sin += sample * sin;
        self.squares += sample * sample;
        let expected = self.turn * self.previous.0 - self.previous.1;
        self.step = self.step.max((sample - expected).abs());
        self.previous = (sample, self.previous.0);
        self.filled += 1;
        if self.filled == self.basis.len() {
            self.judge_block();
        }
    }

    fn judge_block(&mut self) {
        let length = self.basis.len() as f64;
        let (cc, cs, ss) = self.inverse;
        // The least-squares fit of the tone, its energy, and what it leaves over.
        let a = cc * self.cos + cs * self.sin;
        let b = cs * self.cos + ss * self.sin;
        let energy = a * self.cos + b * self.sin;
        let rest = (self.squares - energy).max(0.0);
        let amplitude = (2.0 * energy.max(0.0) / length).sqrt();
        let there = amplitude > NOTHING && amplitude >= self.norm / 2.0 && energy > rest;
        let length = self.basis.len() as u64;
        if there {
            if self.onset.is_none() {
                self.onset = Some(self.blocks * length);
                self.norm = amplitude;
            } else if self.current_gap == 0 && self.step > self.norm * self.kink {
                self.clicks += 1;
            }
            self.norm += (amplitude - self.norm) / 50.0;
            self.current_gap = 0;
        } else if self.onset.is_some() {
            self.norm *= 0.997;
            self.missing += length;
            self.current_gap += length;
            self.longest_gap = self.longest_gap.max(self.current_gap);
        }
        self.blocks += 1;
        (self.filled, self.cos, self.sin) = (0, 0.0, 0.0);
        (self.squares, self.step) = (0.0, 0.0);
    }

    /// Samples in all gaps and in the longest.
    fn missing(&self) -> (u64, u64) {
        (self.missing, self.longest_gap)
    }
}

/// Counts of values between −130 and 130 dB, to a tenth: a median without keeping the values.
struct Histogram(Vec<u32>);

impl Histogram {
    fn new() -> Self {
        Self(vec![0; 2_601])
    }

    fn add(&mut self, db: f64) {
        // `as` saturates; the clamp keeps the index within.
        let index = ((db.clamp(-130.0, 130.0) + 130.0) * 10.0).round() as usize;
        self.0[index] = self.0[index].saturating_add(1);
    }

    fn median(&self) -> Option<f64> {
        let count: u64 = self.0.iter().map(|&n| u64::from(n)).sum();
        let mut seen = 0;
        let index = self.0.iter().position(|&n| {
            seen += u64::from(n);
            2 * seen >= count
        })?;
        (count > 0).then_some(index as f64 / 10.0 - 130.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, Encoder, Format, Tone};

    fn noise(level: f32, count: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| level * next()).collect()
    }

    fn tone(hz: f32, level_dbfs: f32, rate: u32, seconds: f32) -> Vec<f32> {
        let mut samples = vec![0.0; (rate as f32 * seconds) as usize];
        Tone::new(hz, level_dbfs, rate).fill(&mut samples);
        samples
    }

    fn judge(expected_hz: f32, rate: u32, samples: &[f32]) -> ToneReport {
        let mut detector = ToneDetector::new(expected_hz, rate);
        for portion in samples.chunks(113) {
            detector.push(portion);
        }
        detector.report()
    }

    #[test]
    fn the_right_tone_is_measured_and_nothing_is_missing() {
        for rate in [8_000, 16_000, 44_100, 48_000, 192_000] {
            for hz in [100.0, 123.4, 440.0, 1_000.0, 3_400.0] {
                let report = judge(hz, rate, &tone(hz, -12.0, rate, 2.0));
                assert!(report.heard, "{rate} {hz}");
                assert!(
                    (report.frequency_hz - hz).abs() < 0.1,
                    "{rate} {hz} {report:?}"
                );
                assert!(
                    (report.level_dbfs + 12.0).abs() < 0.2,
                    "{rate} {hz} {report:?}"
                );
                assert!(report.purity_db > 45.0, "{rate} {hz} {report:?}");
                assert_eq!(report.missing_ms, 0.0, "{rate} {hz}");
                assert_eq!(report.clicks, 0, "{rate} {hz}");
                assert_eq!(report.onset_ms, Some(0.0));
            }
        }
    }

    #[test]
    fn a_wrong_frequency_is_named() {
        for (expected, real) in [
            (440.0, 480.0),
            (440.0, 403.0),
            (440.0, 445.0),
            (440.0, 3_000.0),
        ] {
            let report = judge(expected, 48_000, &tone(real, -12.0, 48_000, 2.0));
            assert!(report.heard);
            assert!(
                (report.frequency_hz - real).abs() < 0.5,
                "{real} {report:?}"
            );
            assert!((report.level_dbfs + 12.0).abs() < 0.3, "{real} {report:?}");
        }
    }

    #[test]
    fn a_wrong_level_is_measured() {
        let report = judge(440.0, 48_000, &tone(440.0, -52.0, 48_000, 2.0));
        assert!(
            report.heard && (report.level_dbfs + 52.0).abs() < 0.2,
            "{report:?}"
        );
        assert_eq!(report.missing_ms, 0.0);
    }

    #[test]
    fn silence_and_noise_hold_no_tone_and_are_told_apart() {
        let silence = judge(440.0, 48_000, &[0.0; 96_000]);
        assert!(!silence.heard && silence.onset_ms.is_none());
        assert_eq!(silence.sound_dbfs, FLOOR_DBFS);
        assert_eq!(silence.listened_ms, 2_000.0);
        for rate in [8_000, 48_000] {
            let report = judge(440.0, rate, &noise(0.3, rate as usize * 5));
            assert!(!report.heard, "{report:?}");
            assert!(report.sound_dbfs > -20.0);
        }
        assert!(!judge(440.0, 48_000, &[f32::NAN; 9_600]).heard);
    }

    #[test]
    fn a_tone_in_noise_is_as_pure_as_it_is() {
        let mut samples = tone(440.0, -12.0, 48_000, 3.0);
        // Uniform noise of amplitude a has a power of a²/3: 20 dB below the tone's.
        let amplitude = 10f32.powf(-12.0 / 20.0) * (3.0f32 / 200.0).sqrt();
        for (sample, noise) in samples.iter_mut().zip(noise(amplitude, 144_000)) {
            *sample += noise;
        }
        let report = judge(440.0, 48_000, &samples);
        assert!((report.purity_db - 20.0).abs() < 1.0, "{report:?}");
        assert!((report.frequency_hz - 440.0).abs() < 0.2, "{report:?}");
        assert_eq!(report.missing_ms, 0.0);
    }

    #[test]
    fn gaps_are_measured_and_onset_is_not_a_gap() {
        let mut samples = vec![0.0; 24_000];
        samples.extend(tone(440.0, -12.0, 48_000, 3.0));
        samples[48_000..48_000 + 2_880].fill(0.0); // 60 ms
        samples[96_000..96_000 + 960].fill(0.0); // 20 ms
        let report = judge(440.0, 48_000, &samples);
        assert_eq!(report.onset_ms, Some(500.0));
        assert!((report.missing_ms - 80.0).abs() <= 10.0, "{report:?}");
        assert!(
            (report.longest_missing_ms - 60.0).abs() <= 5.0,
            "{report:?}"
        );
        assert!((report.level_dbfs + 12.0).abs() < 0.2, "{report:?}");
    }

    #[test]
    fn a_line_that_goes_dead_is_missing_to_the_end() {
        let mut samples = tone(440.0, -12.0, 48_000, 1.0);
        samples.extend(vec![0.0; 96_000]);
        let report = judge(440.0, 48_000, &samples);
        assert!(
            (report.longest_missing_ms - 2_000.0).abs() <= 5.0,
            "{report:?}"
        );
    }

    #[test]
    fn a_gap_filled_with_noise_is_still_a_gap() {
        let mut samples = tone(440.0, -12.0, 48_000, 2.0);
        samples[48_000..52_800].copy_from_slice(&noise(0.2, 4_800));
        let report = judge(440.0, 48_000, &samples);
        assert!((report.missing_ms - 100.0).abs() <= 15.0, "{report:?}");
    }

    #[test]
    fn a_cut_without_cross_fade_clicks() {
        let mut samples = tone(440.0, -12.0, 48_000, 2.0);
        samples.drain(48_027..48_082); // half a period, from crest to trough
        let report = judge(440.0, 48_000, &samples);
        assert_eq!(report.clicks, 1, "{report:?}");
        assert!(report.missing_ms <= 5.0);
    }

    #[test]
    fn a_new_level_is_a_gap_only_for_a_moment() {
        let mut samples = tone(440.0, -6.0, 48_000, 2.0);
        samples.extend(tone(440.0, -18.0, 48_000, 5.0));
        let report = judge(440.0, 48_000, &samples);
        assert!(report.missing_ms < 1_500.0, "{report:?}");
    }

    #[test]
    fn a_tone_through_opus_passes() {
        let format = Format::OPUS_48K_MONO;
        let mut encoder = Encoder::new(format, 32_000).unwrap();
        let mut decoder = Decoder::new(format).unwrap();
        let mut heard = Vec::new();
        for frame in tone(440.0, -12.0, 48_000, 3.0).chunks(480) {
            let mut payload = Vec::new();
            encoder.encode(frame, &mut payload).unwrap();
            decoder.decode(&payload, &mut heard).unwrap();
        }
        let report = judge(440.0, 48_000, &heard);
        assert!((report.frequency_hz - 440.0).abs() < 0.5, "{report:?}");
        assert!((report.level_dbfs + 12.0).abs() < 1.0, "{report:?}");
        assert!(report.purity_db > 15.0, "{report:?}");
        assert_eq!((report.missing_ms, report.clicks), (0.0, 0), "{report:?}");
    }
}
