//! A person who hangs up is rid of the call at once, whatever the far end does.

use std::{
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    time::{Duration, Instant},
};

use proto::callcenter::{Accepted, AudioChunk};
use serde_json::Value;
use tests::{Process, Server, bin, scripted_far_end::ScriptedFarEnd, stall_watch::watched};

const LIMIT: Duration = Duration::from_secs(30);

/// The program's own figures tell how long it took. A far end that went on used to take 8 s, one that
/// stood still 4; a person should wait for one at most.
const TOO_LONG_S: f64 = 2.0;

/// A machine that stands still for so long at once may make it longer.
const EXCUSE: Duration = Duration::from_millis(500);

const GOOD: i64 = 0;
const NO_CONNECTION: i64 = 3;
const NO_AUDIO: i64 = 5;

/// A call of tone, for a person to hang up.
struct Call {
    process: Process,
    began: Instant,
}

impl Call {
    fn of(addr: SocketAddr, more: &[&str]) -> Self {
        let addr = addr.to_string();
        let args = [
            "--json", "--server", &addr, "--source", "tone", "--sink", "null",
        ];
        let args = [&args[..], &["--codec", "pcmu"], more].concat();
        let began = Instant::now();
        let process = Process::start(bin("softphone"), &args, &[]);
        Self { process, began }
    }

    fn connected(self) -> Self {
        self.process.wait_for_stderr("connected", LIMIT);
        self
    }

    /// The exit code, and for how long after the signal the call went on.
    fn hang_up(mut self, signal: &str) -> (i64, f64) {
        // No shorter than by the program's clock, which starts later.
        let lasted = self.began.elapsed();
        self.process.signal(signal);
        let output = self.process.wait(LIMIT);
        let figures: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let exit_code = figures["exit_code"].as_i64().expect("a number");
        assert_eq!(output.code.map(i64::from), Some(exit_code));
        let duration_s = figures["duration_s"].as_f64().expect("a number");
        (exit_code, duration_s - lasted.as_secs_f64())
    }
}

/// One of our servers, as far as it says so, with what it echoes.
fn numbered(chunk: AudioChunk) -> AudioChunk {
    AudioChunk {
        accepted: Some(Accepted {
            leg_id: "leg".to_owned(),
            processing_delay_us: 0,
            resume_token: String::new(),
            echo: Some(true),
        }),
        ack_sequence: chunk.sequence,
        ..chunk
    }
}

/// A chunk of sound that answers nothing.
fn sound(sequence: u64) -> AudioChunk {
    AudioChunk {
        audio_data: vec![0x55; 160].into(),
        sequence,
        ..AudioChunk::default()
    }
}

fn ends_soon(exit_code: i64, call: impl Fn() -> (i64, f64)) {
    let ((code, took_s), stall) = watched(call);
    assert_eq!(code, exit_code);
    if took_s >= TOO_LONG_S && stall > EXCUSE {
        println!("not judged: this machine stood still for {stall:?}");
        return;
    }
    assert!(took_s < TOO_LONG_S, "{took_s} s");
}

#[test]
fn a_far_end_that_never_ends_is_left() {
    for signal in ["INT", "TERM"] {
        let far_end = ScriptedFarEnd::without_end(numbered, sound(1 << 40));
        ends_soon(GOOD, || {
            Call::of(far_end.addr(), &[]).connected().hang_up(signal)
        });
    }
}

#[test]
fn a_far_end_that_reads_nothing_is_left() {
    let far_end = ScriptedFarEnd::deaf(numbered(sound(1)));
    ends_soon(GOOD, || {
        Call::of(far_end.addr(), &[]).connected().hang_up("INT")
    });
}

#[test]
fn a_far_end_that_stands_still_is_left() {
    let call = || {
        let mut server = Server::start(&[]);
        let call = Call::of(server.addr(), &[]).connected();
        server.process().signal("STOP");
        call.process.wait_for_stderr("the line has stalled", LIMIT);
        let ended = call.hang_up("INT");
        server.process().signal("CONT");
        ended
    };
    ends_soon(NO_CONNECTION, call);
}

#[test]
fn a_far_end_that_never_answers_is_left() {
    // The kernel takes the connection, and nobody takes it from there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener.local_addr().expect("it has an address");
    for signal in ["INT", "TERM"] {
        ends_soon(NO_CONNECTION, || {
            let call = Call::of(addr, &[]);
            let _unread = listener.accept().expect("it connects");
            call.hang_up(signal)
        });
    }
}

#[test]
fn a_far_end_that_takes_the_call_and_says_nothing_is_there_and_not_heard() {
    let (taken_tx, taken) = mpsc::channel();
    let far_end = ScriptedFarEnd::mute(move || {
        // The test may have ended.
        let _ = taken_tx.send(());
    });
    for signal in ["INT", "TERM"] {
        ends_soon(NO_AUDIO, || {
            let call = Call::of(far_end.addr(), &[]);
            taken.recv_timeout(LIMIT).expect("it calls");
            call.hang_up(signal)
        });
    }
}

#[test]
fn a_file_that_was_sent_is_heard_to_its_end() {
    // All that comes after it is due: a person who is tired of it can hang up.
    let far_end = ScriptedFarEnd::without_end(numbered, sound(1 << 40));
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let [source, sink] = ["said.wav", "heard.wav"].map(|name| dir.path().join(name));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&source, spec).expect("a WAV file");
    for _ in 0..4_000 {
        writer.write_sample(1_000_i16).expect("written");
    }
    writer.finalize().expect("finished");
    let [source, sink] = [&source, &sink].map(|path| path.to_str().expect("UTF-8"));
    let addr = far_end.addr().to_string();
    let args = [
        "--json", "--server", &addr, "--source", source, "--sink", sink,
    ];
    let args = [&args[..], &["--codec", "pcmu"]].concat();
    let mut process = Process::start(bin("softphone"), &args, &[]);
    let output = process.wait(LIMIT);
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let heard_s = figures["sink"]["duration_s"].as_f64().expect("a number");
    assert!(heard_s > 2.0, "{figures}");
}
