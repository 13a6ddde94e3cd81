//! A call whose program is stopped and continued (Ctrl-Z and `fg`, a debugger, a machine that stands
//! still): what was said meanwhile is late and is not heard, in either direction, and the line is as
//! prompt afterwards as before.
#![cfg(target_os = "linux")]

use std::{ops::Range, time::Duration};

use proto::callcenter::{Accepted, AudioChunk};
use tests::{
    Output, Process, Server, Tape,
    analysis::{dominant_frequency, percentile, rms_dbfs},
    bin,
    rig::{RATE, Rig},
    scripted_far_end::ScriptedFarEnd,
    signals::chirp,
    stall_watch::{judged, watched},
};

const LIMIT: Duration = Duration::from_secs(40);

/// A sound that tells when it was said: it glides from here to there.
const GLIDE_HZ: Range<f64> = 400.0..3_600.0;
const GLIDE_S: f64 = 10.0;
/// When in it the program is stopped, and for how long.
const STOP_AT_S: f64 = 4.0;
const STOPPED_S: f64 = 1.5;

/// Pieces of what is heard, each of which has one frequency.
const PIECE: usize = RATE as usize / 25;
/// A piece of silence.
const SILENT_DBFS: f64 = -50.0;
/// How much older a piece may be than they are as a rule: more than a jitter buffer or a decoder brings
/// about that finds its way back.
const STALE_S: f64 = 0.25;
/// And how much later the line may be in the end.
const LATER_S: f64 = 0.03;
/// Pieces in which two sounds meet have a frequency of neither.
const MIXED: usize = 3;

const MICROPHONE: usize = 0;
const SPEAKER: usize = 1;

/// A piece that was heard.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// When, since the glide began.
    at_s: f64,
    /// How old it was.
    age_s: f64,
}

fn samples(seconds: f64) -> usize {
    (seconds * f64::from(RATE)) as usize
}

/// The pieces of `sound`, which begins with the glide.
fn heard(sound: &[f32]) -> Vec<Heard> {
    let pieces = sound.chunks_exact(PIECE).enumerate();
    let loud = pieces.filter(|(_, piece)| rms_dbfs(piece) > SILENT_DBFS);
    loud.map(|(index, piece)| {
        let at_s = (index * PIECE + PIECE / 2) as f64 / f64::from(RATE);
        let hz = dominant_frequency(piece, RATE);
        let said_s = (hz - GLIDE_HZ.start) / (GLIDE_HZ.end - GLIDE_HZ.start) * GLIDE_S;
        Heard {
            at_s,
            age_s: at_s - said_s,
        }
    })
    .collect()
}

fn median_age_s(heard: &[Heard], within_s: Range<f64>) -> f64 {
    let within = heard.iter().filter(|piece| within_s.contains(&piece.at_s));
    let ages: Vec<_> = within.map(|piece| piece.age_s).collect();
    assert!(
        ages.len() > 10,
        "little is heard at {within_s:?}: {heard:?}"
    );
    percentile(&ages, 50.0)
}

/// A call on the rig's devices that is stopped and continued in the midst of a glide.
struct StoppedCall {
    /// What the speaker played since the glide began in `channel`.
    heard: Vec<Heard>,
    /// Until when it was stopped, at least.
    stopped_s: f64,
    softphone: Output,
}

/// Calls with these arguments; `begin` then begins the glide.
fn stopped_call<T>(
    rig: &Rig,
    args: &[&str],
    channel: usize,
    begin: impl FnOnce() -> T,
) -> StoppedCall {
    let mut softphone = Process::start(bin("softphone"), args, &rig.env());
    softphone.wait_for_stdout("connected", LIMIT);
    let mut tape = Tape::start(rig, "cable.monitor", 3);
    let _until_the_end = begin();
    let begins = |tape: &Tape| {
        let sound = tape.channel(channel, 0);
        sound.iter().position(|sample| sample.abs() > 1e-2)
    };
    tape.wait_for("the glide", LIMIT, |tape| begins(tape).is_some());
    let begins = begins(&tape).expect("it was there");
    let mut wait_until = |seconds: f64| {
        let end = begins + samples(seconds);
        tape.wait_for("time to pass", LIMIT, |tape| tape.len() >= end);
        (tape.len() - begins) as f64 / f64::from(RATE)
    };
    wait_until(STOP_AT_S);
    softphone.signal("STOP");
    let stopped_s = wait_until(STOP_AT_S + STOPPED_S);
    softphone.signal("CONT");
    wait_until(GLIDE_S);
    softphone.signal("INT");
    StoppedCall {
        heard: heard(&tape.channel(SPEAKER, begins)),
        stopped_s,
        softphone: softphone.wait(LIMIT),
    }
}

