//! The softphone as a program: what it exits with, what it says, and what is heard.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    pin::Pin,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use audio::Tone;
use proto::callcenter::{
    AudioChunk,
    call_center_server::{CallCenter, CallCenterServer},
};
use serde_json::Value;
use tests::{
    Output, Process, Server,
    analysis::{delays, dominant_frequency, longest_gap_ms, rms_dbfs},
    bin, free_port, run,
    signals::{read_wav, resample},
    stall_watch::{judged, watched},
};
use tokio::runtime::Runtime;
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// What `tests::signals` reads WAV files at, and the softphone writes them at.
const RATE: u32 = 48_000;

const GOOD: i32 = 0;
const USAGE: i32 = 2;
const NO_CONNECTION: i32 = 3;
const REJECTED: i32 = 4;
const NO_AUDIO: i32 = 5;
const WRONG_AUDIO: i32 = 6;

/// A call with `--json`, from beginning to end.
fn call(server: SocketAddr, args: &[&str]) -> Call {
    let server = server.to_string();
    let args = [&["--json", "--server", &server], args].concat();
    Call::of(run(bin("softphone"), &args, None, LIMIT))
}

/// A call that is over.
#[derive(Debug)]
struct Call {
    code: i32,
    figures: Value,
    stderr: String,
}

impl Call {
    fn of(output: Output) -> Self {
        let figures = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON value: {error}\n{output:?}"));
        let call = Self {
            code: output.code.expect("it ends by itself"),
            figures,
            stderr: output.stderr,
        };
        assert_eq!(call.figures["exit_code"], call.code, "{call:?}");
        call
    }

    /// A number of the figures, by its JSON pointer.
    fn number(&self, pointer: &str) -> f64 {
        let value = self.figures.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{pointer} is no number: {:#}", self.figures))
    }

    fn text(&self, pointer: &str) -> &str {
        let value = self.figures.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{pointer} is no text: {:#}", self.figures))
    }

    /// Fails unless it ended with `code` and says each of `words`, in the figures and for people.
    fn ended(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let message = self.text("/message");
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message:?}");
        }
        assert!(self.stderr.contains(message), "{self:?}");
    }
}

/// A call that should end well. `None` where it lacked sound three times, and this machine stood still
/// each time: a softphone that is not run for 60 ms tells so, as it should.
fn good_call(server: SocketAddr, args: &[&str]) -> Option<Call> {
    let lacks_sound = |call: &Call| {
        let message = call.text("/message");
        let says = ["concealed", "missing", "--strict"].map(|word| message.contains(word));
        call.code == WRONG_AUDIO && says.contains(&true)
    };
    judged(|| watched(|| call(server, args)), |call| !lacks_sound(call))
}

// ---- good calls ----

