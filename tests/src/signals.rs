//! Sound to play into the rig: chirps, tones and speech, mono at [`RATE`].

use std::{f64::consts::TAU, path::Path, process::Command};

use realfft::{RealFftPlanner, num_complex::Complex};

use crate::{rig::RATE, skip};

/// A sine that glides from one frequency to another, `seconds` long, with this peak. Every moment
/// of it is unlike every other, so its delay is unambiguous.
pub fn chirp(from_hz: f64, to_hz: f64, seconds: f64, peak: f64) -> Vec<f32> {
    let rate = f64::from(RATE);
    let slope = (to_hz - from_hz) / seconds;
    (0..(seconds * rate) as usize)
        .map(|n| {
            let t = n as f64 / rate;
            (peak * (TAU * (from_hz + slope * t / 2.0) * t).sin()) as f32
        })
        .collect()
}

/// A sine of one frequency, `seconds` long, with this peak.
pub fn tone(hz: f64, seconds: f64, peak: f64) -> Vec<f32> {
    chirp(hz, hz, seconds, peak)
}

/// The same sound again and again, until it is `seconds` long.
pub fn repeated(sound: &[f32], seconds: f64) -> Vec<f32> {
    let length = (seconds * f64::from(RATE)) as usize;
    sound.iter().copied().cycle().take(length).collect()
}

/// `text`, spoken by espeak-ng. `None`, with the reason printed, where that is missing.
///
/// # Panics
///
/// When espeak-ng fails, or is missing in CI ([`skip`]).
pub fn speech(text: &str) -> Option<Vec<f32>> {
    speech_by("en", text)
}

/// `text`, spoken by one of the voices of espeak-ng, such as `en-us`, `de` or `en-gb+f2`. `None`, with
/// the reason printed, where that is missing.
///
/// # Panics
///
/// When espeak-ng fails, or is missing in CI ([`skip`]).
pub fn speech_by(voice: &str, text: &str) -> Option<Vec<f32>> {
    let dir = tempfile::tempdir().expect("the system has a directory for temporary files");
    let file = dir.path().join("speech.wav");
    match Command::new("espeak-ng")
        .args(["-v", voice])
        .arg("-w")
        .arg(&file)
        .arg(text)
        .status()
    {
        Ok(status) => assert!(status.success(), "espeak-ng failed: {status}"),
        Err(error) => {
            skip(&format!(
                "this test needs espeak-ng ({error}); script/setup --tests installs it"
            ));
            return None;
        }
    }
    Some(read_wav(&file))
}

/// The first channel of a WAV file of 16-bit samples, at [`RATE`].
///
/// # Panics
///
/// When it cannot be read.
pub fn read_wav(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let spec = reader.spec();
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .step_by(usize::from(spec.channels))
        .map(|sample| f32::from(sample.expect("a whole WAV file of 16-bit samples")) / 32768.0)
        .collect();
    resample(&samples, spec.sample_rate, RATE)
}

/// Another sample rate for a whole signal, by cutting or padding its spectrum: exact below the lower
/// Nyquist frequency, and without delay.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to || samples.is_empty() {
        return samples.to_vec();
    }
    // Whole numbers of blocks in both rates, so that positions stay where they were.
    let divisor = gcd(from, to);
    let block = (from / divisor) as usize;
    let blocks = samples.len().div_ceil(block);
    let (from_length, to_length) = (blocks * block, blocks * (to / divisor) as usize);

    let mut planner = RealFftPlanner::<f32>::new();
    let mut padded = samples.to_vec();
    padded.resize(from_length, 0.0);
    let forward = planner.plan_fft_forward(from_length);
    let mut spectrum = forward.make_output_vec();
    forward
        .process(&mut padded, &mut spectrum)
        .expect("the buffers fit the plan");

    let inverse = planner.plan_fft_inverse(to_length);
    let mut resized = inverse.make_input_vec();
    let kept = spectrum.len().min(resized.len()) - 1;
    resized[..kept].copy_from_slice(&spectrum[..kept]);
    resized[0] = Complex::new(resized[0].re, 0.0);
    let mut output = inverse.make_output_vec();
    inverse
        .process(&mut resized, &mut output)
        .expect("the buffers fit the plan");

    let scale = 1.0 / from_length as f32;
    output.iter_mut().for_each(|sample| *sample *= scale);
    output.truncate(samples.len() * to as usize / from as usize);
    output
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{dominant_frequency, rms_dbfs, si_sdr};

    #[test]
    fn a_tone_has_its_frequency_and_level() {
        let tone = tone(440.0, 1.0, 0.5);
        assert_eq!(tone.len(), RATE as usize);
        assert!((dominant_frequency(&tone, RATE) - 440.0).abs() < 0.1);
        assert!((rms_dbfs(&tone) - -9.03).abs() < 0.01);
    }

    #[test]
    fn a_chirp_glides() {
        let chirp = chirp(500.0, 1500.0, 2.0, 0.5);
        let early = dominant_frequency(&chirp[..4800], RATE);
        let late = dominant_frequency(&chirp[chirp.len() - 4800..], RATE);
        assert!((early - 525.0).abs() < 30.0, "{early}");
        assert!((late - 1475.0).abs() < 30.0, "{late}");
    }

    #[test]
    fn resampling_keeps_frequency_level_and_position() {
        let at = |rate: u32| -> Vec<f32> {
            let hz = TAU * 1000.0 / f64::from(rate);
            // Faded, because the spectrum of a cut sine reaches beyond every Nyquist frequency.
            let fade = |n: u32| {
                (std::f64::consts::PI * f64::from(n) / f64::from(rate))
                    .sin()
                    .powi(2)
            };
            (0..rate)
                .map(|n| (0.3 * (hz * f64::from(n)).sin() * fade(n)) as f32)
                .collect()
        };
        let up = resample(&at(22_050), 22_050, 48_000);
        assert_eq!(up.len(), 48_000);
        let quality = si_sdr(&at(48_000), &up);
        assert!(quality > 80.0, "{quality} dB");
        assert!((rms_dbfs(&up) - rms_dbfs(&at(48_000))).abs() < 0.01);
    }

    #[test]
    fn speech_is_loud_enough_to_judge() {
        let Some(speech) = speech("one two three four five") else {
            return;
        };
        let seconds = speech.len() as f64 / f64::from(RATE);
        assert!((1.0..6.0).contains(&seconds), "{seconds} s");
        assert!(rms_dbfs(&speech) > -35.0, "{} dBFS", rms_dbfs(&speech));
    }
}
