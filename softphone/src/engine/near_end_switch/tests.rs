use audio::near_end::EchoCanceller;

use super::*;

const CANCELLER: NearEndOptions = NearEndOptions {
    echo_canceller: Some(EchoCanceller::Aec3),
    noise_suppression: false,
    gain_control: false,
    high_pass: true,
};
const HIGH_PASS: NearEndOptions = NearEndOptions {
    echo_canceller: None,
    ..CANCELLER
};
const OFF: NearEndOptions = NearEndOptions {
    high_pass: false,
    ..HIGH_PASS
};

/// Samples by which the high-pass delays, which come first where it is on from the beginning.
const LEAD: usize = 46;

/// 1 kHz in words of 0.7 s with pauses of 0.3 s.
fn words(n: usize) -> f32 {
    let t = n as f32 / 48_000.0;
    let within = t.fract() / 0.7;
    let loud = if within < 1.0 {
        (std::f32::consts::PI * within).sin()
    } else {
        0.0
    };
    0.3 * loud * (std::f32::consts::TAU * (1_000.0 * t).fract()).sin()
}

/// What comes out with these changes, in pieces of 2 ms, and when they took place.
fn run(changes: &[(u64, NearEndOptions, bool)], seconds: u64) -> (Vec<f32>, Vec<u64>) {
    let mut switch = NearEndSwitch::default();
    let mut output = Vec::new();
    let mut took_place = Vec::new();
    let mut captured = 0;
    for ms in (0..seconds * 1_000).step_by(2) {
        let now = Duration::from_millis(ms);
        for &(_, options, urgent) in changes.iter().filter(|change| change.0 == ms) {
            switch.set(options, urgent, now).unwrap();
        }
        let before = switch.current.options();
        let piece: Vec<f32> = (captured..captured + 96).map(words).collect();
        captured += 96;
        switch.process(&piece, Duration::ZERO, now, &mut output);
        if switch.current.options() != before {
            took_place.push(ms);
        }
        let (unframed, delayed) = switch.held();
        let lead = if changes[0].0 == 0 { LEAD } else { 0 };
        assert_eq!(
            output.len() + unframed + delayed,
            captured + lead,
            "at {ms} ms"
        );
        assert!(unframed <= 480, "{unframed} at {ms} ms");
    }
    (output, took_place)
}

/// Every sample is where it was captured, and there is no step.
fn assert_in_place(output: &[f32], but: impl Fn(usize) -> bool) {
    for (n, &sample) in output.iter().enumerate() {
        let off = (sample - words(n)).abs();
        // The high-pass turns the phase a little; half a millisecond would be 0.3.
        assert!(off < 0.14 || but(n), "{off} at {} ms", n / 48);
    }
    let steps = output.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    // The steepest of the tone itself.
    assert!(steps.fold(0.0, f32::max) < 0.045);
}

#[test]
fn a_change_waits_for_a_pause_and_moves_no_sample() {
    let (output, took_place) = run(&[(1_100, HIGH_PASS, false), (3_000, OFF, false)], 5);
    assert_eq!(took_place.len(), 2, "{took_place:?}");
    // In the pause of the second second, and of the fourth.
    assert!((1_700..2_010).contains(&took_place[0]), "{took_place:?}");
    assert!((3_700..4_010).contains(&took_place[1]), "{took_place:?}");
    assert_in_place(&output, |_| false);
}

#[test]
fn the_canceller_goes_on_and_off_without_a_loss() {
    let changes = [
        (1_100, CANCELLER, false),
        (3_000, HIGH_PASS, false),
        (5_000, OFF, false),
    ];
    let (output, took_place) = run(&changes, 7);
    assert_eq!(took_place.len(), 3, "{took_place:?}");
    assert_in_place(&output, |_| false);
}

#[test]
fn what_is_urgent_is_done_in_the_midst_of_a_word_without_a_click() {
    let (output, took_place) = run(&[(1_300, HIGH_PASS, true)], 3);
    assert_eq!(took_place, [1_300]);
    // A path without a past takes a moment to find its place.
    assert_in_place(&output, |n| (1_295 * 48..1_420 * 48).contains(&n));
}

#[test]
fn before_the_first_sound_it_is_done_at_once_and_a_change_may_be_taken_back() {
    let (output, took_place) = run(&[(0, HIGH_PASS, false)], 2);
    assert_eq!(took_place, [0_u64; 0], "it was so from the beginning");
    assert_in_place(&output[LEAD..], |_| false);
    let (_, took_place) = run(&[(1_100, HIGH_PASS, false), (1_400, OFF, false)], 3);
    assert_eq!(took_place, [0_u64; 0]);
}

#[test]
fn somebody_who_never_pauses_is_not_waited_for_for_long() {
    let mut switch = NearEndSwitch::default();
    let mut output = Vec::new();
    for ms in (0..4_000).step_by(10) {
        let now = Duration::from_millis(ms);
        if ms == 1_000 {
            switch.set(HIGH_PASS, false, now).unwrap();
        }
        let hum: Vec<f32> = (0..480)
            .map(|n| 0.2 * (std::f32::consts::TAU * n as f32 * 4.0 / 480.0).sin())
            .collect();
        switch.process(&hum, Duration::ZERO, now, &mut output);
        let is_on = switch.stats().is_some();
        assert_eq!(is_on, ms >= 2_200, "at {ms} ms");
    }
}

#[test]
fn what_was_held_when_the_microphone_went_away_is_counted() {
    let mut switch = NearEndSwitch::default();
    switch.set(CANCELLER, false, Duration::ZERO).unwrap();
    let mut output = Vec::new();
    switch.process(&[0.1; 700], Duration::ZERO, Duration::ZERO, &mut output);
    let lost = switch.forget();
    assert_eq!(output.len() + lost, 700 + CANCELLER.delay_samples());
    assert_eq!(switch.held(), (0, 0));
    let seen = output.len();
    switch.process(&[0.1; 960], Duration::ZERO, Duration::ZERO, &mut output);
    assert_eq!(output.len() - seen + CANCELLER.delay_samples(), 960);
}