#[test]
fn a_tone_comes_back_whole_in_every_codec_and_chunk_size() {
    let server = Server::start(&[]);
    for (codec, format) in [
        ("opus", "opus 48000 Hz mono"),
        ("pcm", "pcm 48000 Hz mono"),
        ("pcmu", "pcmu 8000 Hz mono"),
        ("pcma", "pcma 8000 Hz mono"),
    ] {
        let addr = server.addr();
        let calls = ["5", "10", "20", "40", "60"].map(|frame_ms| {
            thread::spawn(move || {
                let args = ["--synthetic", "--duration", "2s", "--codec", codec];
                let args = [&args[..], &["--frame-ms", frame_ms]].concat();
                (frame_ms, good_call(addr, &args))
            })
        });
        for call in calls {
            let (frame_ms, call) = call.join().expect("its own failure is above");
            let Some(call) = call else { continue };
            call.ended(GOOD, &["the tone came back"]);
            let frame_ms: f64 = frame_ms.parse().expect("a number");
            let about = |pointer, value: f64, off: f64| {
                let is = call.number(pointer);
                assert!(
                    (is - value).abs() <= off,
                    "{codec}, {frame_ms} ms: {pointer} is {is}, not {value}"
                );
            };
            about("/tone/frequency_hz", 440.0, 0.5);
            about("/tone/level_dbfs", -20.0, 0.6);
            about("/concealed_ratio", 0.0, 0.01);
            about("/tone/longest_missing_ms", 0.0, 60.0);
            about("/frame_ms", frame_ms, 0.0);
            about("/reconnects", 0.0, 0.0);
            about("/chunks_dropped", 0.0, 0.0);
            about("/chunks_received", call.number("/chunks_sent"), 0.0);
            // The machine may be late, the virtual devices wait for it.
            about("/chunks_sent", 2_000.0 / frame_ms, 800.0 / frame_ms);
            about("/delay_ms/server_processing", 0.0, 0.0);
            // A chunk is whole when its last sample is there.
            assert!(call.number("/mouth_to_ear_ms") > frame_ms, "{call:?}");
            assert_eq!(call.text("/format"), format);
            assert_eq!(call.text("/effects"), "none");
            assert_eq!(call.text("/outcome"), "good");
            assert!(call.text("/leg_id").starts_with("leg-"));
        }
    }
}

#[test]
fn effects_asked_for_are_applied_and_their_delay_is_told() {
    let server = Server::start(&["--effects", "none"]);
    let list = "highpass,denoise,agc,limiter";
    let args = ["--synthetic", "--duration", "3s", "--effects", list];
    let Some(call) = good_call(server.addr(), &args) else {
        return;
    };
    call.ended(GOOD, &["the tone came back"]);
    // On a busy machine the jitter buffer stretches some of it, which moves the mean by a tenth.
    let hz = call.number("/tone/frequency_hz");
    assert!((hz - 440.0).abs() < 1.0, "{hz} Hz");
    assert_eq!(call.text("/effects"), list);
    // 2 ms of denoising, 0.5 of limiter, 2.5 of the encoder.
    let processing_ms = call.number("/delay_ms/server_processing");
    assert!((processing_ms - 5.0).abs() < 0.1, "{processing_ms} ms");
}

#[test]
fn a_strict_call_passes_where_nothing_disturbs_it() {
    let server = Server::start(&[]);
    let args = [
        "--synthetic",
        "--strict",
        "--duration",
        "2s",
        "--frame-ms",
        "20",
    ];
    let Some(call) = good_call(server.addr(), &args) else {
        return;
    };
    call.ended(GOOD, &["the tone came back"]);
    assert_eq!(call.number("/concealed_ratio"), 0.0);
    assert_eq!(call.number("/tone/missing_ms"), 0.0);
}

#[test]
fn another_tone_is_sent_and_found() {
    let server = Server::start(&[]);
    let args = ["--synthetic", "--duration", "2s", "--tone", "1000"];
    let Some(call) = good_call(server.addr(), &args) else {
        return;
    };
    call.ended(GOOD, &["the tone came back"]);
    let hz = call.number("/tone/frequency_hz");
    assert!((hz - 1_000.0).abs() < 1.0, "{hz} Hz");
}

// ---- no server ----

#[test]
fn a_server_that_is_not_there_is_named() {
    let server: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let call = call(server, &["--synthetic"]);
    call.ended(
        NO_CONNECTION,
        &[
            &format!("nobody listens at {server}"),
            &format!("server --listen {server}"),
            "--server HOST[:PORT]",
        ],
    );
    assert_eq!(call.text("/outcome"), "no connection");
}

#[test]
fn a_port_that_takes_connections_and_never_answers_is_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener.local_addr().expect("bound");
    call(addr, &["--synthetic", "--duration", "1s"])
        .ended(NO_CONNECTION, &[&addr.to_string(), "has not answered"]);
}