impl StoppedCall {
    /// What was heard after the stop and is older than sound was before it.
    fn stale(&self) -> Vec<&Heard> {
        let stale_s = self.age_before_s() + STALE_S;
        let is_stale = |piece: &&Heard| piece.at_s > self.stopped_s && piece.age_s > stale_s;
        self.heard.iter().filter(is_stale).collect()
    }

    fn age_before_s(&self) -> f64 {
        median_age_s(&self.heard, 1.0..STOP_AT_S)
    }

    /// By how much the line is later in the end.
    fn later_s(&self) -> f64 {
        median_age_s(&self.heard, GLIDE_S - 2.0..GLIDE_S) - self.age_before_s()
    }

    fn is_prompt(&self) -> bool {
        self.stale().len() <= MIXED && self.later_s() < LATER_S
    }
}

/// Judges a call in which nothing stale is heard, and whose line is as prompt as before.
fn judge(what: &str, mut call: impl FnMut() -> StoppedCall) {
    let Some(call) = judged(|| watched(&mut call), StoppedCall::is_prompt) else {
        return;
    };
    let output = &call.softphone;
    assert_eq!(output.code, Some(0), "{what}: {output:?}");
    let (stale, later_s) = (call.stale(), call.later_s());
    println!("{what}: later by {later_s:.3} s; stale: {stale:?}");
    assert!(stale.len() <= MIXED, "{what}: {stale:?}");
    assert!(later_s < LATER_S, "{what}: later by {later_s} s");
    let is_given_up = output.stdout.contains("open it again");
    assert!(!is_given_up, "{what}: a device was given up: {output:?}");
}

#[test]
fn what_is_said_into_a_stopped_call_is_not_heard_and_the_line_is_no_later() {
    let Some(rig) = Rig::start() else { return };
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let glide = chirp(GLIDE_HZ.start, GLIDE_HZ.end, GLIDE_S, 0.3);
    for host in ["pulseaudio", "alsa"] {
        let args = ["--server", &addr, "--effects", "none", "--aec", "off"];
        let args = [&args[..], &["--audio-host", host]].concat();
        judge(host, || {
            stopped_call(&rig, &args, MICROPHONE, || rig.play(&glide))
        });
    }
}

#[test]
fn what_others_say_into_a_stopped_call_is_not_heard_and_the_line_is_no_later() {
    let Some(rig) = Rig::start() else { return };
    let glide = chirp(GLIDE_HZ.start, GLIDE_HZ.end, GLIDE_S, 0.3);
    let packets: Vec<Vec<u8>> = glide
        .chunks_exact(samples(0.02))
        .map(|piece| piece.iter().flat_map(|sample| pcm(*sample)).collect())
        .collect();
    // One of ours, which numbers what it says, and one of the contract's first days.
    for is_ours in [true, false] {
        let packets = packets.clone();
        let far_end = ScriptedFarEnd::speaking(move |number, newest| {
            let audio_data = packets.get(number as usize).cloned().unwrap_or_default();
            let said = AudioChunk {
                audio_data: audio_data.into(),
                ..AudioChunk::default()
            };
            match is_ours {
                false => said,
                true => AudioChunk {
                    sequence: number + 1,
                    media_time: number * 960,
                    ack_sequence: newest,
                    accepted: Some(Accepted::default()),
                    ..said
                },
            }
        });
        let addr = far_end.addr().to_string();
        for host in ["pulseaudio", "alsa"] {
            let args = ["--server", &addr, "--codec", "pcm", "--aec", "off"];
            let args = [&args[..], &["--audio-host", host]].concat();
            let what = format!("{host}, ours: {is_ours}");
            judge(&what, || stopped_call(&rig, &args, SPEAKER, || ()));
        }
    }
}

fn pcm(sample: f32) -> [u8; 2] {
    ((sample * 32_767.0) as i16).to_le_bytes()
}
