use super::*;
use crate::measure::{fan_noise, noise};

/// Seeded numbers from 0 to 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.next()
    }
}

const RATE: usize = 48_000;

/// A voice: syllables of 80 to 400 ms, or vowels of up to 2 s, with pauses; harmonics of a gliding
/// pitch below moving formants, and hiss at the beginning of some.
fn voice(random: &mut Random, seconds: usize, longest_s: f32) -> Vec<f32> {
    let pitch = random.between(90.0, 240.0);
    let mut samples = Vec::with_capacity(seconds * RATE);
    let mut phase = 0.0_f32;
    while samples.len() < seconds * RATE {
        let length = (random.between(0.08, longest_s) * RATE as f32) as usize;
        let formants = [
            random.between(270.0, 800.0),
            random.between(850.0, 2_300.0),
            random.between(2_400.0, 3_000.0),
        ];
        let bend = random.between(-0.15, 0.15);
        let level = random.between(0.03, 0.15);
        let hiss = if random.next() < 0.3 { length / 4 } else { 0 };
        for n in 0..length {
            let within = n as f32 / length as f32;
            let loud = (std::f32::consts::PI * within).sin().sqrt();
            let f0 = pitch * (1.0 + bend * within);
            phase = (phase + f0 / RATE as f32).fract();
            let sample = if n < hiss {
                random.between(-1.0, 1.0)
            } else {
                (1..=(3_600.0 / f0) as usize)
                    .step_by(2)
                    .map(|k| {
                        let frequency = k as f32 * f0;
                        let weight: f32 = formants
                            .iter()
                            .map(|formant| 1.0 / (1.0 + ((frequency - formant) / 90.0).powi(2)))
                            .sum();
                        (weight + 0.02) * (std::f32::consts::TAU * (phase * k as f32).fract()).sin()
                    })
                    .sum()
            };
            samples.push(level * loud * sample);
        }
        let pause = (random.between(0.0, 0.25) * RATE as f32) as usize;
        samples.extend(std::iter::repeat_n(0.0, pause));
    }
    samples.truncate(seconds * RATE);
    samples
}

/// Chords of a scale, held for 0.2 to 1 s.
fn music(random: &mut Random, seconds: usize) -> Vec<f32> {
    let mut samples = Vec::with_capacity(seconds * RATE);
    while samples.len() < seconds * RATE {
        let length = (random.between(0.2, 1.0) * RATE as f32) as usize;
        let notes: Vec<f32> = (0..3)
            .map(|_| 220.0 * 2_f32.powf((random.next() * 24.0).floor() / 12.0))
            .collect();
        for n in 0..length {
            let t = n as f32 / RATE as f32;
            let sum: f32 = notes
                .iter()
                .flat_map(|note| (1..5).map(move |k| (note * k as f32, 1.0 / k as f32)))
                .map(|(frequency, level)| level * (std::f32::consts::TAU * frequency * t).sin())
                .sum();
            samples.push(0.04 * sum * (-2.0 * t).exp());
        }
    }
    samples.truncate(seconds * RATE);
    samples
}

fn sound(random: &mut Random, seconds: usize) -> Vec<f32> {
    match (random.next() * 5.0) as usize {
        0 => music(random, seconds),
        1 => voice(random, seconds, 2.0),
        _ => voice(random, seconds, 0.4),
    }
}

/// `sound` later and at another level.
fn later(sound: &[f32], ms: usize, gain_db: f32) -> Vec<f32> {
    let gain = 10_f32.powf(gain_db / 20.0);
    let mut moved = vec![0.0; (ms * 48).min(sound.len())];
    moved.extend(sound.iter().map(|sample| gain * sample));
    moved.truncate(sound.len());
    moved
}

fn add(to: &mut [f32], other: &[f32]) {
    for (sample, other) in to.iter_mut().zip(other) {
        *sample += other;
    }
}

/// A room: the direct way, and reflections that die away.
fn in_a_room(random: &mut Random, played: &[f32], lag_ms: usize, gain_db: f32) -> Vec<f32> {
    let mut heard = later(played, lag_ms, gain_db);
    for _ in 0..12 {
        let after = random.between(0.001, 0.15);
        let level = gain_db - 10.0 - 60.0 * after / 0.3;
        let ms = lag_ms + (after * 1e3) as usize;
        add(&mut heard, &later(played, ms, level));
    }
    heard
}

/// Runs both and returns after how many seconds coupling was seen, and what then; the monitor; and
/// for how many steps at most something stood out.
fn watch(played: &[f32], captured: &[f32]) -> (Option<(f32, Coupling)>, CouplingMonitor, u32) {
    let mut monitor = CouplingMonitor::new().unwrap();
    let mut first = None;
    let mut longest = 0;
    let frames = played.chunks_exact(480).zip(captured.chunks_exact(480));
    for (step, (played, captured)) in frames.enumerate() {
        monitor.push(played.try_into().unwrap(), captured.try_into().unwrap());
        longest = longest.max(monitor.stays);
        if first.is_none()
            && let Some(coupling) = monitor.coupling()
        {
            first = Some((step as f32 / 100.0, coupling));
        }
    }
    (first, monitor, longest)
}

