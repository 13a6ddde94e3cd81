//! The first call as a new user makes it: no flags, on devices whose speaker the microphone does not
//! hear, and on some whose it does. Judged by what comes out of the speaker.

use std::time::Duration;

use tests::{
    heard_call::{HeardCall, heard_call},
    rig::{Rig, clean_run},
    signals::speech,
    stall_watch::judged_by,
};

const TEXT: &str = "Good morning, you are through to the call centre. My name is Anna, what can I do \
    for you? One moment please.";

/// What PESQ is asked for.
const GOOD_PESQ: f64 = 3.6;

/// Below this a last second is silent.
const SILENT_DBFS: f64 = -40.0;

#[test]
fn a_call_without_flags_sounds_right() {
    let Some(words) = speech(TEXT) else { return };
    let Some(rig) = Rig::start() else { return };
    let call = || {
        let call = clean_run(|| heard_call(&rig, &[], &words));
        // On any machine.
        let echo = &call.figures["echo"];
        assert_eq!(echo["canceller"], false, "{echo}");
        let said = &call.said;
        assert!(said.contains("echo canceller off: "), "{said}");
        call
    };
    let is_whole = |call: &HeardCall| {
        call.missing == 0.0
            && call.pesq.is_none_or(|pesq| pesq > GOOD_PESQ)
            && call.figures["echo"]["reason"] == "not_heard"
    };
    let Some(call) = judged_by(call, |call| call.stall, is_whole) else {
        return;
    };
    let summary = format!(
        "PESQ {:?}, {:.1} % missing, {:.1} ms (p95 {:.1}), {}, {}",
        call.pesq,
        100.0 * call.missing,
        call.delay_ms[0],
        call.delay_ms[1],
        call.figures["echo"],
        call.figures["jitter_buffer"]
    );
    println!("{summary}");
    assert!(is_whole(&call), "{summary}");
}

#[test]
fn a_loudspeaker_beside_the_microphone_does_not_howl_in_a_call_without_flags() {
    let Some(words) = speech("One, two, three, four, five.") else {
        return;
    };
    let Some(rig) = Rig::start() else { return };
    rig.put_speaker_next_to_microphone(Duration::from_millis(120), 0.0);
    let is_cancelled = |call: &HeardCall| {
        call.figures["echo"]["canceller"] == true && call.last_dbfs < SILENT_DBFS
    };
    // What the first finds is remembered for the second.
    let memory = rig.dir().join("state/softphone/echo.json");
    for is_first in [true, false] {
        let call = || {
            if is_first {
                // There may be none yet.
                let _ = std::fs::remove_file(&memory);
            }
            clean_run(|| heard_call(&rig, &[], &words))
        };
        let Some(call) = judged_by(call, |call| call.stall, is_cancelled) else {
            return;
        };
        assert!(
            is_cancelled(&call),
            "{} dBFS, {}",
            call.last_dbfs,
            call.figures["echo"]
        );
        let state = std::fs::read_to_string(&memory);
        assert!(state.expect("a file").contains("gain_db"));
    }
}
