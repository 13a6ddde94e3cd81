//! Lines that stall: what comes late, what it costs, and how long it takes until all is well again.

mod caller;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use caller::{Caller, GoodCall, LIMIT, chunk, later, numbered, wishing};
use proto::callcenter::{AudioChunk, Gap, call_center_client::CallCenterClient};
use serde_json::Value;
use tests::{
    Process, Server,
    analysis::{Delay, delays, dominant_frequency, rms_dbfs},
    bin,
    memory::resident_bytes,
    network::{FAR_SIDE, Network},
    proxy::Proxy,
    signals::{chirp, read_wav, repeated},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, transport::Endpoint};

const RATE: u32 = 48_000;
const SAMPLES: u64 = 480;

/// Samples and bytes of 10 ms that are small: while answers stand still, so does the server's leave
/// to send more than 64 KiB.
const SMALL: usize = 80;

/// A chunk of 10 ms as a client got it: how old it was by the client's own media time.
struct Heard {
    age_ms: u64,
    gap: Gap,
}

/// Speaks in real time through the proxy, acknowledging all that it hears, until `chunks` were said.
/// `at` is told the number of each chunk before it is said. Returns everything with sound that came
/// back.
async fn speak(proxy: &Proxy, chunks: u64, at: impl Fn(u64)) -> Vec<Heard> {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.addr())).expect("a URI");
    let channel = endpoint.connect().await.expect("connected");
    let (requests_tx, requests) = mpsc::unbounded_channel();
    let requests = UnboundedReceiverStream::new(requests);
    let mut client = CallCenterClient::new(channel);
    let response = client.live_call(requests).await.expect("accepted");
    let mut answers = response.into_inner();
    let mut clock = interval(Duration::from_millis(10));
    // On a busy machine this end is slower than real time, but never in bursts.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut said, mut newest, mut heard) = (0, 0, Vec::new());
    let mut newest_came = Instant::now();
    while said < chunks {
        tokio::select! {
            _ = clock.tick() => {
                at(said);
                let payload = vec![said as u8; SMALL];
                let chunk = AudioChunk {
                    media_time: said * SMALL as u64,
                    ack_sequence: newest,
                    ack_delay_us: newest_came.elapsed().as_micros() as u32,
                    ..wishing("none", numbered(said + 1, chunk("pcmu", 8_000, 1, payload)))
                };
                said += 1;
                requests_tx.send(chunk).expect("the stream is there");
            }
            answer = answers.message() => {
                let answer = answer.expect("no error").expect("not over");
                assert_eq!(answer.sequence, newest + 1, "none is lost on the wire");
                newest = answer.sequence;
                newest_came = Instant::now();
                if !answer.audio_data.is_empty() {
                    heard.push(Heard {
                        age_ms: (said * SMALL as u64 - answer.media_time) / 8,
                        gap: answer.gap(),
                    });
                }
            }
        }
    }
    heard
}

#[tokio::test]
async fn answers_that_would_come_late_are_not_sent() {
    let mut server = Server::start(&[]);
    let proxy = Proxy::start(server.addr());
    let heard = speak(&proxy, 500, |said| match said {
        100 => proxy.freeze_answers(),
        250 => proxy.thaw(),
        _ => {}
    })
    .await;
    // Of the 150 chunks said meanwhile only what was handed over before the stall was known lay in
    // the line; and what comes from now on is young again.
    let late = heard.iter().filter(|chunk| chunk.age_ms > 400).count();
    assert!((5..=40).contains(&late), "{late} chunks came late");
    let newest = &heard[heard.len() - 50..];
    assert!(newest.iter().all(|chunk| chunk.age_ms < 400));
    let marks = heard.iter().filter(|chunk| chunk.gap == Gap::Late).count();
    assert!(marks >= 1, "a jump is marked");
    let log = server.process().wait_for_stderr("call ended", LIMIT);
    let dropped = log.split("dropped_late=").nth(1).expect("in the log");
    let dropped: u64 = dropped
        .split_whitespace()
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a number");
    assert!(dropped > 80, "{log}");
    assert!(500 >= heard.len() as u64 + dropped, "{log}");
}

#[tokio::test]
async fn a_numbering_peer_that_pours_and_acknowledges_loses_nothing() {
    let server = Server::start(&["--effects", "none"]);
    let mut caller = Caller::dial(&server).await;
    let (mut said, mut heard) = (0, 0);
    while heard < 3_000 {
        while said < 3_000 && said < heard + 200 {
            said += 1;
            caller.say(AudioChunk {
                media_time: (said - 1) * SAMPLES,
                ack_sequence: heard,
                ..numbered(said, chunk("pcm", RATE, 1, [1; 2 * SAMPLES as usize]))
            });
        }
        let answer = caller.answer().await;
        heard += 1;
        assert_eq!(answer.ack_sequence, heard);
        assert_eq!((answer.gap(), answer.audio_data.len()), (Gap::None, 960));
    }
}

// ---- peers that never read ----

