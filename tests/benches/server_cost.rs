//! What the server costs over the work itself: CPU of its calls against codec and effects alone,
//! and the delay it adds against a bare echo of the same gRPC library, each in one run.
//!
//!     cargo bench -p tests --bench server_cost [-- --calls 20 --seconds 10]

use std::{
    env,
    time::{Duration, Instant},
};

use audio::{Effects, Encoder, Format};
use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tests::{
    Server,
    analysis::percentile,
    bare_echo,
    cpu::{process_seconds, thread_seconds},
    signals::speech,
};
use tokio::{runtime::Runtime, sync::mpsc, time::MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;

/// Round trips for each of the delays, in turns, so that a busy moment meets all alike.
const TURNS: usize = 20;
const ROUND_TRIPS: usize = 250;

/// Between two chunks of twenty calls in chunks of 10 ms.
const PAUSE: Duration = Duration::from_micros(500);

fn main() {
    bare_echo::serve_if_asked();
    let calls = number("--calls", 20);
    let seconds = number("--seconds", 10);
    let runtime = Runtime::new().expect("the system has threads");

    println!(
        "CPU of {calls} Opus calls at the pace of speech for {seconds} s, microseconds a chunk.\n\
         Codec and effects alone: at once, one chunk behind the other; and at a pace, as the server\n\
         has to, so that caches are as cold."
    );
    println!(
        "{:<36} {:>8} {:>8} {:>8} {:>17}",
        "chunks, effects", "at once", "at pace", "server", "server to at pace"
    );
    for effects in [Effects::DEFAULT, "highpass"] {
        for chunk_ms in [10, 20] {
            let packets = packets(chunk_ms);
            let at_once = alone_us(&packets, effects, calls as usize, Duration::ZERO);
            let at_pace = alone_us(&packets, effects, calls as usize, PAUSE);
            let server = Server::start(&["--effects", effects, "--log", "error"]);
            let chunks = (seconds * 1_000 / chunk_ms) as usize;
            let before = process_seconds(server.id());
            runtime.block_on(paced_calls(
                &server.uri(),
                calls as usize,
                chunks,
                chunk_ms,
                &packets,
            ));
            let used = process_seconds(server.id()) - before;
            let each = used * 1e6 / (calls as f64 * chunks as f64);
            println!(
                "{:<36} {at_once:>8.1} {at_pace:>8.1} {each:>8.1} {:>17.2}",
                format!("{chunk_ms} ms, {effects}"),
                each / at_pace
            );
        }
    }

    let (echo, echo_uri) = bare_echo::start();
    for chunk_ms in [10, 20] {
        let packets = packets(chunk_ms);
        let chunks = (seconds * 1_000 / chunk_ms) as usize;
        let before = process_seconds(echo.id());
        runtime.block_on(paced_calls(
            &echo_uri,
            calls as usize,
            chunks,
            chunk_ms,
            &packets,
        ));
        let used = process_seconds(echo.id()) - before;
        println!(
            "{:<36} {:>8} {:>8} {:>8.1}",
            format!("{chunk_ms} ms, bare tonic echo"),
            "",
            "",
            used * 1e6 / (calls as f64 * chunks as f64)
        );
    }

    println!("\nRound trip of one 20 ms chunk of a lone call, in microseconds:");
    println!("{:<32} {:>8} {:>8}", "", "p50", "p99");
    let server = Server::start(&["--effects", "none", "--log", "error"]);
    let packet = packets(20).swap_remove(0);
    let mut bare = Vec::new();
    let mut plain = Vec::new();
    let mut numbered = Vec::new();
    for _ in 0..TURNS {
        bare.extend(runtime.block_on(round_trips(&echo_uri, &packet, false)));
        plain.extend(runtime.block_on(round_trips(&server.uri(), &packet, false)));
        numbered.extend(runtime.block_on(round_trips(&server.uri(), &packet, true)));
    }
    drop(echo);
    for (name, times) in [
        ("bare tonic echo", &bare),
        ("server, --effects none", &plain),
        ("the same, numbered chunks", &numbered),
    ] {
        println!(
            "{name:<32} {:>8.0} {:>8.0}   {:.2} x the echo's median",
            percentile(times, 50.0),
            percentile(times, 99.0),
            percentile(times, 50.0) / percentile(&bare, 50.0)
        );
    }
}

/// The number behind a flag.
fn number(flag: &str, default: u64) -> u64 {
    let args: Vec<String> = env::args().collect();
    let value = args
        .iter()
        .position(|arg| arg == flag)
        .and_then(|at| args.get(at + 1));
    value.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{flag} takes a number, not {text:?}"))
    })
}

