//! The server as a program: where it listens, what it says, how it stops, and what it bears.

mod caller;

use std::{
    io::Write,
    net::{TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

use bytes::Bytes;
use caller::{Caller, GoodCall, LIMIT, Value, chunk, connect, later, message, raw_stream};
use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tests::{Process, Server, bin, memory::resident_bytes, run, skip};
use tokio::task::JoinSet;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Everything that tells whether it serves.
const SERVICES: [&str; 3] = ["", "callcenter.CallCenter", "StockTicker"];

fn reaches(addr: &str) -> bool {
    TcpStream::connect(addr).is_ok()
}

#[test]
fn it_listens_on_every_address_that_was_named() {
    let server = Process::start(
        bin("server"),
        &["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"],
        &[],
    );
    for host in ["127.0.0.1", "127.0.0.2"] {
        let line = server.wait_for_stdout(&format!("listening on {host}:"), LIMIT);
        let addr = line.rsplit(' ').next().expect("an address");
        assert!(reaches(addr), "{line}");
    }
    assert!(
        !server.stdout().contains("others reach it"),
        "loopback is for this machine"
    );
}

#[test]
fn unless_told_otherwise_it_listens_on_this_machines_port_50051() {
    let free = |host: &str, port| TcpListener::bind((host, port)).is_ok();
    let ipv6 = free("::1", 0);
    if !free("127.0.0.1", 50_051) || (ipv6 && !free("::1", 50_051)) {
        // Another server is running here: then that is what must be said.
        let output = run(bin("server"), &[], None, LIMIT);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains("50051 is already in use"),
            "{output:?}"
        );
        return;
    }
    let server = Process::start(bin("server"), &[], &[]);
    server.wait_for_stdout("listening on 127.0.0.1:50051", LIMIT);
    if ipv6 {
        server.wait_for_stdout("listening on [::1]:50051", LIMIT);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_to_read_settings_anew_ends_nothing() {
    let mut server = Server::start(&[]);
    server.process().signal("HUP");
    server.process().wait_for_stderr("SIGHUP is ignored", LIMIT);
    assert!(reaches(&server.addr().to_string()));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn an_address_in_use_is_said_with_what_to_do() {
    let server = Server::start(&[]);
    let taken = server.addr().to_string();
    // The good address before it is given up again.
    let output = run(
        bin("server"),
        &["--listen", "127.0.0.1:0", "--listen", &taken],
        None,
        LIMIT,
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    for words in [taken.as_str(), "already in use", "--listen"] {
        assert!(output.stderr.contains(words), "{output:?}");
    }
    assert_eq!(output.stdout, "");
}

#[test]
fn other_machines_are_let_in_only_when_said_aloud() {
    for addr in [":0", "0.0.0.0:0", "[::]:0", "192.0.2.1"] {
        let output = run(bin("server"), &["--listen", addr], None, LIMIT);
        assert_eq!(output.code, Some(1), "{output:?}");
        for words in ["--insecure", "not encrypted", "127.0.0.1"] {
            assert!(output.stderr.contains(words), "{output:?}");
        }
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn with_insecure_it_says_how_others_reach_it() {
    let server = Process::start(bin("server"), &["--listen", "0.0.0.0:0", "--insecure"], &[]);
    let line = server.wait_for_stdout("listening on 0.0.0.0:", LIMIT);
    let port = line.rsplit(':').next().expect("a port");
    // The address that this machine has towards others; nothing is sent.
    let outside = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let Ok(outside) = outside else {
        return skip("this machine has no address that others could reach");
    };
    let addr = format!("{}:{port}", outside.ip());
    server.wait_for_stdout(&format!("softphone --server {addr}"), LIMIT);
    assert!(reaches(&addr));
    assert!(!server.stdout().contains("--server 127."), "{server}");
}

#[test]
fn what_is_no_address_or_option_is_explained() {
    for (args, code, words) in [
        (&["--listen", "host name"][..], 2, "HOST:PORT"),
        (&["--listen", "127.0.0.1:99999"], 2, "0 to 65535"),
        (&["--effects", "reverb"], 2, "highpass"),
        (&["--max-legs", "0"], 2, "--max-legs"),
        (&["--idle-timeout", "0s"], 2, "--idle-timeout"),
        (&["--drain", "soon"], 2, "--drain"),
        (&["--log", "a=b=c"], 2, "'a=b=c' for '--log"),
    ] {
        let output = run(bin("server"), args, None, LIMIT);
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        assert!(output.stderr.contains(words), "{args:?}: {output:?}");
    }
}

#[tokio::test]
async fn both_services_and_the_whole_are_healthy() {
    let server = Server::start(&[]);
    let mut health = HealthClient::new(connect(&server).await);
    for service in SERVICES {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.expect("known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest {
        service: "CoffeeMachine".to_owned(),
    };
    let status = health.check(unknown).await.expect_err("unknown");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_names_both_services_in_both_versions() {
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    let text = |text: &'static str| Value::Bytes(Bytes::from_static(text.as_bytes()));
    for method in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        // list_services is field 7 of the request, file_containing_symbol is 4.
        for (request, expected) in [
            (
                (7, text("")),
                &[
                    "callcenter.CallCenter",
                    "StockTicker",
                    "grpc.health.v1.Health",
                ][..],
            ),
            (
                (4, text("callcenter.CallCenter")),
                &["AudioChunk", "LiveCall", "processing_delay_us"],
            ),
            (
                (4, text("StockTicker")),
                &["TickerRequest", "change_percent"],
            ),
        ] {
            let (answers, status) = raw_stream(&channel, method, vec![message(&[request])]).await;
            assert!(status.is_none(), "{method}: {status:?}");
            let answer = String::from_utf8_lossy(&answers[0]).into_owned();
            for name in expected {
                assert!(answer.contains(name), "{method}: no {name} in {answer}");
            }
        }
    }
}

/// A leg that has had its first answer.
async fn open_leg(server: &Server) -> Caller {
    let mut caller = Caller::dial(server).await;
    caller.ask(chunk("pcm", 8_000, 1, [0; 160])).await;
    caller
}

#[tokio::test]
async fn a_call_in_flight_may_end_well_while_the_server_drains() {
    let mut server = Server::start(&["--drain", "1h"]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let mut watches = Vec::new();
    for service in SERVICES {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut health = HealthClient::new(connect(&server).await);
        let watch = health.watch(request).await;
        let mut watch = watch.expect("known").into_inner();
        let now = watch.message().await.expect("no error").expect("a status");
        assert_eq!(now.status(), ServingStatus::Serving, "{service}");
        watches.push((service, watch));
    }
    server.process().signal("TERM");
    for (service, mut watch) in watches {
        let next = tokio::time::timeout(LIMIT, watch.message()).await;
        let next = next.unwrap_or_else(|_| panic!("{service:?} is still said to serve"));
        let next = next.expect("no error").expect("a status");
        assert_eq!(next.status(), ServingStatus::NotServing, "{service}");
    }
    // It takes no new calls from anybody else; the port is given up a moment later.
    let addr = server.addr().to_string();
    let deadline = Instant::now() + LIMIT;
    while reaches(&addr) {
        assert!(Instant::now() < deadline, "it still listens");
    }
    good.goes_on().await;
    good.ends_well().await;
    drop(channel);
    // With nobody left there is nothing to wait an hour for.
    assert_eq!(server.process().wait(LIMIT).code, Some(0));
}

#[tokio::test]
async fn a_new_call_while_the_server_drains_is_told_to_try_again() {
    let mut server = Server::start(&["--drain", "1h"]);
    let channel = connect(&server).await;
    let good = GoodCall::on(&channel).await;
    server.process().signal("TERM");
    server.process().wait_for_stderr("stopping", LIMIT);
    let status = match Caller::try_on(&channel).await {
        Ok(mut caller) => caller.refusal().await,
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    good.ends_well().await;
}

#[tokio::test]
async fn streams_in_flight_are_told_why_they_end() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&["--drain", "100ms"]);
        let mut legs = [open_leg(&server).await, open_leg(&server).await];
        let mut ticker = proto::fin::stock_ticker_client::StockTickerClient::connect(server.uri())
            .await
            .expect("there");
        let symbol = proto::fin::TickerRequest {
            ticker_symbol: "AAPL".to_owned(),
            ..proto::fin::TickerRequest::default()
        };
        let symbols =
            tokio_stream::StreamExt::chain(tokio_stream::once(symbol), tokio_stream::pending());
        let mut updates = ticker
            .subscribe_to_stock_updates(symbols)
            .await
            .expect("there")
            .into_inner();
        updates
            .message()
            .await
            .expect("no error")
            .expect("an update");
        server.process().signal(signal);
        let updates_end = loop {
            match updates.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the ticker ended without a word"),
                Err(status) => break status,
            }
        };
        let [first, second] = &mut legs;
        for status in [first.refusal().await, second.refusal().await, updates_end] {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            assert!(
                status.message().contains("the server is stopping"),
                "{status:?}"
            );
        }
        let output = server.process().wait(LIMIT);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(
            output
                .stderr
                .contains("Unavailable: the server is stopping"),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn nobody_can_hold_up_the_stop() {
    for preface in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut server = Server::start(&["--drain", "100ms", "--effects", "none"]);
        // Somebody who connects and says nothing, or nothing more.
        let mut silent = TcpStream::connect(server.addr()).expect("there");
        silent.write_all(preface).expect("taken");
        // A leg that says nothing.
        let mut quiet = open_leg(&server).await;
        // A leg that pours and does not read, until nothing more goes through.
        let _stalled = stalled_leg(&server).await;
        server.process().signal("TERM");
        assert_eq!(quiet.refusal().await.code(), Code::Unavailable);
        assert_eq!(server.process().wait(LIMIT).code, Some(0));
    }
}

#[test]
fn a_stop_right_after_the_start_is_a_good_end() {
    for _ in 0..10 {
        assert_eq!(Server::start(&[]).stop().code, Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--drain", "1h"]);
    let _leg = open_leg(&server).await;
    server.process().signal("INT");
    server.process().wait_for_stderr("stopping", LIMIT);
    server.process().signal("INT");
    let output = server.process().wait(LIMIT);
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(output.stderr.contains("asked twice"), "{output:?}");
}

#[tokio::test]
async fn the_log_has_one_line_for_the_start_of_a_call_and_one_for_its_end() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    caller.say(AudioChunk {
        call_id: "it's \"me\", call=x".to_owned(),
        ..chunk("pcmu", 8_000, 2, [0; 320])
    });
    for _ in 0..999 {
        caller.say(later([0; 320]));
    }
    assert_eq!(caller.rest().await.len(), 1_000);
    let output = server.stop();
    let lines: Vec<_> = output
        .stderr
        .lines()
        .filter(|line| line.contains("call "))
        .collect();
    assert_eq!(lines.len(), 2, "{output:?}");
    for words in [
        "call started",
        "leg=\"leg-1\"",
        "it's \\\"me\\\", call=x",
        "pcmu 8000 Hz stereo",
        "127.0.0.1:",
    ] {
        assert!(
            lines[0].replace("\\'", "'").contains(words),
            "no {words} in {}",
            lines[0]
        );
    }
    for words in [
        "call ended",
        "leg=\"leg-1\"",
        "pcmu 8000 Hz stereo",
        "duration=",
        "chunks=1000 ",
        "dropped=0 ",
        "bytes_in=320000 ",
        "bytes_out=320000 ",
        "ended by the peer",
    ] {
        assert!(lines[1].contains(words), "no {words} in {}", lines[1]);
    }
    assert!(output.stderr.lines().count() < 10, "{output:?}");
}

#[test]
fn a_log_filter_that_means_nothing_is_refused_wherever_it_stands() {
    for (args, env) in [
        (&["--log", "server=loud"][..], vec![]),
        (&[], vec![("RUST_LOG".to_owned(), "server=loud".to_owned())]),
    ] {
        for program in ["server", "softphone"] {
            let output = Process::start(bin(program), args, &env).wait(LIMIT);
            assert_eq!(output.code, Some(2), "{program}: {output:?}");
            assert!(output.stderr.contains("server=loud"), "{output:?}");
            assert!(output.stderr.contains("RUST_LOG"), "{output:?}");
        }
    }
}

#[tokio::test]
async fn the_log_level_is_the_one_asked_for() {
    let rust_log = |level: &str| [("RUST_LOG".to_owned(), level.to_owned())];
    for (args, env, calls, debug) in [
        (&["--log", "warn"][..], rust_log("info"), false, false),
        (&["--log", "error"], rust_log("debug"), false, false),
        (&["--log", "debug"], rust_log("error"), true, true),
        (&["--log", "server=info"], rust_log("error"), true, false),
        (&[], rust_log("warn"), false, false),
        (&[], rust_log("info"), true, false),
    ] {
        let server = Server::start_with_env(args, &env);
        open_leg(&server).await.rest().await;
        let log = server.stop().stderr;
        assert_eq!(
            log.contains("call started"),
            calls,
            "{args:?} {env:?}: {log}"
        );
        assert_eq!(log.contains("call ended"), calls, "{args:?} {env:?}: {log}");
        assert_eq!(log.contains(" DEBUG "), debug, "{args:?} {env:?}: {log}");
    }
}

#[tokio::test]
async fn one_leg_more_than_the_most_is_refused_with_the_limit() {
    let server = Server::start(&["--max-legs", "3"]);
    let channel = connect(&server).await;
    let mut legs = Vec::new();
    for _ in 0..3 {
        legs.push(GoodCall::on(&channel).await);
    }
    let status = Caller::try_on(&channel).await.err().expect("too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    for words in ["at most 3 legs", "--max-legs"] {
        assert!(status.message().contains(words), "{status:?}");
    }
    for leg in &mut legs {
        leg.goes_on().await;
    }
    // A place that becomes free is given again; the end that the peer sees comes just before that.
    legs.pop().expect("three").ends_well().await;
    a_place_becomes_free(&channel).await;
}

async fn a_place_becomes_free(channel: &Channel) {
    let attempts = async {
        while let Err(status) = Caller::try_on(channel).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
        }
    };
    let taken = tokio::time::timeout(LIMIT, attempts).await;
    taken.expect("a leg that has ended keeps its place");
}

#[tokio::test]
async fn three_hundred_legs_on_one_connection_work() {
    let server = Server::start(&[
        "--effects",
        "limiter",
        "--max-streams-per-connection",
        "300",
    ]);
    let channel = connect(&server).await;
    let mut opening = JoinSet::new();
    for n in 0..300_u16 {
        let channel = channel.clone();
        opening.spawn(async move {
            let mut caller = Caller::on(&channel).await;
            let first = AudioChunk {
                call_id: n.to_string(),
                ..chunk("pcm", 8_000, 1, [0; 160])
            };
            caller.ask(first).await;
            caller
        });
    }
    // None ends before all have begun.
    let mut legs = opening.join_all().await;
    for leg in &mut legs {
        leg.say(later([0; 160]));
    }
    let mut ids = std::collections::HashSet::new();
    for leg in &mut legs {
        ids.insert(leg.answer().await.call_id);
        assert_eq!(leg.rest().await, []);
    }
    assert_eq!(ids.len(), 300);
}

/// What the lab's client sends.
fn lab_chunk() -> AudioChunk {
    AudioChunk {
        call_id: "call-1".to_owned(),
        ..chunk("pcm", 16_000, 1, *b"audio_chunk_0")
    }
}

#[tokio::test]
async fn in_lab_mode_any_bytes_come_back_stamped() {
    let server = Server::start(&["--lab"]);
    let before = unix_time();
    let mut caller = Caller::dial(&server).await;
    let answer = caller.ask(lab_chunk()).await;
    let text = String::from_utf8(answer.audio_data.to_vec()).expect("text");
    let stamp = text
        .strip_prefix("audio_chunk_0|processed_")
        .and_then(|rest| rest.strip_suffix('|'));
    let stamp = stamp.unwrap_or_else(|| panic!("{text}"));
    assert!(stamp.contains('.'), "a float: {stamp}");
    let stamp: f64 = stamp.parse().expect("a number");
    assert!((before..=unix_time()).contains(&stamp), "{stamp}");
    assert_eq!(
        AudioChunk {
            audio_data: Bytes::new(),
            ..answer
        },
        AudioChunk {
            audio_data: Bytes::new(),
            ..lab_chunk()
        }
    );

    // Whatever it is, in order, and numbers are not answered.
    for n in 0..100_u64 {
        caller.say(AudioChunk {
            sequence: n,
            codec: "?".to_owned(),
            ..later(n.to_le_bytes())
        });
    }
    let rest = caller.rest().await;
    assert_eq!(rest.len(), 100, "and a half-close ends the stream");
    for (n, answer) in rest.iter().enumerate() {
        assert_eq!(answer.audio_data[..8], (n as u64).to_le_bytes());
        assert!(answer.audio_data[8..].starts_with(b"|processed_"));
        assert_eq!((answer.codec.as_str(), answer.sequence), ("?", 0));
    }
    let log = server.stop().stderr;
    let end = log
        .lines()
        .find(|line| line.contains("call ended"))
        .expect("a line");
    assert!(
        end.contains("chunks=101 ") && end.contains("bytes_in=813 "),
        "{end}"
    );
}

fn unix_time() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is after 1970").as_secs_f64()
}

#[tokio::test]
async fn without_lab_mode_its_client_is_told_of_it() {
    let server = Server::start(&[]);
    let mut caller = Caller::dial(&server).await;
    caller.say(lab_chunk());
    let status = caller.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    for words in ["--lab", "13 bytes", "2 bytes for each sample"] {
        assert!(status.message().contains(words), "{status:?}");
    }
}

/// A leg that pours and never reads, once nothing more of it goes through; its answers, and how many
/// chunks of `POURED_BYTES` the transport took.
async fn stalled_leg(
    server: &Server,
) -> (
    tonic::Streaming<AudioChunk>,
    std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let pour = tokio_stream::iter(std::iter::repeat_with(move || {
        count.fetch_add(1, Ordering::Relaxed);
        AudioChunk {
            call_id: String::new(),
            ..chunk("pcm", 192_000, 2, vec![1; POURED_BYTES])
        }
    }));
    let mut client = CallCenterClient::new(connect(server).await);
    let answers = client.live_call(pour).await.expect("accepted").into_inner();
    // Calls beside it go on, and meanwhile it goes as far as it can.
    let channel = connect(server).await;
    let mut good = GoodCall::on(&channel).await;
    let mut before = 0;
    loop {
        for _ in 0..20 {
            good.goes_on().await;
        }
        let now = taken.load(Ordering::Relaxed);
        if now == before && now > 0 {
            return (answers, taken);
        }
        before = now;
    }
}

const POURED_BYTES: usize = 76_800;

#[tokio::test]
async fn a_client_that_pours_and_does_not_read_costs_nothing_and_disturbs_nobody() {
    let mut server = Server::start(&["--effects", "none"]);
    let pid = server.process().id();
    let before = resident_bytes(pid);
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let (answers, taken) = stalled_leg(&server).await;
        let poured = taken.load(std::sync::atomic::Ordering::Relaxed) * POURED_BYTES;
        // The windows of both directions of a client that is generous, and no more.
        assert!(poured < 16 << 20, "{poured} bytes went through");
        stalled.push(answers);
    }
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for _ in 0..50 {
        good.goes_on().await;
    }
    good.ends_well().await;
    let grown = resident_bytes(pid).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes for five stalled legs");
    // Whoever reads again finds everything.
    let mut answers = stalled.remove(0);
    for _ in 0..100 {
        let answer = tokio::time::timeout(LIMIT, answers.message())
            .await
            .expect("hangs");
        assert_eq!(
            answer.expect("no error").expect("a chunk").audio_data.len(),
            POURED_BYTES
        );
    }
}

#[tokio::test]
async fn a_stalled_leg_does_not_spend_what_its_connection_may_hold_unread() {
    let server = Server::start(&["--effects", "none"]);
    // A client that takes no more than a kilobyte of a leg before it reads.
    let endpoint = Endpoint::from_shared(server.uri())
        .expect("a URI")
        .initial_stream_window_size(1_024);
    let channel = endpoint.connect().await.expect("the server is there");
    let mut good = GoodCall::on(&channel).await;
    let stalled = Caller::on(&channel).await;
    for _ in 0..4 {
        stalled.say(chunk("pcm", 48_000, 1, [0; 960]));
    }
    // From here on the server has no room for its answers, and reads no further. The smallest
    // chunks, each in a frame of its own because another call goes on between them.
    for _ in 0..300 {
        for _ in 0..10 {
            stalled.say(later([]));
            good.goes_on_once().await;
        }
    }
    good.ends_well().await;
}

#[tokio::test]
async fn a_connection_bears_legs_that_are_not_read() {
    let server = Server::start(&["--effects", "none"]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let caller = Caller::on(&channel).await;
        caller.say(chunk("pcmu", 8_000, 1, [0; 20]));
        stalled.push(caller);
    }
    // Small ones, each in a frame of its own because the good call goes on between them.
    for _ in 0..500 {
        for caller in &stalled {
            caller.say(later([0; 20]));
        }
        good.goes_on().await;
    }
    good.ends_well().await;
    for caller in &mut stalled {
        assert_eq!(caller.rest().await.len(), 501);
    }
}

#[tokio::test]
async fn one_leg_of_a_thousand_faults_leaves_places_for_all_others() {
    let server = Server::start(&["--max-legs", "4"]);
    let channel = connect(&server).await;
    for _ in 0..300 {
        let outcome: Result<(), Status> = async {
            let mut caller = Caller::try_on(&channel).await?;
            caller.say(chunk("mp3", 8_000, 1, []));
            Err(caller.refusal().await)
        }
        .await;
        let status = outcome.expect_err("each is refused");
        assert!(
            matches!(
                status.code(),
                Code::InvalidArgument | Code::ResourceExhausted
            ),
            "{status:?}"
        );
    }
    a_place_becomes_free(&channel).await;
}
