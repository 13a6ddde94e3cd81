use std::f32::consts::TAU;

use super::*;
use crate::measure::{noise, rms_db};

const RATE_HZ: u32 = 48_000;
const MAX_LAG: Duration = Duration::from_millis(700);
/// −24 dBFS.
const PEAK: f32 = 0.063;

fn chirp(length_ms: u64, rate_hz: u32) -> Probe {
    Probe::chirp(Duration::from_millis(length_ms), PEAK, rate_hz)
}

/// `recording` with the probe added where it was played, `lag_ms` later and times `gain`.
fn with_echo(
    mut recording: Vec<f32>,
    probe: &Probe,
    starts: &[usize],
    lag_ms: usize,
    gain: f32,
) -> Vec<f32> {
    let lag = lag_ms * probe.rate_hz() as usize / 1_000;
    for start in starts {
        for (sample, probe) in recording[start + lag..].iter_mut().zip(probe.samples()) {
            *sample += gain * probe;
        }
    }
    recording
}

/// Something like a voice: harmonics of a pitch that glides, in syllables, at −20 dBFS.
fn voice(seed: u32, seconds: f32) -> Vec<f32> {
    let count = (seconds * RATE_HZ as f32) as usize;
    let mut turns = 0.0;
    let mut samples: Vec<f32> = (0..count)
        .map(|n| {
            let t = n as f32 / RATE_HZ as f32 + seed as f32;
            let pitch_hz = 110.0 + 12.0 * seed as f32 + 25.0 * (TAU * 0.7 * t).sin();
            turns += pitch_hz / RATE_HZ as f32;
            let syllable = (TAU * 2.1 * t).sin().max(0.0);
            let harmonics = (1..30).map(|h| {
                let h = h as f32;
                // Falls by 6 dB an octave, with a formant that wanders.
                let formant_hz = 900.0 + 500.0 * (TAU * 1.3 * t).sin();
                let near = 1.0 / (1.0 + ((h * pitch_hz - formant_hz) / 300.0).powi(2));
                (0.2 + near) / h * (TAU * (h * turns).fract()).sin()
            });
            syllable * harmonics.sum::<f32>()
        })
        .collect();
    let gain = 10.0_f32.powf((-20.0 - rms_db(&samples) as f32) / 20.0);
    for sample in &mut samples {
        *sample *= gain;
    }
    samples
}

fn heard(measurement: Measurement) -> EchoPath {
    match measurement {
        Measurement::Heard(path) => path,
        Measurement::NotHeard { detectable_db } => {
            panic!("not heard, detectable at {detectable_db} dB")
        }
    }
}

fn lag_ms(path: &EchoPath) -> f64 {
    path.lag.as_secs_f64() * 1e3
}

#[test]
fn lag_and_gain_are_found_at_any_rate() {
    for rate_hz in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let probe = chirp(300, rate_hz);
        let starts = [rate_hz as usize / 10];
        let quiet = vec![0.0; rate_hz as usize * 3 / 2];
        let recording = with_echo(quiet, &probe, &starts, 137, 0.1);
        let path = heard(find(&recording, &probe, &starts, MAX_LAG));
        assert!((lag_ms(&path) - 137.0).abs() < 0.3, "{rate_hz}: {path:?}");
        assert!((path.gain_db + 20.0).abs() < 1.0, "{rate_hz}: {path:?}");
    }
}

#[test]
fn a_microphone_that_is_wired_the_other_way_round_hears_the_same() {
    let probe = chirp(300, RATE_HZ);
    let recording = with_echo(vec![0.0; 72_000], &probe, &[0], 100, -1.0);
    let path = heard(find(&recording, &probe, &[0], MAX_LAG));
    assert!((lag_ms(&path) - 100.0).abs() < 0.3, "{path:?}");
    assert!(path.gain_db.abs() < 1.0, "{path:?}");
}

