//! What one connection, or one address, may cost the server: memory, descriptors, places, the stop.
//! Beside each attack a call that goes on.

mod caller;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
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
    Process, Server, bin,
    memory::resident_bytes,
    raw_http2::{PREFACE, RawConnection, frame, kind, message, request, rest_of},
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

const LIVE_CALL: &str = "/callcenter.CallCenter/LiveCall";
const TICKER: &str = "/StockTicker/SubscribeToStockUpdates";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const WIDE_OPEN: u32 = 0x7fff_ffff;
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

/// What one stream of a flood says.
type Attack = fn(stream: u32) -> Vec<u8>;

fn health(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, HEALTH, false);
    bytes.extend(message(stream, &[], true));
    bytes
}

fn unknown_path(stream: u32) -> Vec<u8> {
    request(stream, "/nobody/is/here", true)
}

fn reflection(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, REFLECTION, false);
    let mut which = vec![4 << 3 | 2, 21];
    which.extend(b"callcenter.CallCenter");
    for _ in 0..20 {
        bytes.extend(message(stream, &which, false));
    }
    bytes
}

fn empty_leg(stream: u32) -> Vec<u8> {
    request(stream, LIVE_CALL, true)
}

fn silent_leg(stream: u32) -> Vec<u8> {
    request(stream, LIVE_CALL, false)
}

fn pouring_leg(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, LIVE_CALL, false);
    let loud = chunk("pcm", 48_000, 2, vec![1; 3_840]).encode_to_vec();
    for _ in 0..16 {
        bytes.extend(message(stream, &loud, false));
    }
    bytes
}

fn silent_ticker(stream: u32) -> Vec<u8> {
    request(stream, TICKER, false)
}

fn ticker(stream: u32) -> Vec<u8> {
    let mut bytes = request(stream, TICKER, false);
    for n in 0..20 {
        let symbol = TickerRequest {
            ticker_symbol: format!("SYM{n}"),
            ..TickerRequest::default()
        };
        bytes.extend(message(stream, &symbol.encode_to_vec(), false));
    }
    bytes
}

fn rapid_reset(stream: u32) -> Vec<u8> {
    let mut bytes = health(stream);
    bytes.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    bytes
}

/// Opens streams of this kind and reads nothing, until nothing more goes through, or the server
/// closes, or there were `most`. The connection stays open.
fn flood(addr: SocketAddr, attack: Attack, most: u32) -> io::Result<RawConnection> {
    let mut raw = RawConnection::try_open(addr, WIDE_OPEN)?;
    for first in (0..most).step_by(50) {
        let streams = first..first + 50;
        let bytes: Vec<_> = streams.flat_map(|n| attack(2 * n + 1)).collect();
        if raw.write(&bytes).is_err() {
            break;
        }
    }
    Ok(raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_never_read_take_little_memory_and_give_it_back() {
    let attacks: [(&str, Attack); 9] = [
        ("health", health),
        ("an unknown path", unknown_path),
        ("reflection", reflection),
        ("empty legs", empty_leg),
        ("silent legs", silent_leg),
        ("legs that pour", pouring_leg),
        ("silent ticker streams", silent_ticker),
        ("ticker streams", ticker),
        ("rapid reset", rapid_reset),
    ];
    for (what, attack) in attacks {
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
        let flooding = tokio::task::spawn_blocking(move || flood(addr, attack, 60_000));
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
    let server = Server::start(&["--log", "error"]);
    let channel = connect(&server).await;
    let mut good = GoodCall::on(&channel).await;
    let addr = server.addr();
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
    }
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
        let flooding = tokio::task::spawn_blocking(move || flood(addr, attack, 60_000));
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
    let channel = connect(&server).await;
    let mut legs = Vec::new();
    let status = loop {
        match Caller::try_on(&channel).await {
            Ok(leg) => legs.push(leg),
            Err(status) => break status,
        }
        assert!(legs.len() <= 128, "it has {} legs", legs.len());
    };
    assert_eq!((legs.len(), status.code()), (128, Code::ResourceExhausted));
    for words in ["at most 128 legs", "--max-streams-per-connection"] {
        assert!(status.message().contains(words), "{status:?}");
    }
    // Its quotes are counted apart, and so is somebody else's connection.
    let mut quotes = Vec::new();
    let status = loop {
        let mut client = StockTickerClient::new(channel.clone());
        match client
            .subscribe_to_stock_updates(tokio_stream::pending())
            .await
        {
            Ok(stream) => quotes.push(stream),
            Err(status) => break status,
        }
        assert!(quotes.len() <= 128, "it has {} streams", quotes.len());
    };
    assert_eq!(
        (quotes.len(), status.code()),
        (128, Code::ResourceExhausted)
    );
    assert!(
        status.message().contains("at most 128 ticker streams"),
        "{status:?}"
    );
    let other = connect(&server).await;
    GoodCall::on(&other).await.ends_well().await;
    // What it hangs up, it may have again.
    let mut leg = legs.pop().expect("128");
    leg.ask(chunk("pcm", 8_000, 1, [0; 160])).await;
    assert_eq!(leg.rest().await, []);
    a_place_becomes_free(&channel).await;
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
    let server = Server::start(&["--max-legs", "16", "--max-streams-per-connection", "10"]);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_in_order_beside_an_unread_flood() {
    let server = Server::start(&["--drain", "300ms", "--log", "error", "--any-symbol"]);
    let addr = server.addr();
    // What was not read: where there is no limit, a million streams that the end must clear away.
    let unread = tokio::task::spawn_blocking(move || {
        let floods = (0..16).map(|_| thread::spawn(move || flood(addr, health, 60_000)));
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
                    let _ = flood(addr, attack, 20_000);
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