#[test]
fn without_coupling_none_is_seen_in_200_calls() {
    let mut most = Vec::new();
    for seed in 1..=200_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..4 {
            random.next();
        }
        let seconds = 8;
        let near = sound(&mut random, seconds);
        let noise_level = 10_f32.powf(random.between(-80.0, -35.0) / 20.0);
        let mut captured = near.clone();
        add(
            &mut captured,
            &fan_noise(10.0 * noise_level, seed, near.len()),
        );
        let is_echo_call = random.next() < 0.5;
        let played = if is_echo_call {
            // One's own voice again: the server's answer, not the room's.
            let ms = random.between(20.0, 300.0) as usize;
            later(&captured, ms, -3.0)
        } else {
            let mut far = sound(&mut random, seconds);
            add(&mut far, &noise(noise_level, seed + 1_000, near.len()));
            far
        };
        let (seen, monitor, longest) = watch(&played, &captured);
        assert_eq!(seen, None, "call {seed}, echo call: {is_echo_call}");
        assert!(!monitor.howls(), "call {seed}");
        most.push(longest);
    }
    most.sort_unstable();
    println!("steps for which something stood out: {:?}", &most[180..]);
}

#[test]
fn coupling_is_seen_within_two_seconds_of_speech_and_where_it_is() {
    for seed in 1..=12_u64 {
        for gain_db in [-30.0, -20.0, -10.0, 0.0, 6.0] {
            for lag_ms in [60, 160, 340] {
                let mut random = Random(seed * 77_777 + 1);
                let played = voice(&mut random, 4, 0.4);
                let mut captured = in_a_room(&mut random, &played, lag_ms, gain_db);
                add(&mut captured, &fan_noise(0.002, seed, played.len()));
                let (seen, monitor, _) = watch(&played, &captured);
                let setting = format!("call {seed}, {gain_db} dB, {lag_ms} ms");
                let (after, coupling) = seen.expect(&setting);
                assert!(after < 2.0, "{setting}: {after} s");
                let off_ms = coupling.lag.as_millis().abs_diff(lag_ms as u128);
                assert!(off_ms <= 15, "{setting}: {coupling:?}");
                let gain = monitor.coupling().unwrap().gain_db;
                assert!((gain - gain_db).abs() < 6.0, "{setting}: {gain} dB");
            }
        }
    }
}

#[test]
fn coupling_is_seen_in_double_talk() {
    let mut times = Vec::new();
    for seed in 1..=12_u64 {
        for gain_db in [-20.0, -10.0, 0.0] {
            let mut random = Random(seed * 31_337 + 7);
            let near = voice(&mut random, 10, 0.4);
            let far = voice(&mut random, 10, 0.4);
            let mut captured = in_a_room(&mut random, &far, 120, gain_db);
            add(&mut captured, &near);
            let (seen, _, _) = watch(&far, &captured);
            let setting = format!("call {seed}, {gain_db} dB");
            let (after, coupling) = seen.expect(&setting);
            let off_ms = coupling.lag.as_millis().abs_diff(120);
            assert!(off_ms <= 15, "{setting}: {coupling:?} after {after} s");
            times.push(after);
        }
    }
    times.sort_by(f32::total_cmp);
    println!("seen after, s: {times:?}");
    assert!(times[times.len() / 2] < 2.2);
}

#[test]
fn a_loop_that_howls_is_noticed_and_speech_that_is_returned_is_none() {
    for seed in 1..=12_u64 {
        for (gain_db, echo_ms) in [(4.0, 60), (6.0, 60), (6.0, 250)] {
            let mut random = Random(seed * 31_337 + 7);
            let near = voice(&mut random, 8, 0.4);
            let (played, captured) = loop_through(&near, echo_ms, 120, gain_db);
            let (_, monitor, _) = watch(&played, &captured);
            let setting = format!("call {seed}, {gain_db} dB, {echo_ms} ms");
            assert!(monitor.howls() || monitor.coupling().is_some(), "{setting}");
        }
        let mut random = Random(seed * 31_337 + 7);
        let near = voice(&mut random, 8, 0.4);
        let (played, captured) = loop_through(&near, 60, 120, -60.0);
        let (_, monitor, _) = watch(&played, &captured);
        assert!(!monitor.howls(), "call {seed}");
    }
}

/// An echo call over a loudspeaker: what is captured comes back `echo_ms` later at −3 dB and is
/// heard again `lag_ms` after that, limited as every device limits.
fn loop_through(near: &[f32], echo_ms: usize, lag_ms: usize, gain_db: f32) -> (Vec<f32>, Vec<f32>) {
    let gain = 10_f32.powf(gain_db / 20.0);
    let mut played = vec![0.0_f32; near.len()];
    let mut captured = vec![0.0_f32; near.len()];
    for n in 0..near.len() {
        let heard = n
            .checked_sub(lag_ms * 48)
            .map_or(0.0, |at| gain * played[at]);
        captured[n] = (near[n] + heard).clamp(-1.0, 1.0);
        played[n] = n
            .checked_sub(echo_ms * 48)
            .map_or(0.0, |at| (0.7 * captured[at]).clamp(-1.0, 1.0));
    }
    (played, captured)
}

#[test]
fn a_coupling_that_has_ended_is_forgotten() {
    let mut random = Random(4_711);
    let played = voice(&mut random, 20, 0.4);
    let mut captured = in_a_room(&mut random, &played, 90, -12.0);
    captured[10 * RATE..].fill(0.0);
    add(&mut captured, &fan_noise(0.003, 9, played.len()));
    let (seen, monitor, _) = watch(&played, &captured);
    assert!(seen.is_some());
    assert_eq!(monitor.coupling(), None);
    assert!(monitor.without() > Duration::from_secs(3));
}

#[test]
fn silence_tells_nothing() {
    let silence = vec![0.0; 5 * RATE];
    let mut random = Random(99);
    let (seen, monitor, _) = watch(&silence, &voice(&mut random, 5, 0.4));
    assert_eq!(seen, None);
    assert_eq!(monitor.without(), Duration::ZERO);
}
