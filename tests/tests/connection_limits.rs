//! What one connection, or one address, may cost the server: memory, descriptors, places, the stop.
//! Beside each attack a call that goes on.

mod caller;

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use caller::{Caller, GoodCall, LIMIT, chunk, connect, later};
use prost::Message;
use proto::fin::{TickerRequest, stock_ticker_client::StockTickerClient};
use tests::{
    Process, Server,
    attacks::{
        Attack, LIVE_CALL, NO_WINDOW, UNREAD, WIDE_OPEN, flood, health, pouring_leg, reflection,
        silent_leg, silent_ticker, small_frames, ticker, unknown_path,
    },
    bin,
    memory::resident_bytes,
    raw_http2::{Frame, PREFACE, RawConnection, frame, kind, message, request, rest_of},
};
use tokio_stream::StreamExt;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const MIB: u64 = 1 << 20;

/// Another address of this machine.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A connection from `from` to a server on 127.0.0.1.
async fn connect_from(from: IpAddr, addr: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("a URI");
    let endpoint = endpoint.local_address(Some(from));
    let connected = tokio::time::timeout(LIMIT, endpoint.connect()).await;
    connected
        .expect("nobody lets it in")
        .expect("the server is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_never_read_take_little_memory_and_give_it_back() {
    let small = ("small-frames", small_frames as Attack, NO_WINDOW);
    let unread = UNREAD.map(|(what, attack)| (what, attack, WIDE_OPEN));
    for (what, attack, window) in unread.into_iter().chain([small]) {
        let server = Server::start(&["--log", "error", "--tick", "20ms", "--any-symbol"]);
        let (pid, addr) = (server.id(), server.addr());
        let channel = connect(&server).await;
        let mut good = GoodCall::on(&channel).await;
        good.goes_on().await;
        let before = resident_bytes(pid);
        let over = Arc::<AtomicBool>::default();
        let watch = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let mut most = 0;
                while !over.load(Ordering::Relaxed) {
                    most = most.max(resident_bytes(pid));
                    thread::sleep(Duration::from_millis(5));
                }
                most
            }
        });
        let flooding = tokio::task::spawn_blocking(move || flood(addr, window, attack, 60_000));
        while !flooding.is_finished() {
            good.goes_on().await;
        }
        let raw = flooding.await.expect("no panic");
        for _ in 0..20 {
            good.goes_on().await;
        }
        over.store(true, Ordering::Relaxed);
        let grown = watch.join().expect("no panic").saturating_sub(before);
        drop(raw);
        for _ in 0..20 {
            good.goes_on().await;
        }
        let kept = resident_bytes(pid).saturating_sub(before);
        println!(
            "{what}: {} KiB at most, {} KiB after",
            grown >> 10,
            kept >> 10
        );
        assert!(grown < 64 * MIB, "{what}: {} MiB", grown / MIB);
        assert!(kept < 40 * MIB, "{what}: {} MiB are kept", kept / MIB);
        good.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_that_ask_for_nothing_are_told_goodbye() {
    for (what, one) in [
        ("PING", frame(kind::PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(kind::SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        (
            "WINDOW_UPDATE",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("unknown", frame(kind::UNKNOWN, 0, 0, &[])),
    ] {
        let server = Server::start(&["--log", "error"]);
        let mut good = GoodCall::on(&connect(&server).await).await;
        let addr = server.addr();
        let flooding = tokio::task::spawn_blocking(move || {
            let mut raw = RawConnection::open(addr, 65_535);
            let reading = raw.socket().try_clone().expect("a socket is cloned");
            let reader =
                thread::spawn(move || rest_of(&reading, LIMIT).expect("the connection is kept"));
            let batch = one.repeat(1_000);
            let mut sent = 0_u64;
            while sent < 2_000_000 && raw.write(&batch).is_ok() {
                sent += 1_000;
            }
            // Whoever still holds the connection would wait for its end in vain.
            let _ = raw.socket().shutdown(std::net::Shutdown::Write);
            (sent, reader.join().expect("no panic"))
        });
        while !flooding.is_finished() {
            good.goes_on().await;
        }
        let (sent, said) = flooding.await.expect("no panic");
        println!("{what}: {sent} were taken");
        assert!(sent < 1_000_000, "{what}: {sent} were taken");
        let said = String::from_utf8_lossy(&said).into_owned();
        // Where the answers to a flood fill the socket, a reset may overtake the words.
        let hears_them = !matches!(what, "PING" | "SETTINGS");
        let words = "may send 10000 at once";
        assert!(
            said.contains(words) || !hears_them,
            "{what}: it is not told"
        );
        good.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_flood_together_are_told_goodbye_and_a_call_of_their_address_goes_on() {
    let server = Server::start(&["--log", "error"]);
    let mut good = GoodCall::on(&connect(&server).await).await;
    let addr = server.addr();
    // It measures its line, as clients do.
    let mut modest = RawConnection::open(addr, 65_535);
    let ping = |payload| frame(kind::PING, 0, 0, &[payload; 8]);
    let flooding = tokio::task::spawn_blocking(move || {
        // Each a little less than a connection may.
        let flood = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(9_000);
        let mut all: Vec<_> = (0..60).map(|_| RawConnection::open(addr, 65_535)).collect();
        for raw in &mut all {
            // It may be ended in the midst of it.
            let _ = raw.write(&flood);
        }
        let goodbyes = all.iter_mut().map(|raw| {
            let _ = raw.socket().shutdown(std::net::Shutdown::Write);
            let said = rest_of(raw.socket(), LIMIT).expect("the connection is kept");
            String::from_utf8_lossy(&said).into_owned()
        });
        goodbyes.collect::<Vec<_>>()
    });
    while !flooding.is_finished() {
        good.goes_on().await;
        modest.write(&ping(1)).expect("it is not ended");
    }
    modest.write(&ping(2)).expect("it is not ended");
    while modest.next_frame(LIMIT).expect("it is answered").payload != [2; 8] {}
    let goodbyes = flooding.await.expect("no panic");
    let told = |words: &str| goodbyes.iter().filter(|said| said.contains(words)).count();
    let ended = told("this address sends more than 80000 a second");
    // All, where the server reads from each in turn; some, where it reads one after the other.
    assert_ne!(ended, 0, "{goodbyes:?}");
    good.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_floods_on_one_connection_after_the_other_has_less_of_each_and_nobody_else_has() {
    let server = Server::start(&["--log", "warn"]);
    let mut good = GoodCall::on(&connect(&server).await).await;
    // Of the first with all that a connection may have, until the words are others.
    let addr = server.addr();
    let flooding = tokio::task::spawn_blocking(move || {
        let flood = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(1_000);
        let goodbyes = (0..20).map(|_| {
            let mut raw = RawConnection::open(addr, 65_535);
            while raw.write(&flood).is_ok() {}
            let words = raw.goodbye(LIMIT).expect("the connection is kept");
            words.unwrap_or_default()
        });
        let mut goodbyes = goodbyes.skip_while(|words| !words.contains("may send 1000 at once"));
        goodbyes.next()
    });
    while !flooding.is_finished() {
        good.goes_on().await;
    }
    let less = flooding.await.expect("no panic");
    assert!(less.is_some(), "each has all that the first had");
    // A new call of the same address, which has done nothing.
    GoodCall::on(&connect(&server).await)
        .await
        .ends_well()
        .await;
    good.ends_well().await;
    let log = server.stderr();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(log.contains("4 connections of 127.0.0.1"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_of_an_address_together_have_no_more_memory_than_it_may() {
    const MAX: u64 = 64;
    const CONNECTIONS: usize = 60;
    // As HTTP/2 charges them, 5 MiB in frames of a byte, on each.
    const FRAMES: usize = 20_000;
    let server = Server::start(&[
        "--log",
        "error",
        "--max-memory-per-address",
        &MAX.to_string(),
    ]);
    let (pid, addr) = (server.id(), server.addr());
    let mut good = GoodCall::on(&connect(&server).await).await;
    let before = resident_bytes(pid);
    let flooding = tokio::task::spawn_blocking(move || {
        let first = chunk("pcm", 8_000, 1, [0; 2]).encode_to_vec();
        let mut flood = request(1, LIVE_CALL, false);
        // More answers than may wait, none of which is taken: the rest stays unread.
        flood.extend(message(1, &first, false).repeat(64));
        flood.extend(frame(kind::DATA, 0, 1, &[0]).repeat(FRAMES));
        let attackers = (0..CONNECTIONS).map(|_| {
            let mut raw = RawConnection::open(addr, NO_WINDOW);
            // One that has too little for it is closed.
            let _ = raw.write(&flood);
            raw
        });
        attackers.collect::<Vec<_>>()
    });
    let mut most = 0;
    while !flooding.is_finished() {
        good.goes_on().await;
        most = most.max(resident_bytes(pid));
    }
    let unread = flooding.await.expect("no panic");
    for _ in 0..20 {
        good.goes_on().await;
        most = most.max(resident_bytes(pid));
    }
    let grown = most.saturating_sub(before) / MIB;
    println!("{grown} MiB at most, of {MAX}");
    assert!(grown < MAX, "{grown} MiB");
    drop(unread);
    good.ends_well().await;
}

fn open_files(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process");
    files.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_say_nothing_are_closed() {
    let server = Server::start(&["--log", "error"]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let before = open_files(server.id());
    let mut silent = Vec::new();
    for greeting in [&b""[..], &PREFACE[..12], PREFACE] {
        for _ in 0..100 {
            let mut socket = TcpStream::connect(server.addr()).expect("there");
            socket.write_all(greeting).expect("taken");
            silent.push(socket);
        }
    }
    // One that drips.
    let mut drip = TcpStream::connect(server.addr()).expect("there");
    let dripping = thread::spawn(move || {
        let from = Instant::now();
        for byte in PREFACE.iter().cycle() {
            thread::sleep(Duration::from_millis(400));
            if drip.write_all(&[*byte]).is_err() {
                return true;
            }
            if from.elapsed() > LIMIT {
                return false;
            }
        }
        false
    });
    good.goes_on().await;
    let closed = tokio::task::spawn_blocking(move || {
        let said = silent.iter().map(|socket| rest_of(socket, LIMIT));
        said.collect::<Result<Vec<_>, _>>()
    });
    let said = closed.await.expect("no panic").expect("each is closed");
    for said in said {
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("within 5 s"), "{said:?}");
    }
    assert!(dripping.join().expect("no panic"), "it is kept");
    good.goes_on().await;
    assert_eq!(open_files(server.id()), before);
    good.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_nothing_is_closed() {
    let server = Server::start(&["--log", "error"]);
    let (pid, addr) = (server.id(), server.addr());
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let before = open_files(pid);
    for attack in [health as Attack, reflection, pouring_leg] {
        let flooding = tokio::task::spawn_blocking(move || flood(addr, WIDE_OPEN, attack, 60_000));
        let unread = flooding.await.expect("no panic").expect("connected");
        // Longer than any deadline of the server.
        let closed = async {
            while open_files(pid) > before {
                good.goes_on().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let closed = tokio::time::timeout(LIMIT, closed).await;
        closed.expect("it is kept, and all that it has not read");
        drop(unread);
    }
    good.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_does_not_take_all_descriptors() {
    let program = bin("server");
    let program = program.to_str().expect("a path in UTF-8");
    let few = "ulimit -n 128; exec \"$0\" --listen 127.0.0.1:0";
    let server = Process::start("/bin/sh", &["-c", few, program], &[]);
    let line = server.wait_for_stdout("listening on ", LIMIT);
    let addr: SocketAddr = line
        .rsplit(' ')
        .next()
        .and_then(|addr| addr.parse().ok())
        .expect("an address");
    let crowd: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(addr).expect("the kernel takes it"))
        .collect();
    // While they stay, somebody from elsewhere is let in.
    let channel = connect_from(ELSEWHERE, addr).await;
    GoodCall::on(&channel).await.ends_well().await;
    let last = crowd.last().expect("some");
    let said = rest_of(last, LIMIT).expect("it is closed");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        said.is_empty() || said.contains("the most that one address may"),
        "{said:?}"
    );
    let log = server.stderr();
    let lines = log.lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(lines, 1, "{log}");
    assert!(log.contains("127.0.0.1 has"), "{log}");
    // And when they are closed, from here, too.
    drop(crowd);
    let channel = connect_from(Ipv4Addr::LOCALHOST.into(), addr).await;
    GoodCall::on(&channel).await.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_so_many_connections_and_is_told() {
    let server = Server::start(&["--max-connections-per-address", "2"]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let second = connect(&server).await;
    let mut third = RawConnection::open(server.addr(), 65_535);
    let words = tokio::task::spawn_blocking(move || third.goodbye(LIMIT));
    let words = words.await.expect("no panic").expect("closed");
    let words = words.expect("it is told why");
    for word in ["127.0.0.1 has 2", "--max-connections-per-address"] {
        assert!(words.contains(word), "{words}");
    }
    let other = connect_from(ELSEWHERE, server.addr()).await;
    GoodCall::on(&other).await.ends_well().await;
    good.goes_on().await;
    drop(second);
    let attempts = async {
        loop {
            let endpoint = Endpoint::from_shared(server.uri()).expect("a URI");
            if let Ok(channel) = endpoint.connect().await
                && Caller::try_on(&channel).await.is_ok()
            {
                return;
            }
        }
    };
    let taken = tokio::time::timeout(LIMIT, attempts).await;
    taken.expect("a closed connection is still counted");
    good.ends_well().await;
}

#[tokio::test]
async fn one_connection_does_not_take_all_places() {
    let server = Server::start(&[]);
    // Whoever keeps to what the server says waits for a place on the connection.
    let channel = connect(&server).await;
    let mut legs = Vec::new();
    for _ in 0..128 {
        legs.push(Caller::on(&channel).await);
    }
    let mut waiting = pin!(Caller::try_on(&channel));
    let mut good = GoodCall::on(&connect(&server).await).await;
    tokio::select! {
        _ = &mut waiting => panic!("it is carried, as the 129th"),
        () = async { for _ in 0..50 { good.goes_on().await } } => {}
    }
    // What it hangs up, it may have again.
    let mut leg = legs.pop().expect("128");
    leg.ask(chunk("pcm", 8_000, 1, [0; 160])).await;
    assert_eq!(leg.rest().await, []);
    let next = tokio::time::timeout(LIMIT, waiting).await;
    next.expect("a leg that has ended keeps its place")
        .expect("carried");
    good.ends_well().await;
}

#[test]
fn a_connection_is_told_how_many_streams_it_may_have_and_has_them_all() {
    const MAX: u32 = 5;
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let server = Server::start(&["--max-streams-per-connection", "5"]);
    let mut raw = RawConnection::open(server.addr(), WIDE_OPEN);
    // Of each kind some: what it was told holds for all of them together.
    let kinds = [silent_leg, silent_ticker, silent_leg];
    for (n, kind) in (0..MAX).zip(kinds.iter().cycle()) {
        raw.write(&kind(2 * n + 1)).expect("taken");
    }
    raw.write(&unknown_path(2 * MAX + 1)).expect("taken");
    raw.write(&frame(kind::PING, 0, 0, b"the end!"))
        .expect("taken");
    let mut told = None;
    let mut refused = Vec::new();
    loop {
        let Frame {
            kind,
            stream,
            payload,
            ..
        } = raw.next_frame(LIMIT).expect("it goes on");
        match kind {
            kind::SETTINGS => {
                let mut settings = payload.chunks(6);
                let it = settings.find(|setting| setting.starts_with(&MAX_CONCURRENT_STREAMS));
                told = it.and_then(|setting| setting.last().copied()).or(told);
            }
            kind::RST_STREAM => refused.push(stream),
            kind::HEADERS => panic!("stream {stream} is answered"),
            kind::PING if payload == b"the end!" => break,
            _ => {}
        }
    }
    assert_eq!(told.map(u32::from), Some(MAX));
    assert_eq!(refused, [2 * MAX + 1]);
}

async fn a_place_becomes_free(channel: &Channel) {
    let attempts = async {
        while let Err(status) = Caller::try_on(channel).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let taken = tokio::time::timeout(LIMIT, attempts).await;
    taken.expect("a leg that has ended keeps its place");
}

#[tokio::test]
async fn one_address_leaves_places_for_others() {
    let server = Server::start(&["--max-legs", "16"]);
    let channels = [connect(&server).await, connect(&server).await];
    let mut legs = Vec::new();
    let mut refusals = Vec::new();
    for n in 0..16 {
        match Caller::try_on(&channels[n % 2]).await {
            Ok(leg) => legs.push(leg),
            Err(status) => refusals.push(status),
        }
    }
    assert_eq!((legs.len(), refusals.len()), (14, 2));
    for status in refusals {
        assert_eq!(status.code(), Code::ResourceExhausted);
        let words = "14 of the 16 legs that the server carries at once (--max-legs)";
        assert!(status.message().contains(words), "{status:?}");
    }
    let other = connect_from(ELSEWHERE, server.addr()).await;
    GoodCall::on(&other).await.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_without_a_window_keeps_no_place_past_the_idle_timeout() {
    for half_closes in [false, true] {
        let mut server = Server::start(&["--max-legs", "1", "--idle-timeout", "300ms"]);
        let mut raw = RawConnection::open(server.addr(), 0);
        raw.write(&request(1, LIVE_CALL, false)).expect("taken");
        let first = chunk("pcm", 8_000, 1, [0; 160]).encode_to_vec();
        raw.write(&message(1, &first, false)).expect("taken");
        let then = later([0; 160]).encode_to_vec();
        raw.write(&message(1, &then, half_closes)).expect("taken");
        // It lives: it answers pings and settings.
        let alive = thread::spawn(move || raw.goodbye(LIMIT));
        server.process().wait_for_stderr("call started", LIMIT);
        a_place_becomes_free(&connect(&server).await).await;
        drop(server);
        let _ = alive.join().expect("no panic");
    }
}

#[tokio::test]
async fn a_ticker_stream_that_asks_for_nothing_is_ended() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    let channel = connect(&server).await;
    let mut client = StockTickerClient::new(channel.clone());
    let stream = client
        .subscribe_to_stock_updates(tokio_stream::pending())
        .await;
    let ended = tokio::time::timeout(LIMIT, stream.expect("taken").into_inner().message()).await;
    let status = ended.expect("it stays").expect_err("it is ended");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("within 300ms"), "{status:?}");
}

#[tokio::test]
async fn a_ticker_stream_that_is_not_read_keeps_no_place_past_the_idle_timeout() {
    let mut server = Server::start(&["--idle-timeout", "300ms", "--tick", "20ms", "--any-symbol"]);
    let mut raw = RawConnection::open(server.addr(), NO_WINDOW);
    raw.write(&ticker(1)).expect("taken");
    // It lives: it answers pings and settings.
    let alive = thread::spawn(move || raw.goodbye(LIMIT));
    let line = "no update was read for 300ms";
    server.process().wait_for_stderr(line, LIMIT);
    // One that reads, however slowly the trades come, stays.
    let slow = Server::start(&["--idle-timeout", "100ms", "--tick", "1s"]);
    let mut client = StockTickerClient::new(connect(&slow).await);
    let symbol = TickerRequest {
        ticker_symbol: "AAPL".to_owned(),
        ..TickerRequest::default()
    };
    let requests = tokio_stream::once(symbol).chain(tokio_stream::pending());
    let stream = client.subscribe_to_stock_updates(requests).await;
    let mut stream = stream.expect("taken").into_inner();
    for _ in 0..3 {
        let update = tokio::time::timeout(LIMIT, stream.message()).await;
        assert!(update.expect("it comes").expect("no error").is_some());
    }
    drop(server);
    let _ = alive.join().expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_stream_is_told_goodbye_and_its_client_comes_back() {
    let server = Server::start(&["--idle-timeout", "300ms"]);
    // What a server opens with its first call stays open.
    let first = connect(&server).await;
    let mut call = GoodCall::on(&first).await;
    call.goes_on().await;
    let during = open_files(server.id());
    call.ends_well().await;
    drop(first);
    let closed = async {
        while open_files(server.id()) >= during {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let closed = tokio::time::timeout(LIMIT, closed).await;
    closed.expect("a connection that its client closed is kept");
    let before = open_files(server.id());
    // One that says nothing but answers to pings, and one that does not.
    let mut answers = RawConnection::open(server.addr(), WIDE_OPEN);
    let silent = RawConnection::open(server.addr(), WIDE_OPEN);
    let words = tokio::task::spawn_blocking(move || answers.goodbye(LIMIT));
    let words = words.await.expect("no panic").expect("it is told");
    assert_eq!(words.as_deref(), Some(""), "no error");
    let channel = connect(&server).await;
    let closed = async {
        while open_files(server.id()) > before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let closed = tokio::time::timeout(LIMIT, closed).await;
    closed.expect("a connection that does nothing is kept");
    drop(silent);
    // The same channel, as a program uses it that has had nothing to ask for hours.
    let mut good = GoodCall::on(&channel).await;
    good.goes_on().await;
    // A call keeps its connection; so does a stream that says little.
    let quiet = connect(&server).await;
    let mut health = HealthClient::new(quiet);
    let mut watch = health
        .watch(HealthCheckRequest::default())
        .await
        .expect("taken")
        .into_inner();
    let first = watch.message().await.expect("no error");
    assert!(first.is_some());
    let until = Instant::now() + Duration::from_secs(1);
    tokio::select! {
        more = watch.message() => panic!("{more:?}"),
        () = async {
            while Instant::now() < until {
                good.goes_on_once().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } => {}
    }
    good.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_order_beside_an_unread_flood() {
    let server = Server::start(&["--drain", "300ms", "--log", "error", "--any-symbol"]);
    let addr = server.addr();
    // What was not read: where there is no limit, a million streams that the end must clear away.
    let unread = tokio::task::spawn_blocking(move || {
        let floods = (0..16).map(|_| thread::spawn(move || flood(addr, WIDE_OPEN, health, 60_000)));
        let floods: Vec<_> = floods.collect();
        let unread = floods.into_iter().map(|flood| flood.join());
        unread.collect::<Vec<_>>()
    });
    let unread = unread.await.expect("no panic");
    // And what comes while it stops.
    let over = Arc::<AtomicBool>::default();
    let floods: Vec<_> = [health as Attack, pouring_leg, ticker, reflection]
        .into_iter()
        .map(|attack| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // The server has gone, or turns us away.
                    let _ = flood(addr, WIDE_OPEN, attack, 20_000);
                }
            })
        })
        .collect();
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    for _ in 0..50 {
        good.goes_on().await;
    }
    let output = server.stop();
    over.store(true, Ordering::Relaxed);
    assert_eq!(output.code, Some(0), "{output:?}");
    drop((floods, unread));
}
