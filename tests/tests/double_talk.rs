//! What the echo canceller leaves of the near end while both ends talk, as PESQ hears it.

use audio::{
    frame::SAMPLES_PER_CHANNEL,
    near_end::{EchoCanceller, NearEnd, NearEndOptions},
};
use tests::{
    analysis::rms_dbfs,
    pesq,
    rig::RATE,
    signals::{repeated, speech_by},
};

const SECONDS: usize = 14;

/// The part that is judged: the canceller has had its time to learn.
const JUDGED_FROM: usize = 6 * RATE as usize;

/// What is asked of the near end, and how much better it must be than behind the canceller that
/// guards against howling.
const GOOD: f64 = 2.5;
const BETTER_BY: f64 = 0.5;

/// `far` as the microphone hears it: the direct sound after `delay_ms` and reflections that die away
/// within 150 ms; in all, 20 dB below `far`.
fn echo(far: &[f32], delay_ms: usize) -> Vec<f32> {
    let mut echo = vec![0.0; far.len()];
    for reflection in 0..40 {
        // Somewhere in the 150 ms, the same in each run.
        let after = reflection * (reflection + 97) % 7_200;
        let sign = if reflection % 3 == 0 { -0.2 } else { 0.2 };
        let gain = match reflection {
            0 => 1.0,
            _ => sign * (-6.9 * after as f32 / 7_200.0).exp(),
        };
        let later = delay_ms * RATE as usize / 1_000 + after;
        for (heard, played) in echo.iter_mut().skip(later).zip(far) {
            *heard += gain * played;
        }
    }
    let gain = 10_f64.powf((rms_dbfs(far) - 20.0 - rms_dbfs(&echo)) / 20.0) as f32;
    echo.iter().map(|sample| gain * sample).collect()
}

fn at_level(mut samples: Vec<f32>, dbfs: f64) -> Vec<f32> {
    let gain = 10_f64.powf((dbfs - rms_dbfs(&samples)) / 20.0) as f32;
    for sample in &mut samples {
        *sample *= gain;
    }
    samples
}

/// What is sent of `microphone` while `far` is played.
fn sent(canceller: EchoCanceller, far: &[f32], microphone: &[f32]) -> Vec<f32> {
    let mut near_end = NearEnd::new(NearEndOptions {
        echo_canceller: Some(canceller),
        high_pass: true,
        ..NearEndOptions::default()
    });
    let mut sent = Vec::with_capacity(microphone.len());
    let frames = |samples: &[f32]| {
        let (frames, _) = samples.as_chunks::<SAMPLES_PER_CHANNEL>();
        frames.to_vec()
    };
    for (mut played, mut heard) in frames(far).into_iter().zip(frames(microphone)) {
        near_end.render(&mut played);
        near_end.capture(&mut heard);
        sent.extend_from_slice(&heard);
    }
    sent
}

#[test]
fn both_talk_over_an_echo_20_db_down_and_the_near_end_sounds_better_than_behind_aec3() {
    let near_text = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun.";
    let far_text = "Please hold the line. Somebody will be with you in less than seven minutes.";
    for (near, far) in [
        ("en-us+m3", "en-gb+f2"),
        ("en-gb+f2", "en+m1"),
        ("en+m1", "en-us+f3"),
        ("en-us+f3", "en-gb+m2"),
    ] {
        let (Some(near), Some(far)) = (speech_by(near, near_text), speech_by(far, far_text)) else {
            return;
        };
        let [near, far] =
            [near, far].map(|voice| at_level(repeated(&voice, SECONDS as f64), -26.0));
        for delay_ms in [20, 120, 300] {
            let microphone: Vec<f32> = near
                .iter()
                .zip(echo(&far, delay_ms))
                .map(|(near, echo)| near + echo)
                .collect();
            let [kalman, aec3] = [EchoCanceller::Kalman, EchoCanceller::Aec3].map(|canceller| {
                let sent = sent(canceller, &far, &microphone);
                let judged = JUDGED_FROM..sent.len();
                pesq(&near[judged.clone()], &sent[judged], RATE)
            });
            let (Some(kalman), Some(aec3)) = (kalman, aec3) else {
                return;
            };
            println!("{delay_ms} ms: PESQ {kalman:.2}, behind AEC3 {aec3:.2}");
            assert!(kalman > GOOD && kalman > aec3 + BETTER_BY, "{delay_ms} ms");
        }
    }
}