#[test]
fn an_echo_of_minus_twenty_db_is_found_under_a_voice() {
    for seed in 1..=4 {
        // One short sound, and three longer ones.
        for (length_ms, starts) in [(300, vec![4_800]), (400, vec![4_800, 40_800, 76_800])] {
            let probe = chirp(length_ms, RATE_HZ);
            let seconds = 1.5 + 0.75 * (starts.len() - 1) as f32;
            let recording = with_echo(voice(seed, seconds), &probe, &starts, 120, 0.1);
            let path = heard(find(&recording, &probe, &starts, MAX_LAG));
            assert!((lag_ms(&path) - 120.0).abs() < 0.3, "{seed}: {path:?}");
            assert!((path.gain_db + 20.0).abs() < 3.0, "{seed}: {path:?}");
        }
    }
}

#[test]
fn a_weaker_echo_is_found_when_it_was_played_several_times() {
    let probe = chirp(400, RATE_HZ);
    let starts = [4_800, 40_800, 76_800];
    for seed in 1..=4 {
        let recording = with_echo(voice(seed, 3.0), &probe, &starts, 90, 0.03);
        let path = heard(find(&recording, &probe, &starts, MAX_LAG));
        assert!((lag_ms(&path) - 90.0).abs() < 0.3, "{seed}: {path:?}");
    }
}

#[test]
fn clocks_that_differ_by_two_hundred_ppm_do_not_hide_it() {
    let probe = chirp(400, RATE_HZ);
    let starts = [4_800, 40_800, 76_800];
    // Where the clock of the microphone puts them.
    let late: Vec<_> = starts.iter().map(|at| at + at / 5_000).collect();
    let recording = with_echo(noise(0.003, 1, 144_000), &probe, &late, 90, 0.03);
    let path = heard(find(&recording, &probe, &starts, MAX_LAG));
    assert!((lag_ms(&path) - 90.0).abs() < 1.0, "{path:?}");
}

#[test]
fn voices_noise_tones_and_silence_are_no_echo() {
    let probe = chirp(300, RATE_HZ);
    let sine = |hz: f32| -> Vec<f32> {
        (0..72_000)
            .map(|n| 0.3 * (TAU * hz * n as f32 / RATE_HZ as f32).sin())
            .collect()
    };
    let sounds = (1..=10)
        .flat_map(|seed| [voice(seed, 1.5), noise(0.3, u64::from(seed), 72_000)])
        .chain([
            sine(50.0),
            sine(440.0),
            vec![0.0; 72_000],
            vec![],
            vec![0.1; 10],
        ]);
    for (index, sound) in sounds.enumerate() {
        let found = find(&sound, &probe, &[4_800], MAX_LAG);
        assert!(
            matches!(found, Measurement::NotHeard { .. }),
            "{index}: {found:?}"
        );
    }
}

#[test]
fn how_weak_an_echo_would_have_been_found_depends_on_the_noise() {
    let probe = chirp(400, RATE_HZ);
    let starts = [4_800, 40_800, 76_800];
    let detectable_db = |amplitude| {
        let recording = noise(amplitude, 7, 144_000);
        match find(&recording, &probe, &starts, MAX_LAG) {
            Measurement::NotHeard { detectable_db } => detectable_db,
            Measurement::Heard(path) => panic!("{path:?}"),
        }
    };
    // −75 dBFS, −25 dBFS, and as loud as noise can be.
    let levels = [0.000_3, 0.1, 1.0].map(detectable_db);
    assert!(levels[0] <= -50.0, "{levels:?}");
    assert!(levels[1] <= -25.0 && levels[1] > levels[0], "{levels:?}");
    assert!(levels[2] > levels[1], "{levels:?}");
}

#[test]
fn confidence_counts_the_zeros_of_the_odds() {
    // One exponential: e^-x, at any of 100 places.
    let x = 20.0 * std::f32::consts::LN_10;
    assert!((confidence(x, 1, 100) - 18.0).abs() < 0.01);
    // The mean of noise says nothing.
    assert_eq!(confidence(1.0, 1, 100), 0.0);
    assert!(confidence(x, 3, 100) < confidence(x, 1, 100));
}
