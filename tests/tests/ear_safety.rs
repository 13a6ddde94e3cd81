//! A softphone before a far end that is at fault: nothing of what it sends may hurt an ear.

use std::{path::Path, time::Duration};

use audio::{Encoder, Format};
use proto::callcenter::AudioChunk;
use serde_json::Value;
use tempfile::tempdir;
use tests::{
    Output,
    analysis::rms_dbfs,
    bin, run,
    scripted_far_end::ScriptedFarEnd,
    signals::{read_wav, speech},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const GOOD: i32 = 0;
const WRONG_AUDIO: i32 = 6;

/// A call of three seconds with a tone, what it answered, and what was played.
fn call(far_end: &ScriptedFarEnd, codec: &str) -> (Output, Value, Vec<f32>) {
    let dir = tempdir().expect("the system has a directory for temporary files");
    let played = dir.path().join("played.wav");
    let server = far_end.addr().to_string();
    let mut args = vec!["--json", "--server", &server, "--codec", codec];
    args.extend(["--source", "tone", "--duration", "3s", "--sink"]);
    args.push(path(&played));
    let output = run(bin("softphone"), &args, None, LIMIT);
    let figures = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("stdout is not one JSON value: {error}\n{output:?}"));
    (output, figures, read_wav(&played))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of plain letters")
}

/// The answer of a server of the original contract: fields 1 to 5 alone.
fn plain(request: AudioChunk) -> AudioChunk {
    AudioChunk {
        audio_data: request.audio_data,
        call_id: request.call_id,
        sample_rate: request.sample_rate,
        channels: request.channels,
        codec: request.codec,
        ..AudioChunk::default()
    }
}

/// Random bytes, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    bytes.take(length).collect()
}

fn peak(samples: &[f32]) -> f32 {
    samples
        .iter()
        .fold(0.0, |peak, sample| peak.max(sample.abs()))
}

#[test]
fn an_answer_in_another_format_ends_the_call_and_is_not_played() {
    type Fault = fn(AudioChunk) -> AudioChunk;
    let faults: [(Fault, &str, &str); 3] = [
        (
            |request| AudioChunk {
                codec: "pcm".to_owned(),
                audio_data: noise(960, 1).into(),
                ..plain(request)
            },
            "pcm 48000 Hz mono",
            "--codec pcm",
        ),
        (
            |request| AudioChunk {
                sample_rate: 16_000,
                ..plain(request)
            },
            "opus 16000 Hz mono",
            "mend the server",
        ),
        (
            |request| AudioChunk {
                channels: 2,
                ..plain(request)
            },
            "opus 48000 Hz stereo",
            "mend the server",
        ),
    ];
    for (fault, answered, remedy) in faults {
        let far_end = ScriptedFarEnd::start(fault);
        let (output, figures, played) = call(&far_end, "opus");
        assert_eq!(output.code, Some(WRONG_AUDIO), "{output:?}");
        let message = figures["message"].as_str().expect("a sentence");
        for words in [answered, "asked for opus 48000 Hz mono", remedy] {
            assert!(message.contains(words), "no {words:?} in {message:?}");
        }
        assert!(output.stderr.contains(message), "{output:?}");
        assert_eq!(peak(&played), 0.0, "it was played: {message}");
    }
}

#[test]
fn garbage_in_the_right_format_is_muted_and_said() {
    type Fault = fn(AudioChunk) -> AudioChunk;
    let faults: [(&str, Fault); 4] = [
        ("opus", |request| {
            let sound = noise(request.audio_data.len() + 40, request.sequence);
            with_sound(request, sound)
        }),
        ("opus", |request| {
            let length = request.audio_data.len();
            with_sound(request, [&b"OggS"[..], &vec![0x55; length]].concat())
        }),
        ("pcm", |request| {
            let sound = noise(960, request.sequence);
            with_sound(request, sound)
        }),
        ("pcmu", |request| {
            let sound = noise(80, request.sequence);
            with_sound(request, sound)
        }),
    ];
    for (codec, fault) in faults {
        is_muted_and_said(&ScriptedFarEnd::start(fault), codec);
    }
}

#[test]
fn speech_in_another_codec_than_it_is_called_is_muted_and_said() {
    let Some(speech) = speech("My name is Anna, what can I do for you?") else {
        return;
    };
    for (is, called, length) in [("pcmu", "pcm", 960), ("pcm", "pcmu", 80)] {
        let bytes = encoded(&speech, is);
        let far_end = ScriptedFarEnd::start(move |request| {
            let begins = request.sequence as usize * length % (bytes.len() - length);
            with_sound(request, bytes[begins..begins + length].to_vec())
        });
        is_muted_and_said(&far_end, called);
    }
}

/// `speech` of 48 kHz at −15 dBFS and 8 kHz.
fn encoded(speech: &[f32], codec: &str) -> Vec<u8> {
    let gain = 10_f64.powf((-15.0 - rms_dbfs(speech)) / 20.0) as f32;
    let samples: Vec<f32> = speech.iter().step_by(6).map(|x| gain * x).collect();
    let format = Format::parse(codec, 8_000, 1).expect("a format");
    let mut encoder = Encoder::new(format, 64_000).expect("an encoder");
    let mut bytes = Vec::new();
    let encoded = encoder.encode(&samples, &mut bytes);
    encoded.expect("it is sound");
    bytes
}

fn is_muted_and_said(far_end: &ScriptedFarEnd, codec: &str) {
    let (output, figures, played) = call(far_end, codec);
    assert_eq!(output.code, Some(WRONG_AUDIO), "{codec}: {output:?}");
    let message = figures["message"].as_str().expect("a sentence");
    assert!(message.contains("was no sound but noise"), "{message}");
    assert!(output.stderr.contains("it is muted"), "{codec}: {output:?}");
    let muted_ms = figures["garbage_muted_ms"].as_f64().expect("a number");
    assert!(muted_ms > 1_000.0, "{codec}: {muted_ms} ms");
    // A quarter of a second, and the 10 ms in which it falls silent.
    let begins = played.iter().position(|sample| sample.abs() > 0.001);
    let muted = &played[begins.unwrap_or(0) + 12_480..];
    assert_eq!(peak(muted), 0.0, "{codec}: it is heard");
    assert!(peak(&played) < 0.892, "{codec}: louder than -1 dBFS");
}

/// The plain answer to `request`, with another sound.
fn with_sound(request: AudioChunk, sound: Vec<u8>) -> AudioChunk {
    if request.audio_data.is_empty() {
        return plain(request);
    }
    AudioChunk {
        audio_data: sound.into(),
        ..plain(request)
    }
}

#[test]
fn a_server_of_the_original_contract_is_heard_whatever_it_says_of_the_format() {
    type Answer = fn(AudioChunk) -> AudioChunk;
    let answers: [Answer; 3] = [
        plain,
        |request| AudioChunk {
            audio_data: request.audio_data,
            ..AudioChunk::default()
        },
        |request| AudioChunk {
            codec: request.codec.to_uppercase(),
            ..plain(request)
        },
    ];
    for answer in answers {
        let far_end = ScriptedFarEnd::start(answer);
        let (output, _, played) = call(&far_end, "opus");
        assert_eq!(output.code, Some(GOOD), "{output:?}");
        // A tone whose peaks are at −20 dBFS.
        let peak = peak(&played[48_000..96_000]);
        assert!((0.08..0.13).contains(&peak), "{peak}");
    }
}