/// Some seconds of speech as Opus packets.
fn packets(chunk_ms: u64) -> Vec<bytes::Bytes> {
    let words = speech("The quick brown fox jumps over the lazy dog, again and again.")
        .expect("speech needs espeak-ng: script/setup --tests installs it");
    let format = Format::OPUS_48K_MONO;
    let samples = format.samples_in(Duration::from_millis(chunk_ms));
    let mut encoder = Encoder::new(format, audio::codec::DEFAULT_BITRATE).expect("libopus works");
    words
        .chunks_exact(samples)
        .map(|chunk| {
            let mut packet = Vec::new();
            encoder.encode(chunk, &mut packet).expect("a whole packet");
            packet.into()
        })
        .collect()
}

/// CPU of decode, chain and encode alone, for as many calls in turn as the server will carry:
/// microseconds a chunk, on this thread, with a pause before each.
fn alone_us(packets: &[bytes::Bytes], effects: &str, calls: usize, pause: Duration) -> f64 {
    let effects = Effects::parse(effects).expect("effects of our own choice");
    let mut legs: Vec<_> = (0..calls)
        .map(|_| audio::Leg::new(Format::OPUS_48K_MONO, &effects))
        .collect();
    let mut answer = Vec::new();
    let mut chunks = 0u32;
    let before = thread_seconds();
    while chunks < 5_000 {
        for packet in packets {
            for leg in &mut legs {
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
                leg.process(packet, &mut answer).expect("our own packets");
                chunks += 1;
            }
        }
    }
    (thread_seconds() - before) * 1e6 / f64::from(chunks)
}

/// Calls that talk all at once, each on a connection of its own, at the pace of speech.
async fn paced_calls(
    uri: &str,
    calls: usize,
    chunks: usize,
    chunk_ms: u64,
    packets: &[bytes::Bytes],
) {
    let mut running = Vec::new();
    for call in 0..calls {
        let uri = uri.to_owned();
        let packets = packets.to_vec();
        running.push(tokio::spawn(async move {
            let mut client = CallCenterClient::connect(uri).await.expect("connects");
            let (requests, stream) = mpsc::channel(64);
            let mut answers = client
                .live_call(ReceiverStream::new(stream))
                .await
                .expect("accepted")
                .into_inner();
            let talk = tokio::spawn(async move {
                // Spread over a chunk, as callers are.
                tokio::time::sleep(Duration::from_micros(
                    chunk_ms * 1_000 * call as u64 / calls as u64,
                ))
                .await;
                let mut pace = tokio::time::interval(Duration::from_millis(chunk_ms));
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for index in 0..chunks {
                    pace.tick().await;
                    let chunk = chunk(packets[index % packets.len()].clone(), index as u64 + 1);
                    requests.send(chunk).await.expect("the server reads");
                }
            });
            let mut received = 0;
            while answers.message().await.expect("no error").is_some() {
                received += 1;
            }
            talk.await.expect("talks to the end");
            assert_eq!(received, chunks);
        }));
    }
    for call in running {
        call.await.expect("every call is answered");
    }
}

/// One chunk out, one chunk in, over and over; microseconds each.
async fn round_trips(uri: &str, packet: &bytes::Bytes, numbered: bool) -> Vec<f64> {
    let mut client = CallCenterClient::connect(uri.to_owned())
        .await
        .expect("connects");
    let (requests, stream) = mpsc::channel(1);
    let mut answers = client
        .live_call(ReceiverStream::new(stream))
        .await
        .expect("accepted")
        .into_inner();
    let mut times = Vec::new();
    for index in 0..ROUND_TRIPS {
        let sequence = if numbered { index as u64 + 1 } else { 0 };
        let start = Instant::now();
        requests
            .send(chunk(packet.clone(), sequence))
            .await
            .expect("the server reads");
        answers
            .message()
            .await
            .expect("no error")
            .expect("an answer");
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    // The first ones set the connection up.
    times.split_off(ROUND_TRIPS / 5)
}

fn chunk(audio_data: bytes::Bytes, sequence: u64) -> AudioChunk {
    AudioChunk {
        audio_data,
        sample_rate: 48_000,
        channels: 1,
        codec: "opus".to_owned(),
        sequence,
        age_us: 25_000,
        ..AudioChunk::default()
    }
}
