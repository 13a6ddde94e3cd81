//! The first call as a new user makes it: no flags, on devices whose speaker the microphone does not
//! hear, and on some whose it does. Judged by what comes out of the speaker.

use std::time::Duration;

use tests::{
    heard_call::heard_call,
    rig::{Rig, Unclean, clean_run},
    signals::speech,
};

const TEXT: &str = "Good morning, you are through to the call centre. My name is Anna, what can I do \
    for you? One moment please.";

/// What stands still for longer stops any sound: a jitter buffer of a steady line holds no more.
const LONGEST_STALL: Duration = Duration::from_millis(8);

/// What PESQ is asked for.
const GOOD_PESQ: f64 = 3.6;

#[test]
fn a_call_without_flags_sounds_right() {
    let Some(words) = speech(TEXT) else { return };
    let Some(rig) = Rig::start() else { return };
    let call = clean_run(|| {
        let call = heard_call(&rig, &[], &words)?;
        let is_good = call.missing == 0.0 && call.pesq.is_none_or(|pesq| pesq > GOOD_PESQ);
        if !is_good && call.longest_stall > LONGEST_STALL {
            let reason = format!("this machine stood still for {:?}", call.longest_stall);
            return Err(Unclean::because(&reason));
        }
        Ok(call)
    });
    let summary = format!(
        "PESQ {:?}, {:.1} % missing, {:.1} ms (p95 {:.1})",
        call.pesq,
        100.0 * call.missing,
        call.delay_ms[0],
        call.delay_ms[1]
    );
    println!("{summary}");
    let echo = &call.figures["echo"];
    assert_eq!(echo["canceller"], false, "{echo}");
    assert!(
        call.said
            .contains("echo canceller off: the microphone does not hear the speaker"),
        "{}",
        call.said
    );
    assert_eq!(call.missing, 0.0, "{summary}");
    if let Some(pesq) = call.pesq {
        assert!(pesq > GOOD_PESQ, "{summary}");
    }
}

#[test]
fn a_loudspeaker_beside_the_microphone_does_not_howl_in_a_call_without_flags() {
    let Some(words) = speech("One, two, three, four, five.") else {
        return;
    };
    let Some(rig) = Rig::start() else { return };
    rig.put_speaker_next_to_microphone(Duration::from_millis(120), 0.0);
    let call = clean_run(|| heard_call(&rig, &[], &words));
    let echo = &call.figures["echo"];
    assert_eq!(echo["canceller"], true, "{echo}");
    assert!(call.last_dbfs < -40.0, "{} dBFS", call.last_dbfs);
    // What was found is remembered: the next call says so before it connects.
    let state = std::fs::read_to_string(rig.dir().join("state/softphone/echo.json"));
    assert!(state.expect("a file").contains("gain_db"));
    let call = clean_run(|| heard_call(&rig, &[], &words));
    assert_eq!(call.figures["echo"]["canceller"], true);
    assert!(call.last_dbfs < -40.0, "{} dBFS", call.last_dbfs);
}
