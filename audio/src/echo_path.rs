//! Finds a chirp that was played in what a microphone recorded: when it came, and how loud. Pure.
//!
//! A matched filter (the recording correlated with the chirp itself) finds it under noise that the
//! ear would find it hard under; a sine would be found again each period.

use std::{f32::consts::TAU, time::Duration};

/// The chirp: within what any speaker and microphone carry, and telephone headsets too.
const FROM_HZ: f32 = 500.0;
const TO_HZ: f32 = 3_500.0;
const LENGTH: Duration = Duration::from_millis(80);
const RAMP: Duration = Duration::from_millis(8);

/// Correlating is done at this rate or a little above: enough for the chirp.
const LEAST_RATE_HZ: u32 = 12_000;

/// A match is at least this good, of 1. Noise alone comes to some 0.1; a chirp 10 dB below the
/// noise to 0.3.
const LEAST_CORRELATION: f32 = 0.2;

/// Chirps of one sounding are believed only when their delays agree so well.
const AGREEMENT: Duration = Duration::from_millis(6);

/// One chirp found in a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Echo {
    /// From the beginning of the recording to the chirp's first sample.
    pub delay: Duration,
    /// Its level against the chirp's as made, in dB.
    pub gain_db: f32,
    /// How much of the recording at that place is the chirp, 0 to 1.
    pub correlation: f32,
}

/// The chirp with peaks at `peak`, mono.
pub fn chirp(peak: f32, rate_hz: u32) -> Vec<f32> {
    let rate = rate_hz as f32;
    let seconds = LENGTH.as_secs_f32();
    let samples = (seconds * rate) as usize;
    let ramp = (RAMP.as_secs_f32() * rate).max(1.0);
    (0..samples)
        .map(|index| {
            let t = index as f32 / rate;
            let turns = FROM_HZ * t + (TO_HZ - FROM_HZ) * t * t / (2.0 * seconds);
            let edge = (index.min(samples - index) as f32 / ramp).min(1.0);
            peak * edge * (TAU * turns).sin()
        })
        .collect()
}

/// The best match of a chirp with peaks at `peak` in `recording` (mono); `None` when there is none
/// that is good enough.
pub fn find(recording: &[f32], peak: f32, rate_hz: u32) -> Option<Echo> {
    let factor = (rate_hz / LEAST_RATE_HZ).max(1) as usize;
    let template = decimated(&chirp(peak, rate_hz), factor);
    let recording = decimated(recording, factor);
    let template_energy = energy(&template);
    let mut best: Option<(usize, f32, f32)> = None;
    for (index, window) in recording.windows(template.len()).enumerate() {
        let loudness = energy(window);
        // Digital silence correlates with nothing.
        if loudness <= f32::MIN_POSITIVE || template_energy <= f32::MIN_POSITIVE {
            continue;
        }
        let product: f32 = window.iter().zip(&template).map(|(a, b)| a * b).sum();
        // A microphone wired the other way round hears the same chirp.
        let correlation = product.abs() / (loudness * template_energy).sqrt();
        if best.is_none_or(|(_, known, _)| correlation > known) {
            best = Some((index, correlation, product.abs() / template_energy));
        }
    }
    let (index, correlation, gain) = best?;
    (correlation >= LEAST_CORRELATION).then(|| Echo {
        delay: Duration::from_secs_f64((index * factor) as f64 / f64::from(rate_hz)),
        gain_db: crate::meter::amplitude_to_dbfs(gain),
        correlation,
    })
}

/// What several soundings say together: the middle one of those that agree, when more than half
/// of all do. One slammed door is no echo.
pub fn agreed(soundings: &[Option<Echo>]) -> Option<Echo> {
    let mut found: Vec<Echo> = soundings.iter().flatten().copied().collect();
    found.sort_by_key(|echo| echo.delay);
    let middle = *found.get(found.len() / 2)?;
    let alike = found
        .iter()
        .filter(|echo| echo.delay.abs_diff(middle.delay) <= AGREEMENT)
        .count();
    (alike * 2 > soundings.len()).then_some(middle)
}