/// A connection whose answers have no room as long as nobody reads them.
async fn narrow(server: &Server) -> tonic::transport::Channel {
    let endpoint = Endpoint::from_shared(server.uri())
        .expect("a URI")
        .initial_stream_window_size(1_024);
    endpoint.connect().await.expect("the server is there")
}

#[tokio::test]
async fn forty_legs_of_tiny_chunks_that_are_not_read_do_not_end_their_connection() {
    let mut server = Server::start(&["--effects", "none"]);
    let pid = server.process().id();
    let channel = narrow(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let mut stalled = Vec::new();
    for n in 0..40 {
        let leg = Caller::on(&channel).await;
        // Every other one numbers its chunks, and is read all the same.
        leg.say(numbered(n % 2, chunk("pcmu", 8_000, 1, [0; 20])));
        stalled.push(leg);
    }
    let before = resident_bytes(pid);
    // Each chunk in a frame of its own because the good call goes on between them. Twenty held legs
    // and 2,000 chunks: more than a window of 16 MiB would allow.
    for n in 2..2_000 {
        for (index, leg) in stalled.iter().enumerate() {
            leg.say(numbered(n * (index as u64 % 2), later([0; 20])));
        }
        good.goes_on_once().await;
    }
    let grown = resident_bytes(pid).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes");
    good.ends_well().await;
    // Whoever was held finds everything.
    assert_eq!(stalled.swap_remove(0).rest().await.len(), 1_999);
}

#[tokio::test]
async fn a_peer_that_never_reads_loses_its_place_and_disturbs_nobody() {
    for numbers in [0, 1] {
        let server = Server::start(&[
            "--max-legs",
            "2",
            "--idle-timeout",
            "500ms",
            "--effects",
            "none",
        ]);
        let channel = narrow(&server).await;
        let mut good = GoodCall::on(&channel).await;
        let mut deaf = Caller::on(&channel).await;
        deaf.say(numbered(numbers, chunk("pcm", RATE, 1, [0; 960])));
        assert!(
            Caller::try_on(&channel).await.is_err(),
            "there are two places"
        );
        let began = Instant::now();
        let next = loop {
            deaf.say(numbered(numbers, later([0; 960])));
            good.goes_on_once().await;
            match Caller::try_on(&channel).await {
                Ok(next) => break next,
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
            }
            assert!(began.elapsed() < LIMIT, "it keeps its place");
        };
        drop(next);
        good.ends_well().await;
        // If it reads after all, it is told.
        let status = deaf.refusal().await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(
            status.message().contains("no answer was read"),
            "{status:?}"
        );
    }
}

// ---- the softphone on lines that stall ----

/// A call with a WAV file for an ear.
struct Call {
    process: Process,
    dir: tempfile::TempDir,
}

impl Call {
    fn start(server: &str, source: &str, start: impl Fn(&[&str]) -> Process) -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let sink = dir.path().join("heard.wav");
        let sink = sink.to_str().expect("UTF-8");
        let process = start(&[
            "--json",
            "--server",
            server,
            "--effects",
            "none",
            "--source",
            source,
            "--sink",
            sink,
        ]);
        process.wait_for_stderr("connected", LIMIT);
        let call = Self { process, dir };
        call.hears(1.0);
        call
    }

    /// Waits until so many seconds were written to the file.
    fn hears(&self, seconds: f64) {
        let file = self.dir.path().join("heard.wav");
        let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
        let enough = size() + (seconds * f64::from(RATE) * 2.0) as u64;
        let began = Instant::now();
        while size() < enough {
            assert!(
                began.elapsed() < LIMIT,
                "nothing is written\n{}",
                self.process
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Hangs up, and returns the figures and what was heard.
    fn hang_up(mut self) -> (Value, Vec<f32>) {
        self.process.signal("INT");
        let output = self.process.wait(LIMIT);
        let figures = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (figures, read_wav(&self.dir.path().join("heard.wav")))
    }
}

fn softphone(args: &[&str]) -> Process {
    Process::start(bin("softphone"), args, &[])
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
fn a_line_that_stays_stalled_is_overtaken_by_a_new_one() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.addr());
    let call = Call::start(&proxy.addr().to_string(), "tone", softphone);
    proxy.freeze_present();
    // "has" as long as it lasts, "had" where it was over before anybody looked.
    call.process.wait_for_stderr("stalled", LIMIT);
    call.hears(1.5);
    let said = call.process.stderr();
    let (figures, heard) = call.hang_up();
    // Long before the old one was given up.
    assert!(!said.contains("lost"), "{said}");
    assert_eq!(figures["reconnects"], 1, "{figures}");
    assert_eq!(figures["exit_code"], 0, "{figures}");
    tone_at_the_end(&heard);
}

#[test]
fn a_line_that_recovers_by_itself_is_kept() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.addr());
    let call = Call::start(&proxy.addr().to_string(), "tone", softphone);
    proxy.freeze();
    call.process.wait_for_stderr("the line has stalled", LIMIT);
    proxy.thaw_first();
    call.process.wait_for_stderr("the line is back", LIMIT);
    call.hears(1.5);
    let (figures, heard) = call.hang_up();
    assert_eq!(figures["reconnects"], 0, "{figures}");
    assert_eq!(figures["exit_code"], 0, "{figures}");
    tone_at_the_end(&heard);
}

