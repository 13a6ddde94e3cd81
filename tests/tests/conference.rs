//! Several parties in one call, on the real programs: lab-style callers, softphones and Python, in whatever mix.

mod caller;

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use caller::{Caller, chunk, later};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use serde_json::Value;
use tests::{
    Output, Process, Server, bin,
    python::{python, repository},
    stall_watch::{judged, watched},
};
use tonic::Code;

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const CHUNK: Duration = Duration::from_millis(20);

/// The amplitude of what everybody says.
const AMPLITUDE: f64 = 0.2;

fn tone(hz: f64, rate: u32, from: usize, samples: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let phase = std::f64::consts::TAU * hz * n as f64 / f64::from(rate);
        (AMPLITUDE * 32_767.0 * phase.sin()) as i16
    };
    (from..from + samples).map(sample).collect()
}

fn bytes(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

/// The amplitude of a tone in each 50 ms of what was heard, in dB of full scale.
fn levels_db(heard: &[f32], hz: f64, rate: u32) -> Vec<f64> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let level = |piece: &[f32]| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in piece.iter().enumerate() {
            let (sin, cos) = (step * n as f64).sin_cos();
            re += f64::from(sample) * cos;
            im += f64::from(sample) * sin;
        }
        20.0 * (2.0 * re.hypot(im) / piece.len() as f64).max(1e-9).log10()
    };
    heard.chunks_exact(rate as usize / 20).map(level).collect()
}

/// Fails unless, for a second at least, `theirs` was heard about as loud as it was said, and `own` not then, by
/// 50 dB.
fn hears(who: &str, heard: &[f32], rate: u32, theirs: f64, own: f64) {
    let said_db = 20.0 * AMPLITUDE.log10();
    let pieces = levels_db(heard, theirs, rate);
    let loud: Vec<bool> = pieces
        .iter()
        .map(|level| (level - said_db).abs() < 1.5)
        .collect();
    let count = loud.iter().filter(|loud| **loud).count();
    assert!(
        count >= 20,
        "{who} hears {theirs} Hz for {count} pieces of 50 ms: {pieces:.0?}"
    );
    // Where a tone begins or ends there is something at any frequency: not beside such a piece.
    let owns = levels_db(heard, own, rate);
    for n in 2..loud.len().saturating_sub(2) {
        if loud[n - 2..=n + 2].iter().all(|loud| *loud) {
            let level = owns[n];
            assert!(
                level < said_db - 30.0,
                "{who} hears itself at {level:.0} dB in piece {n}"
            );
        }
    }
    let mut while_loud: Vec<f64> = owns
        .iter()
        .zip(&loud)
        .filter(|(_, loud)| **loud)
        .map(|(own, _)| *own)
        .collect();
    while_loud.sort_by(f64::total_cmp);
    let usual = while_loud[while_loud.len() / 2];
    assert!(
        usual < said_db - 50.0,
        "{who} hears itself at {usual:.0} dB"
    );
}

fn write_tone(dir: &Path, hz: f64, rate: u32, seconds: usize) -> PathBuf {
    let path = dir.join(format!("{hz}.wav"));
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(&path, spec).expect("a file can be made");
    for sample in tone(hz, rate, 0, rate as usize * seconds) {
        writer.write_sample(sample).expect("a sample fits");
    }
    writer.finalize().expect("the file can be written");
    path
}

fn read_wav(path: &Path) -> Vec<f32> {
    let mut reader = WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    match spec.sample_format {
        SampleFormat::Float => reader
            .samples::<f32>()
            .map(|sample| sample.expect("a sample"))
            .collect(),
        SampleFormat::Int => reader
            .samples::<i16>()
            .map(|sample| f32::from(sample.expect("a sample")) / 32_768.0)
            .collect(),
    }
}

/// Says a tone for four seconds, knowing fields 1 to 5 only, at the pace of time; what it heard.
async fn lab_caller(server: &Server, rate: u32, hz: f64) -> Vec<f32> {
    let mut caller = Caller::dial(server).await;
    let samples = rate as usize / 50;
    let mut heard = Vec::new();
    let mut tick = tokio::time::interval(CHUNK);
    for n in 0..200 {
        tick.tick().await;
        let audio = bytes(&tone(hz, rate, n * samples, samples));
        caller.say(match n {
            0 => proto::callcenter::AudioChunk {
                call_id: "room".to_owned(),
                ..chunk("pcm", rate, 1, audio)
            },
            _ => later(audio),
        });
        while let Ok(answer) = tokio::time::timeout(Duration::from_millis(1), caller.next()).await {
            let answer = answer.expect("no error").expect("not the end");
            assert_eq!(answer.call_id, "room");
            heard.extend(answer.audio_data);
        }
    }
    for answer in caller.rest().await {
        heard.extend(answer.audio_data);
    }
    let sample = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;
    heard.chunks_exact(2).map(sample).collect()
}

#[tokio::test]
async fn two_lab_style_clients_that_name_the_same_call_hear_each_other() {
    let server = Server::start(&["--effects", "none"]);
    let (one, two) = tokio::join!(
        lab_caller(&server, 8_000, 500.0),
        lab_caller(&server, 16_000, 900.0)
    );
    // Whoever is alone hears itself, and then not the other.
    hears("one", &one, 8_000, 900.0, 500.0);
    hears("two", &two, 16_000, 500.0, 900.0);
}

