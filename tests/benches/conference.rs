//! Calls of several: what one party hears of another, from mouth to ear, relayed and mixed; and what the server
//! spends, against a bare relay of the same gRPC library and against decoding and encoding every leg.
//!
//!     cargo bench -p tests --bench conference [-- --seconds 8]

use std::{env, time::Duration};

use audio::{Decoder, Encoder, Format, codec::DEFAULT_BITRATE};
use proto::callcenter::{AudioChunk, Join, call_center_client::CallCenterClient};
use tests::{
    Server, bare_echo,
    cpu::{process_seconds, thread_seconds},
    heard_call::{Route, heard_conference},
    rig::{Rig, clean_run},
    signals::speech,
};
use tokio::{
    runtime::Runtime,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;

const CHUNK: Duration = Duration::from_millis(20);

const TEXT: &str = "Good morning, you are through to the call centre. My name is Anna, what can I do \
    for you? One moment please, I look for your order. Here it is: it left our house on Tuesday, and \
    should be with you by the end of the week. Is there anything else? Then I wish you a good day.";

/// 1 + the level of RFC 6464: silence.
const SILENT: u32 = 128;

fn main() {
    bare_echo::serve_if_asked();
    let Some(words) = speech(TEXT) else { return };
    println!("| route | PESQ | missing | mouth to ear, ms (p95) | told, ms |");
    println!("|---|---:|---:|---:|---:|");
    for route in [Route::Relayed, Route::Mixed] {
        let Some(rig) = Rig::start() else { break };
        let call = clean_run(|| heard_conference(&rig, route, &words));
        println!(
            "| {route:?} | {} | {:.1} % | {:.1} ({:.1}) | {} |",
            call.pesq
                .map_or_else(|| "-".to_owned(), |pesq| format!("{pesq:.2}")),
            100.0 * call.missing,
            call.delay_ms[0],
            call.delay_ms[1],
            call.figures["delay_ms"]["median"]["sum"],
        );
    }
    let runtime = Runtime::new().expect("the system has threads");
    let sound = Sound::new(&words);
    println!("\nCPU of the server, microseconds a chunk of 20 ms, at the pace of speech:\n");
    let legs = |legs_per_call: usize, calls: usize| {
        (0..legs_per_call * calls)
            .map(|n| Leg {
                call_id: format!("call-{}", n / legs_per_call),
                talks: true,
                tells_level: true,
            })
            .collect::<Vec<_>>()
    };
    let (echo, echo_uri) = bare_echo::start();
    let bare = cost_us(&runtime, echo.id(), &echo_uri, &legs(1, 20), &sound);
    drop(echo);
    println!("bare tonic echo, 20 legs: {bare:.1}");
    let relayed = server_cost_us(&runtime, &legs(2, 10), &sound);
    println!(
        "10 calls of 2, relayed: {relayed:.1}, {:.2} times the bare echo",
        relayed / bare
    );
    let naive = naive_us(&sound);
    println!("decode and encode alone: {naive:.1}");
    for legs in [10, 50] {
        for tells_level in [false, true] {
            let legs: Vec<_> = (0..legs)
                .map(|n| Leg {
                    call_id: "conference".to_owned(),
                    talks: n < 3,
                    tells_level,
                })
                .collect();
            let mixed = server_cost_us(&runtime, &legs, &sound);
            println!(
                "{} legs, 3 talk, the others {}: {mixed:.1}, of which beyond the bare echo {:.2} times decode and \
                 encode of each",
                legs.len(),
                if tells_level {
                    "say that they are silent"
                } else {
                    "send silence"
                },
                (mixed - bare).max(0.0) / naive
            );
        }
    }
}

/// One leg of the load.
#[derive(Clone)]
struct Leg {
    call_id: String,
    talks: bool,
    /// Whether its chunks say how loud they are.
    tells_level: bool,
}

/// What is said, as packets.
struct Sound {
    words: Vec<bytes::Bytes>,
    silence: bytes::Bytes,
}

impl Sound {
    fn new(words: &[f32]) -> Self {
        let format = Format::OPUS_48K_MONO;
        let samples = format.samples_in(CHUNK);
        let packets = |sound: &[f32]| {
            let mut encoder = Encoder::new(format, DEFAULT_BITRATE).expect("libopus works");
            let chunks = sound.chunks_exact(samples);
            chunks
                .map(|chunk| {
                    let mut packet = Vec::new();
                    encoder.encode(chunk, &mut packet).expect("a whole packet");
                    bytes::Bytes::from(packet)
                })
                .collect::<Vec<_>>()
        };
        Self {
            words: packets(words),
            silence: packets(&vec![0.0; 10 * samples])
                .pop()
                .expect("some packets"),
        }
    }

    fn packet(&self, leg: &Leg, n: usize) -> bytes::Bytes {
        match leg.talks {
            true => self.words[n % self.words.len()].clone(),
            false => self.silence.clone(),
        }
    }
}

/// CPU of decode and encode of one leg, microseconds a chunk, on this thread.
fn naive_us(sound: &Sound) -> f64 {
    let format = Format::OPUS_48K_MONO;
    let mut decoder = Decoder::new(format).expect("libopus works");
    let mut encoder = Encoder::new(format, DEFAULT_BITRATE).expect("libopus works");
    let (mut samples, mut packet) = (Vec::new(), Vec::new());
    let before = thread_seconds();
    let mut chunks = 0_u32;
    while chunks < 5_000 {
        for payload in &sound.words {
            samples.clear();
            packet.clear();
            decoder
                .decode(payload, &mut samples)
                .expect("our own packets");
            encoder
                .encode(&samples, &mut packet)
                .expect("a whole packet");
            chunks += 1;
        }
    }
    (thread_seconds() - before) * 1e6 / f64::from(chunks)
}

fn server_cost_us(runtime: &Runtime, legs: &[Leg], sound: &Sound) -> f64 {
    let server = Server::start(&["--log", "error"]);
    cost_us(runtime, server.id(), &server.uri(), legs, sound)
}

/// CPU of this process while these legs speak.
fn cost_us(runtime: &Runtime, pid: u32, uri: &str, legs: &[Leg], sound: &Sound) -> f64 {
    let chunks = (number("--seconds", 8) * 1_000 / CHUNK.as_millis() as u64) as usize;
    let before = process_seconds(pid);
    runtime.block_on(async {
        let mut running = Vec::new();
        for (n, leg) in legs.iter().cloned().enumerate() {
            let after = CHUNK * n as u32 / legs.len() as u32;
            let packets: Vec<_> = (0..chunks).map(|at| sound.packet(&leg, at)).collect();
            running.push(tokio::spawn(speak(uri.to_owned(), leg, packets, after)));
        }
        for leg in running {
            leg.await.expect("it speaks to the end");
        }
    });
    (process_seconds(pid) - before) * 1e6 / (legs.len() * chunks) as f64
}

/// Speaks at its pace, on a connection of its own, acknowledges what it hears, and hangs up.
async fn speak(uri: String, leg: Leg, packets: Vec<bytes::Bytes>, after: Duration) {
    let mut client = CallCenterClient::connect(uri).await.expect("connects");
    let (requests, stream) = mpsc::channel(64);
    let answers = client.live_call(ReceiverStream::new(stream)).await;
    let mut answers = answers.expect("accepted").into_inner();
    let (heard_tx, heard) = tokio::sync::watch::channel(0);
    let talk = tokio::spawn(async move {
        sleep(after).await;
        let mut pace = interval(CHUNK);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for (n, packet) in packets.into_iter().enumerate() {
            pace.tick().await;
            let chunk = AudioChunk {
                audio_data: packet,
                call_id: leg.call_id.clone(),
                sample_rate: 48_000,
                channels: 1,
                codec: "opus".to_owned(),
                sequence: n as u64 + 1,
                media_time: n as u64 * 960,
                age_us: 25_000,
                ack_sequence: *heard.borrow(),
                level: match (leg.tells_level, leg.talks) {
                    (false, _) => 0,
                    (true, true) => 20,
                    (true, false) => SILENT,
                },
                join: (n == 0).then(|| Join {
                    effects: "none".to_owned(),
                    ..Join::default()
                }),
                ..AudioChunk::default()
            };
            requests.send(chunk).await.expect("the server reads");
        }
    });
    while let Some(answer) = answers.message().await.expect("no error") {
        heard_tx.send_replace(answer.sequence);
    }
    talk.await.expect("it talks to the end");
}

/// The number behind a flag.
fn number(flag: &str, default: u64) -> u64 {
    let args: Vec<String> = env::args().collect();
    let at = args.iter().position(|arg| arg == flag);
    let value = at.and_then(|at| args.get(at + 1));
    value.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{flag} takes a number, not {text:?}"))
    })
}