#[test]
fn nothing_is_poured_into_a_server_that_does_not_show_itself() {
    let mut server = Server::start(&[]);
    server.process().signal("STOP");
    let addr = server.addr().to_string();
    let args = [
        "--json",
        "--server",
        &addr,
        "--source",
        "tone",
        "--sink",
        "null",
        "--effects",
        "none",
    ];
    let mut process = softphone(&args);
    // The kernel takes the connection, and would take seconds of sound.
    process.wait_for_stderr("calling", LIMIT);
    std::thread::sleep(Duration::from_millis(2_500));
    server.process().signal("CONT");
    process.wait_for_stderr("connected", LIMIT);
    process.signal("INT");
    let output = process.wait(LIMIT);
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let dropped = figures["chunks_dropped"].as_u64().expect("a number");
    assert!(dropped >= 60, "only {dropped} were dropped: {figures}");
    assert_eq!(figures["exit_code"], 0, "{figures}");
}

// ---- for real ----

/// A glide that is unlike itself anywhere within two seconds, again and again.
fn write_glides(path: &Path, seconds: f64) -> Vec<f32> {
    let sound = repeated(&chirp(300.0, 3_400.0, 1.9, 0.5), seconds);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a WAV file");
    for sample in &sound {
        writer
            .write_sample((sample * 32_767.0) as i16)
            .expect("written");
    }
    writer.finalize().expect("finished");
    sound
}

/// What an outage did to the delay, in milliseconds.
#[derive(Debug)]
struct Course {
    /// In the second before which nothing can have happened.
    before: f64,
    /// From the first window that was late by more than 30 ms to the last.
    late_for: f64,
    /// In the last good window but those of hanging up.
    at_the_end: f64,
}

/// Reads the course of the delay.
fn course(said: &[f32], heard: &[f32]) -> Course {
    // Two combs of half seconds make steps of a quarter.
    let step = RATE as usize / 4;
    let mut all: Vec<Delay> = delays(said, heard, RATE);
    all.extend(
        delays(&said[step..], &heard[step..], RATE)
            .into_iter()
            .map(|delay| Delay {
                at_ms: delay.at_ms + 250.0,
                ..delay
            }),
    );
    all.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    let end_ms = heard.len() as f64 / f64::from(RATE) * 1e3 - 1_500.0;
    let good: Vec<&Delay> = all
        .iter()
        .filter(|delay| delay.correlation > 0.9 && (1_000.0..end_ms).contains(&delay.at_ms))
        .collect();
    let before = good.first().expect("something was heard").delay_ms;
    let late: Vec<f64> = good
        .iter()
        .filter(|delay| delay.delay_ms > before + 30.0)
        .map(|delay| delay.at_ms)
        .collect();
    Course {
        before,
        late_for: late.last().unwrap_or(&0.0) - late.first().unwrap_or(&0.0),
        at_the_end: good.last().expect("something was heard").delay_ms,
    }
}

#[test]
fn after_a_real_outage_the_line_is_back_at_its_delay_within_a_second() {
    let Some(network) = Network::set_up() else {
        return;
    };
    let listen = format!("{FAR_SIDE}:50051");
    let server = network.start_far("server", &["--listen", &listen, "--insecure"]);
    server.wait_for_stdout("listening on", LIMIT);
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let source = dir.path().join("said.wav");
    let said = write_glides(&source, 40.0);
    let source = source.to_str().expect("UTF-8");
    for outage in [0.3, 2.0, 10.0] {
        let call = Call::start(&listen, source, |args| {
            network.start_near("softphone", args)
        });
        call.hears(2.0);
        network.cut();
        call.hears(outage);
        network.mend();
        call.hears(7.0);
        let words = call.process.stderr();
        let (figures, heard) = call.hang_up();
        let course = course(&said, &heard);
        let silent = figures["jitter_buffer"]["longest_concealed_ms"]
            .as_f64()
            .expect("a number");
        println!(
            "cut of {outage} s: nothing for {silent:.0} ms, delay {course:.0?} ms, {} reconnects, {} dropped; {}",
            figures["reconnects"],
            figures["chunks_dropped"],
            words.replace('\n', " | ")
        );
        assert_eq!(figures["exit_code"], 0, "{figures}");
        assert!(course.late_for <= 1_000.0, "{course:?}");
        assert!(course.at_the_end < course.before + 30.0, "{course:?}");
        // TCP alone would have made 3.1 s or more of 2, and 13 of 10.
        assert!(
            silent < outage * 1_000.0 + 1_600.0,
            "{silent} ms: {figures}"
        );
    }
}