/// A softphone in the call `room` that plays a tone and writes what it hears.
fn softphone(
    server: &Server,
    dir: &Path,
    name: &str,
    (hz, seconds): (f64, usize),
) -> (Process, PathBuf) {
    let source = write_tone(dir, hz, 48_000, seconds);
    let sink = dir.join(format!("{name}-heard.wav"));
    let addr = server.addr().to_string();
    let (source, shown) = (source.display().to_string(), sink.display().to_string());
    let args = [
        "--server", &addr, "--call", "room", "--name", name, "--source", &source, "--sink", &shown,
    ];
    (Process::start(bin("softphone"), &args, &[]), sink)
}

fn ended(mut softphone: Process) -> Output {
    let output = softphone.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    output
}

#[test]
fn two_softphones_in_a_call_hear_each_other_and_are_told_of_each_other() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().expect("a directory");
    let (ada, ada_heard) = softphone(&server, dir.path(), "Ada", (500.0, 8));
    ada.wait_for_stdout("nobody else is in the call yet", LIMIT);
    let (bob, bob_heard) = softphone(&server, dir.path(), "Bob", (900.0, 10));
    ada.wait_for_stdout("Bob joined the call", LIMIT);
    let (ada, bob) = (ended(ada), ended(bob));
    hears("Ada", &read_wav(&ada_heard), 48_000, 900.0, 500.0);
    hears("Bob", &read_wav(&bob_heard), 48_000, 500.0, 900.0);
    assert!(bob.stdout.contains("in the call: Ada"), "{}", bob.stdout);
    assert!(
        bob.stdout
            .contains("Ada left: hung up; nobody else is in the call now"),
        "{}",
        bob.stdout
    );
    assert!(!ada.stdout.contains("Bob left"), "{}", ada.stdout);
}

#[test]
fn three_parties_of_two_kinds_hear_both_others() {
    let Some(python) = python() else { return };
    let mut server = Server::start(&[]);
    let dir = tempfile::tempdir().expect("a directory");
    let script = repository()
        .join("examples/python/talk.py")
        .display()
        .to_string();
    let addr = server.addr().to_string();
    let spoken = write_tone(dir.path(), 1_500.0, 16_000, 4);
    let heard = dir.path().join("talk-heard.wav");
    let (spoken, shown) = (spoken.display().to_string(), heard.display().to_string());
    let mut talk = Process::start(&python, &[&script, "room", &spoken, &shown, &addr], &[]);
    // It waits for company.
    server.process().wait_for_stderr("call started", LIMIT);
    thread::sleep(Duration::from_secs(1));
    assert!(talk.ended().is_none());
    let (ada, ada_heard) = softphone(&server, dir.path(), "Ada", (500.0, 8));
    let (bob, bob_heard) = softphone(&server, dir.path(), "Bob", (900.0, 10));
    let output = talk.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    ended(ada);
    ended(bob);
    for (who, heard, rate, theirs, own) in [
        ("Ada", &ada_heard, 48_000, [900.0, 1_500.0], 500.0),
        ("Bob", &bob_heard, 48_000, [500.0, 1_500.0], 900.0),
        ("talk.py", &heard, 16_000, [500.0, 900.0], 1_500.0),
    ] {
        let heard = read_wav(heard);
        for theirs in theirs {
            hears(who, &heard, rate, theirs, own);
        }
    }
}

/// A synthetic call in the call `pair`.
fn synthetic(server: &Server, duration: &str) -> Process {
    let addr = server.addr().to_string();
    let args = [
        "--synthetic",
        "--server",
        &addr,
        "--call",
        "pair",
        "--duration",
        duration,
        "--json",
    ];
    Process::start(bin("softphone"), &args, &[])
}

#[test]
fn a_synthetic_call_started_twice_hears_the_other_tone_and_once_says_that_nobody_came() {
    let server = Server::start(&[]);
    let pair = || {
        let mut first = synthetic(&server, "8s");
        first.wait_for_stderr("nobody else is in the call yet", LIMIT);
        let mut second = synthetic(&server, "5s");
        [second.wait(LIMIT), first.wait(LIMIT)]
    };
    // Where this machine stood still it may have concealed too much.
    let is_good = |outputs: &[Output; 2]| outputs.iter().all(|output| output.code == Some(0));
    if let Some(outputs) = judged(|| watched(pair), is_good) {
        for (output, hz) in outputs.iter().zip([440.0, 440.0 * 1.37]) {
            assert_eq!(output.code, Some(0), "{output:?}");
            let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
            let heard = figures["tone"]["frequency_hz"].as_f64().expect("a number");
            assert!((heard - hz).abs() < 1.0, "{heard} Hz: {figures:#}");
            assert!(
                figures["delay_ms"]["median"]["sum"].as_f64().is_some(),
                "{figures:#}"
            );
        }
    }
    let output = synthetic(&server, "1s").wait(LIMIT);
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(
        output.stderr.contains("nobody else came into the call"),
        "{output:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_full_and_a_server_with_too_many_calls_say_so() {
    let server = Server::start(&["--max-legs-per-call", "2", "--max-calls", "2"]);
    let in_call = |call_id: &str| proto::callcenter::AudioChunk {
        call_id: call_id.to_owned(),
        ..chunk("pcm", 8_000, 1, [0; 320])
    };
    let mut kept = Vec::new();
    for call_id in ["one", "one", "two"] {
        let mut caller = Caller::dial(&server).await;
        caller.ask(in_call(call_id)).await;
        kept.push(caller);
    }
    for (call_id, words) in [("one", "--max-legs-per-call"), ("three", "--max-calls")] {
        let mut caller = Caller::dial(&server).await;
        caller.say(in_call(call_id));
        let status = caller.refusal().await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
    }
    // Whoever leaves makes room.
    kept.remove(0).rest().await;
    let mut caller = Caller::dial(&server).await;
    caller.ask(in_call("one")).await;
}