#[test]
fn what_speaks_something_else_is_no_server() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "SSH-2.0-somebody else's server altogether, with a long greeting line\r\n",
    ] {
        let addr = tcp_server(move |mut stream| {
            let mut request = [0; 64];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        });
        call(addr, &["--synthetic", "--duration", "1s"])
            .ended(NO_CONNECTION, &[&addr.to_string(), "is no gRPC server"]);
    }
}

#[test]
fn a_connection_closed_at_once_is_no_server() {
    let addr = tcp_server(drop);
    call(addr, &["--synthetic", "--duration", "1s"]).ended(NO_CONNECTION, &[&addr.to_string()]);
}

/// A server of another kind: `answer` gets each connection.
fn tcp_server(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener.local_addr().expect("bound");
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    addr
}

// ---- servers that will not have us ----

#[test]
fn a_call_id_with_control_characters_is_rejected_and_shown_harmlessly() {
    let server = Server::start(&[]);
    let call = call(server.addr(), &["--synthetic", "--call", "a\nb\x1b[2J"]);
    call.ended(
        REJECTED,
        &["rejected", "InvalidArgument", "control characters"],
    );
    assert!(!call.stderr.contains('\x1b'), "{}", call.stderr);
    assert!(call.stderr.contains(r"(call a\nb"), "{}", call.stderr);
}

#[test]
fn a_rejection_is_told_in_the_servers_words() {
    for (code, word) in [
        (Code::InvalidArgument, "InvalidArgument"),
        (Code::Unimplemented, "does not offer calls"),
        (Code::PermissionDenied, "PermissionDenied"),
        (Code::ResourceExhausted, "ResourceExhausted"),
    ] {
        let at_once = FarEnd::start(move |_| Err(Status::new(code, "we are\nclosed")));
        let later = FarEnd::start(move |requests| {
            let mut count = 0;
            Ok(Box::pin(requests.map(move |chunk| {
                count += 1;
                if count < 10 {
                    chunk
                } else {
                    Err(Status::new(code, "we are\nclosed"))
                }
            })))
        });
        for far_end in [at_once, later] {
            call(far_end.addr, &["--synthetic"]).ended(
                REJECTED,
                &["the server rejected the call", word, r"we are\nclosed"],
            );
        }
    }
}

#[test]
fn a_grpc_server_without_calls_is_told_so() {
    let runtime = Runtime::new().expect("a runtime can be built");
    let (_, health) = tonic_health::server::health_reporter();
    let addr = serve(
        &runtime,
        tonic::transport::Server::builder().add_service(health),
    );
    call(addr, &["--synthetic"])
        .ended(REJECTED, &["does not offer calls", "callcenter.CallCenter"]);
}

// ---- servers that send no sound ----

#[test]
fn a_server_that_sends_nothing_sends_no_sound() {
    let headers_only = FarEnd::start(|requests| {
        let nothing = requests.filter_map(|_| None);
        Ok(Box::pin(nothing.chain(tokio_stream::pending())))
    });
    let not_even_headers = FarEnd::start_pending();
    for far_end in [headers_only, not_even_headers] {
        call(far_end.addr, &["--synthetic", "--duration", "1s"])
            .ended(NO_AUDIO, &["sent no sound back"]);
    }
}

#[test]
fn chunks_without_sound_are_no_sound() {
    let far_end = FarEnd::answering(|mut chunk| {
        chunk.audio_data.clear();
        Some(chunk)
    });
    call(far_end.addr, &["--synthetic", "--duration", "1s"])
        .ended(NO_AUDIO, &["sent no sound back"]);
}

#[test]
fn silence_is_no_sound() {
    let far_end = FarEnd::pcm(|_, sample| *sample = 0);
    call(
        far_end.addr,
        &["--synthetic", "--duration", "1s", "--codec", "pcm"],
    )
    .ended(NO_AUDIO, &["silent", "440 Hz", "--effects none"]);
}

// ---- servers that send the wrong sound ----