/// Means of `factor` samples at a time: the chirp's band passes.
fn decimated(samples: &[f32], factor: usize) -> Vec<f32> {
    samples
        .chunks_exact(factor)
        .map(|group| group.iter().sum::<f32>() / factor as f32)
        .collect()
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEAK: f32 = 0.05;

    /// White noise, the same for the same seed.
    fn noise(samples: usize, amplitude: f32, mut seed: u32) -> Vec<f32> {
        (0..samples)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                amplitude * (seed as f32 / u32::MAX as f32 * 2.0 - 1.0)
            })
            .collect()
    }

    fn with_chirp(mut recording: Vec<f32>, at: usize, gain: f32, rate_hz: u32) -> Vec<f32> {
        for (sample, chirp) in recording[at..].iter_mut().zip(chirp(PEAK, rate_hz)) {
            *sample += gain * chirp;
        }
        recording
    }

    fn ms(echo: &Echo) -> f64 {
        echo.delay.as_secs_f64() * 1e3
    }

    #[test]
    fn a_known_delay_and_level_are_found_at_any_rate() {
        for rate_hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
            let at = (rate_hz as f32 * 0.137) as usize;
            let quiet = vec![0.0; rate_hz as usize / 2];
            let echo = find(&with_chirp(quiet, at, 0.1, rate_hz), PEAK, rate_hz).unwrap();
            assert!((ms(&echo) - 137.0).abs() < 0.3, "{rate_hz}: {echo:?}");
            assert!((echo.gain_db + 20.0).abs() < 0.5, "{rate_hz}: {echo:?}");
        }
    }

    #[test]
    fn it_is_found_upside_down() {
        let recording = with_chirp(vec![0.0; 24_000], 4_800, -1.0, 48_000);
        let echo = find(&recording, PEAK, 48_000).unwrap();
        assert!((ms(&echo) - 100.0).abs() < 0.3, "{echo:?}");
    }

    #[test]
    fn it_is_found_below_the_noise() {
        let rate_hz = 48_000;
        for seed in 1..=5 {
            // Noise of white spectrum over 24 kHz, 6 dB above the chirp.
            let loud = noise(24_000, PEAK * 2.0_f32.sqrt() * 3.0_f32.sqrt(), seed);
            let echo = find(&with_chirp(loud, 9_600, 1.0, rate_hz), PEAK, rate_hz).unwrap();
            assert!((ms(&echo) - 200.0).abs() < 0.5, "{seed}: {echo:?}");
        }
    }

    #[test]
    fn noise_a_hum_and_silence_are_no_chirp() {
        for seed in 1..=20 {
            assert_eq!(find(&noise(24_000, 0.3, seed), PEAK, 48_000), None);
        }
        let hum: Vec<f32> = (0..24_000)
            .map(|n| 0.3 * (TAU * 50.0 * n as f32 / 48_000.0).sin())
            .collect();
        assert_eq!(find(&hum, PEAK, 48_000), None);
        assert_eq!(find(&[0.0; 24_000], PEAK, 48_000), None);
        assert_eq!(find(&[], PEAK, 48_000), None);
    }

    #[test]
    fn soundings_must_agree() {
        let echo = |ms| {
            Some(Echo {
                delay: Duration::from_millis(ms),
                gain_db: -20.0,
                correlation: 0.6,
            })
        };
        let delay = |soundings: &[Option<Echo>]| agreed(soundings).map(|e| e.delay.as_millis());
        assert_eq!(delay(&[echo(100), echo(101), echo(350)]), Some(101));
        assert_eq!(delay(&[echo(100), None, echo(103)]), Some(103));
        assert_eq!(delay(&[echo(100), None, None]), None);
        assert_eq!(delay(&[echo(100), echo(200), echo(300)]), None);
        assert_eq!(delay(&[]), None);
    }
}
