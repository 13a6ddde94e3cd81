use super::*;

fn noise(level: f32, seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        level * ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    }
}

/// A voice of sorts: a comb of a gliding pitch, in syllables.
fn voice(n: usize, seed: u64) -> f32 {
    let t = n as f32 / 48_000.0 + seed as f32;
    let pitch = 110.0 + 7.0 * (seed % 13) as f32;
    let within = (t * 4.0).fract();
    let loud = (std::f32::consts::PI * within).sin();
    let phase = pitch * t + 2.0 * (2.0 * t).sin();
    let sum: f32 = (1..24)
        .map(|k| (std::f32::consts::TAU * (phase * k as f32).fract()).sin() / k as f32)
        .sum();
    0.15 * loud * sum
}

fn recording(gain_db: f32, lag_ms: usize, other: impl FnMut(usize) -> f32) -> ToneRecording {
    let tone = samples(SAMPLE_RATE_HZ);
    let gain = 10_f32.powf(gain_db / 20.0);
    let mut recording = ToneRecording::begin(Duration::from_millis(50));
    let mut captured: Vec<f32> = (0..48_000).map(other).collect();
    for (place, sample) in captured.iter_mut().skip(lag_ms * 48).zip(&tone) {
        *place += gain * sample;
    }
    for piece in captured.chunks(96) {
        if !recording.is_complete() {
            recording.push(piece);
        }
    }
    assert!(recording.is_complete());
    recording
}

#[test]
fn the_tone_is_short_and_soft_and_ends_in_silence() {
    for rate_hz in [44_100, 48_000] {
        let tone = samples(rate_hz);
        assert!(tone.len() as f32 / rate_hz as f32 <= 0.3);
        let peak = tone.iter().fold(0.0_f32, |most, s| most.max(s.abs()));
        assert!((0.03..0.075).contains(&peak), "{peak}");
        assert!(tone[0].abs() < 1e-4 && tone[tone.len() - 1].abs() < 1e-4);
        let step = tone.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(step.fold(0.0, f32::max) < 0.04);
    }
}

#[test]
fn an_echo_is_found_with_its_level_and_its_lag() {
    for gain_db in [-38.0, -30.0, -20.0, -10.0, 0.0, 6.0] {
        for lag_ms in [20, 120, 300] {
            let mut room = noise(3e-4, 7);
            let found = recording(gain_db, lag_ms, |_| room()).measure();
            let EchoPath::Some {
                gain_db: told,
                lag_ms: at,
            } = found
            else {
                panic!("{gain_db} dB, {lag_ms} ms: {found:?}");
            };
            assert!((told - gain_db).abs() < 2.5, "{gain_db} dB: {told} dB");
            assert!(at.abs_diff(lag_ms as u32) <= 2, "{lag_ms} ms: {at} ms");
        }
    }
}

#[test]
fn while_somebody_speaks_an_echo_is_found_or_nothing_is_said() {
    for seed in 1..=20 {
        let found = recording(-12.0, 90, |n| voice(n, seed)).measure();
        assert!(matches!(found, EchoPath::Some { .. }), "{seed}: {found:?}");
        let found = recording(-200.0, 90, |n| voice(n, seed)).measure();
        assert!(
            matches!(found, EchoPath::None | EchoPath::Unknown),
            "{seed}: {found:?}"
        );
    }
}

#[test]
fn nothing_is_found_where_there_is_nothing() {
    for seed in 1..=30 {
        let mut room = noise(10_f32.powf(-(30.0 + seed as f32) / 20.0), seed);
        let found = recording(-200.0, 90, |_| room()).measure();
        assert!(
            matches!(found, EchoPath::None | EchoPath::Unknown),
            "{seed}: {found:?}"
        );
        if seed > 25 {
            assert_eq!(
                found,
                EchoPath::None,
                "{seed}: a quiet room is enough to tell"
            );
        }
    }
    // Digital silence, as of a microphone with a switch.
    assert_eq!(recording(-200.0, 90, |_| 0.0).measure(), EchoPath::None);
}