#[test]
fn another_frequency_is_wrong() {
    let mut sound = vec![0.0; RATE as usize * 10];
    Tone::new(500.0, -20.0, RATE).fill(&mut sound);
    let far_end = FarEnd::pcm(move |position, sample| {
        *sample = (sound[position % sound.len()] * 32_768.0) as i16;
    });
    call(
        far_end.addr,
        &["--synthetic", "--duration", "1s", "--codec", "pcm"],
    )
    .ended(WRONG_AUDIO, &["500.", "came back", "440.0 Hz was sent"]);
}

#[test]
fn half_the_level_is_wrong() {
    let far_end = FarEnd::pcm(|_, sample| *sample /= 2);
    let call = call(
        far_end.addr,
        &["--synthetic", "--duration", "1s", "--codec", "pcm"],
    );
    call.ended(WRONG_AUDIO, &["-26.", "-20.0 dBFS was sent"]);
}

#[test]
fn noise_is_wrong() {
    let far_end = FarEnd::pcm(|position, sample| {
        let mixed = (position as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *sample = (mixed.wrapping_mul(mixed >> 32) >> 52) as i16;
    });
    call(
        far_end.addr,
        &["--synthetic", "--duration", "1s", "--codec", "pcm"],
    )
    .ended(WRONG_AUDIO, &["no tone", "440 Hz was sent"]);
}

#[test]
fn every_tenth_chunk_lost_is_wrong() {
    let mut count = 0;
    let far_end = FarEnd::answering(move |chunk| {
        count += 1;
        (count % 10 != 0).then_some(chunk)
    });
    let call = call(far_end.addr, &["--synthetic", "--duration", "2s"]);
    call.ended(WRONG_AUDIO, &["% of the sound had to be concealed"]);
    let concealed = call.number("/concealed_ratio");
    assert!((0.05..0.2).contains(&concealed), "{concealed}");
}

#[test]
fn a_hole_of_200_ms_is_wrong_however_long_the_call() {
    let mut count = 0;
    let far_end = FarEnd::answering(move |chunk| {
        count += 1;
        (!(101..=120).contains(&count)).then_some(chunk)
    });
    let call = call(
        far_end.addr,
        &["--synthetic", "--duration", "3s", "--codec", "pcm"],
    );
    call.ended(WRONG_AUDIO, &[]);
    let hole = call.number("/tone/longest_missing_ms");
    assert!((100.0..320.0).contains(&hole), "{hole} ms");
}

/// Somebody else's server, in this process.
struct FarEnd {
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<AudioChunk, Status>> + Send>>;
type Handler = dyn FnMut(Streaming<AudioChunk>) -> Result<Answers, Status> + Send;

impl FarEnd {
    /// One that answers each stream as `handler` says.
    fn start(
        handler: impl FnMut(Streaming<AudioChunk>) -> Result<Answers, Status> + Send + 'static,
    ) -> Self {
        Self::with(Some(Box::new(handler)))
    }

    /// One that never begins to answer.
    fn start_pending() -> Self {
        Self::with(None)
    }

    /// One that answers each chunk with this one, or with none.
    fn answering(
        answer: impl FnMut(AudioChunk) -> Option<AudioChunk> + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |requests| {
            let mut answer = answer.clone();
            Ok(Box::pin(requests.filter_map(move |chunk| match chunk {
                Ok(chunk) => answer(chunk).map(Ok),
                Err(status) => Some(Err(status)),
            })))
        })
    }

    /// One that knows fields 1 to 5 and changes each sample of a pcm call by its position.
    fn pcm(change: impl FnMut(usize, &mut i16) + Clone + Send + 'static) -> Self {
        Self::start(move |requests| {
            let mut change = change.clone();
            let mut position = 0;
            let answers = requests.map(move |chunk| {
                let chunk = chunk?;
                let sound = chunk.audio_data.chunks_exact(2).flat_map(|bytes| {
                    let mut sample = i16::from_le_bytes([bytes[0], bytes[1]]);
                    change(position, &mut sample);
                    position += 1;
                    sample.to_le_bytes()
                });
                Ok(AudioChunk {
                    audio_data: sound.collect::<Vec<u8>>().into(),
                    call_id: chunk.call_id,
                    sample_rate: chunk.sample_rate,
                    channels: chunk.channels,
                    codec: chunk.codec,
                    ..AudioChunk::default()
                })
            });
            Ok(Box::pin(answers))
        })
    }

    fn with(handler: Option<Box<Handler>>) -> Self {
        let runtime = Runtime::new().expect("a runtime can be built");
        let service = CallCenterServer::new(Service(handler.map(std::sync::Mutex::new)));
        let addr = serve(
            &runtime,
            tonic::transport::Server::builder().add_service(service),
        );
        Self {
            addr,
            runtime: Some(runtime),
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Option<std::sync::Mutex<Box<Handler>>>);

#[tonic::async_trait]
impl CallCenter for Service {
    type LiveCallStream = Answers;

    async fn live_call(
        &self,
        request: Request<Streaming<AudioChunk>>,
    ) -> Result<Response<Answers>, Status> {
        match &self.0 {
            Some(handler) => {
                let mut handler = handler.lock().expect("no handler panics");
                handler(request.into_inner()).map(Response::new)
            }
            None => std::future::pending().await,
        }
    }
}

fn serve(runtime: &Runtime, router: tonic::transport::server::Router) -> SocketAddr {
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("loopback has a free port");
    let addr = listener.local_addr().expect("bound");
    runtime.spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    addr
}

// ---- the command line ----

#[test]
fn what_cannot_be_is_said_before_anybody_is_called() {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let no_wav = dir.path().join("no.wav");
    std::fs::write(&no_wav, "this is text").expect("written");
    let empty = dir.path().join("empty.wav");
    std::fs::write(&empty, "").expect("written");
    let [no_wav, empty, dir] =
        [&no_wav, &empty, dir.path()].map(|path| path.to_str().expect("UTF-8"));
    let missing = &format!("{dir}/missing.wav");
    let nowhere = &format!("{dir}/nowhere/out.wav");
    for (args, words) in [
        (&["--bogus"][..], "--bogus"),
        (&["--effects", "reverb"], "denoise"),
        (&["--codec", "mp3"], "pcmu"),
        (&["--frame-ms", "15"], "5, 10, 20, 40 and 60"),
        (&["--bitrate", "100"], "100k"),
        (&["--server", "http://x"], "HOST[:PORT]"),
        (&["--source", "tone.mp3"], "neither mic nor tone"),
        (
            &["--source", missing, "--sink", "null"],
            "missing.wav: No such file",
        ),
        (&["--source", no_wav, "--sink", "null"], "no.wav"),
        (&["--source", empty, "--sink", "null"], "empty.wav"),
        (&["--source", "tone", "--sink", nowhere], "nowhere/out.wav"),
        (
            &["--source", "tone", "--sink", "null", "--log", "=,="],
            "--log",
        ),
    ] {
        let output = run(bin("softphone"), args, None, LIMIT);
        assert_eq!(output.code, Some(USAGE), "{args:?}: {output:?}");
        assert!(output.stderr.contains(words), "{args:?}: {output:?}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[test]
fn json_says_it_too_when_a_call_never_began() {
    let args = ["--json", "--source", "missing.wav", "--sink", "null"];
    let call = Call::of(run(bin("softphone"), &args, None, LIMIT));
    call.ended(USAGE, &["missing.wav"]);
    assert_eq!(call.text("/outcome"), "usage");
}

// ---- a line that breaks ----

/// A call that lasts until it is told to end: a tone, its echo in a WAV file.
struct LongCall {
    process: Process,
    dir: tempfile::TempDir,
}

impl LongCall {
    fn start(server: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let sink = dir.path().join("heard.wav");
        let sink = sink.to_str().expect("UTF-8");
        let server = server.to_string();
        let args = [
            "--json", "--server", &server, "--call", "long", "--alone", "echo", "--source", "tone",
        ];
        let args = [&args[..], &["--effects", "none", "--sink", sink]].concat();
        let process = Process::start(bin("softphone"), &args, &[]);
        process.wait_for_stderr("connected", LIMIT);
        let call = Self { process, dir };
        call.hear_a_second();
        call
    }

    /// Waits until a second more was written to the file.
    fn hear_a_second(&self) {
        let file = self.dir.path().join("heard.wav");
        let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let (deadline, enough) = (Instant::now() + LIMIT, size() + 2 * u64::from(RATE));
        while size() < enough {
            assert!(
                Instant::now() < deadline,
                "nothing is written\n{}",
                self.process
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Hangs up, and returns what was heard beside the figures.
    fn hang_up(mut self) -> (Call, Vec<f32>) {
        self.process.signal("INT");
        let call = Call::of(self.process.wait(LIMIT));
        (call, read_wav(&self.dir.path().join("heard.wav")))
    }
}

/// The tone is there in the last half second that was heard, but for the very end.
fn tone_at_the_end(heard: &[f32]) {
    let end = heard.len() - RATE as usize / 10;
    let part = &heard[end - RATE as usize / 2..end];
    let (hz, level) = (dominant_frequency(part, RATE), rms_dbfs(part));
    assert!((hz - 440.0).abs() < 2.0, "{hz} Hz");
    assert!((level + 23.0).abs() < 1.5, "{level} dBFS");
}

#[test]
fn a_call_goes_on_when_a_killed_server_is_back() {
    let server = Server::start(&[]);
    let addr = server.addr();
    let call = LongCall::start(addr);
    server.kill();
    let words = call.process.wait_for_stderr("the line is lost", LIMIT);
    assert!(words.contains("broke"), "{words}");
    call.process
        .wait_for_stderr("still trying: no server runs", LIMIT);
    let mut server = Server::start_on(&addr.to_string(), &[], &[]);
    call.process.wait_for_stderr("the line is back", LIMIT);
    server.process().wait_for_stderr(r#"call="long""#, LIMIT);
    call.hear_a_second();
    let (call, heard) = call.hang_up();
    call.ended(GOOD, &[]);
    tone_at_the_end(&heard);
    assert_eq!(call.number("/reconnects"), 1.0);
    assert_eq!(call.text("/call_id"), "long");
    assert!(call.stderr.contains("1 reconnect\n"), "{}", call.stderr);
    server.process().wait_for_stderr("ended by the peer", LIMIT);
}

#[test]
fn a_server_that_is_stopped_is_a_lost_line_and_tried_again() {
    let mut server = Server::start(&["--drain", "50ms"]);
    let addr = server.addr();
    let call = LongCall::start(addr);
    server.process().signal("TERM");
    let words = call.process.wait_for_stderr("the line is lost", LIMIT);
    assert!(
        words.contains("Unavailable: the server is stopping"),
        "{words}"
    );
    assert_eq!(server.process().wait(LIMIT).code, Some(0));
    let _server = Server::start_on(&addr.to_string(), &[], &[]);
    call.process.wait_for_stderr("the line is back", LIMIT);
    call.hear_a_second();
    let (call, heard) = call.hang_up();
    call.ended(GOOD, &[]);
    assert_eq!(call.number("/reconnects"), 1.0);
    tone_at_the_end(&heard);
}

#[test]
fn a_frozen_server_is_noticed_and_the_call_goes_on_when_it_thaws() {
    let mut server = Server::start(&[]);
    let call = LongCall::start(server.addr());
    server.process().signal("STOP");
    let words = call.process.wait_for_stderr("the line is lost", LIMIT);
    assert!(words.contains("has not answered for"), "{words}");
    // Meanwhile the kernel takes new connections for it, and would take all that is said.
    call.hear_a_second();
    call.hear_a_second();
    server.process().signal("CONT");
    call.process.wait_for_stderr("the line is back", LIMIT);
    call.hear_a_second();
    let (call, heard) = call.hang_up();
    call.ended(GOOD, &[]);
    // Four seconds until it was noticed and two more: what was said in them was dropped here, and
    // did not come late when it thawed.
    let dropped = call.number("/chunks_dropped");
    assert!(dropped >= 520.0, "only {dropped} chunks were dropped");
    tone_at_the_end(&heard);
}

#[test]
fn a_short_stall_makes_nothing_late() {
    let attempt = || {
        let mut server = Server::start(&[]);
        let call = LongCall::start(server.addr());
        server.process().signal("STOP");
        call.hear_a_second();
        server.process().signal("CONT");
        call.hear_a_second();
        call.hear_a_second();
        call.hang_up()
    };
    // A second line was tried, and both thaw at once: the old one, on which nothing is lost, goes on.
    let stays = |(call, _): &(Call, _)| call.number("/reconnects") != 1.0;
    let Some((call, heard)) = judged(|| watched(attempt), stays) else {
        return;
    };
    call.ended(GOOD, &[]);
    assert_eq!(call.number("/reconnects"), 0.0);
    assert_eq!(call.number("/chunks_received"), call.number("/chunks_sent"));
    // What was said during the stall was dropped here, but for the first 150 ms of it: it did not
    // wait in the transport to come late.
    let dropped = call.number("/chunks_dropped");
    assert!(dropped >= 30.0, "only {dropped} chunks were dropped");
    tone_at_the_end(&heard);
}

#[test]
fn hanging_up_on_a_frozen_server_is_a_lost_line() {
    let mut server = Server::start(&[]);
    let addr = server.addr().to_string();
    let args = ["--json", "--synthetic", "--server", &addr];
    let mut process = Process::start(bin("softphone"), &args, &[]);
    process.wait_for_stderr("connected", LIMIT);
    server.process().signal("STOP");
    process.wait_for_stderr("the line has stalled", LIMIT);
    process.signal("INT");
    let call = Call::of(process.wait(LIMIT));
    server.process().signal("CONT");
    call.ended(NO_CONNECTION, &["did not come back"]);
}

#[test]
fn a_server_that_never_comes_back_is_a_lost_connection() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let args = [
        "--json",
        "--synthetic",
        "--duration",
        "3s",
        "--server",
        &addr,
    ];
    let mut process = Process::start(bin("softphone"), &args, &[]);
    process.wait_for_stderr("connected", LIMIT);
    server.kill();
    process.wait_for_stderr("the line is lost", LIMIT);
    let call = Call::of(process.wait(LIMIT));
    call.ended(NO_CONNECTION, &["did not come back", &addr]);
    assert_eq!(call.number("/reconnects"), 0.0);
}

// ---- WAV in, WAV out ----

/// Two seconds and a half of something like speech at 44,100 Hz: syllables of a gliding voice, the
/// last one up to the very end.
fn speech_like() -> Vec<f32> {
    let rate = 44_100.0;
    let mut phase = 0.0f64;
    (0..110_250)
        .map(|n| {
            let t = f64::from(n) / rate;
            phase += (120.0 + 40.0 * (1.7 * t).sin() + 15.0 * t) / rate;
            let voice: f64 = (1..20)
                .map(|harmonic| {
                    let harmonic = f64::from(harmonic);
                    let formant = 1.0 / (1.0 + (harmonic - 5.0 - 2.0 * (3.0 * t).sin()).powi(2));
                    formant * (std::f64::consts::TAU * harmonic * phase).sin()
                })
                .sum();
            let syllable = (std::f64::consts::PI * 4.0 * t).cos().powi(2).max(0.02);
            (0.2 * voice * syllable) as f32
        })
        .collect()
}

fn write_wav(path: &Path, samples: &[f32], rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("created");
    for sample in samples {
        writer
            .write_sample((sample * 32_767.0) as i16)
            .expect("written");
    }
    writer.finalize().expect("written");
}

/// Whether all of `reference` is in `heard`, without a gap, to its last tenth of a second.
fn all_was_heard(reference: &[f32], heard: &[f32], alike: f64) -> Result<(), String> {
    let mut heard = heard.to_vec();
    heard.resize(heard.len() + 2 * RATE as usize, 0.0);
    let delays = delays(reference, &heard, RATE);
    if delays.len() != 5 || delays.iter().any(|delay| delay.correlation < alike) {
        return Err(format!("not every half second was heard: {delays:?}"));
    }
    let late = delays[4].delay_ms;
    let gap = longest_gap_ms(reference, &heard, RATE, late);
    if gap > 20.0 {
        return Err(format!("a gap of {gap} ms"));
    }
    let tenth = RATE as usize / 10;
    let end = reference.len() + (late * f64::from(RATE) / 1_000.0) as usize;
    let sent = rms_dbfs(&reference[reference.len() - tenth..]);
    let got = rms_dbfs(&heard[end - tenth..end]);
    if (sent - got).abs() > 1.0 {
        return Err(format!("the end: sent {sent} dBFS, heard {got} dBFS"));
    }
    Ok(())
}

#[test]
fn a_wav_file_is_sent_to_its_end_and_its_echo_written() {
    let server = Server::start(&[]);
    let said = speech_like();
    let reference = resample(&said, 44_100, RATE);
    // Chunks of 60 ms leave so much waiting that the delay stays. With those of 10 ms the jitter buffer may
    // move by a period of the voice within a half second, of which then only the longer part agrees.
    for (codec, frame_ms, alike) in [("pcm", "60", 0.99), ("opus", "10", 0.6)] {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let [source, sink] = ["said.wav", "heard.wav"].map(|name| dir.path().join(name));
        write_wav(&source, &said, 44_100);
        let [source, sink] = [&source, &sink].map(|path| path.to_str().expect("UTF-8"));
        let args = ["--source", source, "--sink", sink, "--effects", "none"];
        let args = [&args[..], &["--codec", codec, "--frame-ms", frame_ms]].concat();
        let attempt = || {
            let (call, stall) = watched(|| call(server.addr(), &args));
            call.ended(GOOD, &["the call is over"]);
            let heard = all_was_heard(&reference, &read_wav(Path::new(sink)), alike);
            (heard, stall)
        };
        let heard = judged(attempt, Result::is_ok);
        assert!(!matches!(heard, Some(Err(_))), "{codec}: {heard:?}");
    }
}

// ---- hanging up ----

#[test]
fn signals_hang_up() {
    for signal in ["INT", "TERM", "HUP"] {
        let mut server = Server::start(&[]);
        let addr = server.addr().to_string();
        let args = ["--server", &addr, "--source", "tone", "--sink", "null"];
        let mut process = Process::start(bin("softphone"), &args, &[]);
        process.wait_for_stdout("connected", LIMIT);
        process.signal(signal);
        let output = process.wait(LIMIT);
        assert_eq!(output.code, Some(GOOD), "SIG{signal}: {output:?}");
        assert!(output.stdout.contains("the call is over"), "{output:?}");
        assert_eq!(output.stderr, "");
        server.process().wait_for_stderr("ended by the peer", LIMIT);
    }
}

#[test]
fn nobody_has_to_listen_to_what_it_says() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let mut child = Command::new(bin("softphone"))
        .args(["--server", &addr, "--synthetic", "--duration", "1s"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    let code = output.status.code();
    // An unlucky second is wrong audio, which is said as well.
    assert!(matches!(code, Some(GOOD | WRONG_AUDIO)), "{code:?}: {said}");
}
