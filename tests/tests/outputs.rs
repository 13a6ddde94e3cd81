//! Outputs that fail or block, of all three programs: nothing that they are for stops or slows, and
//! what was to be written and was not is an exit code.
#![cfg(target_os = "linux")]

mod caller;

use std::{
    io::Read,
    net::TcpStream,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use caller::{Caller, chunk, connect};
use tests::{
    Output, Process, Server,
    bad_sink::{BadSink, Opened},
    bin, free_port,
    stall_watch::{judged, watched},
    terminal::Terminal,
};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const NOT_WRITTEN_BY_SOFTPHONE: Option<i32> = Some(7);
const NOT_WRITTEN: Option<i32> = Some(1);

/// A synthetic call whose tone is heard throughout; its two outputs are opened for each attempt.
fn call_is_heard(addr: &str, args: &[&str], outputs: impl Fn() -> (Opened, Opened), what: &str) {
    let args = [&["--synthetic", "--server", addr], args].concat();
    let call = || {
        let (stdout, stderr) = outputs();
        Process::start_into(bin("softphone"), &args, &[], stdout.stdio, stderr.stdio).wait(LIMIT)
    };
    if let Some(call) = judged(|| watched(call), |call| call.code == Some(0)) {
        assert_eq!(call.code, Some(0), "{what}: {call:?}");
    }
}

fn captured() -> (Opened, Opened) {
    let pipe = || Opened {
        stdio: Stdio::piped(),
        reader: None,
    };
    (pipe(), pipe())
}

// ---- the server ----

/// A server with outputs that cannot be written, and where it listens.
fn server_into(stdout: Stdio, stderr: Stdio) -> (Process, String) {
    let addr = format!("127.0.0.1:{}", free_port());
    // A log of everything fills whatever has room for it.
    let args = ["--listen", &addr, "--tick", "20ms", "--log", "debug"];
    let mut server = Process::start_into(bin("server"), &args, &[], stdout, stderr);
    let deadline = Instant::now() + LIMIT;
    while TcpStream::connect(&addr).is_err() {
        assert!(server.ended().is_none(), "it did not start");
        assert!(Instant::now() < deadline, "it does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    (server, addr)
}

async fn is_serving(addr: &str) -> bool {
    let channel = Channel::from_shared(format!("http://{addr}")).expect("a URI");
    let channel = channel.connect().await.expect("the server is there");
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    answer.expect("an answer").into_inner().status() == ServingStatus::Serving
}

/// What the server is for, and its end in order.
async fn serves_and_stops(mut server: Process, addr: &str, sinks: &str) {
    for _ in 0..2 {
        let quotes = ["--server", addr, "--mode", "csv", "--count", "20", "AAPL"];
        let mut quotes = Process::start(bin("ticker-client"), &quotes, &[]);
        call_is_heard(addr, &["--duration", "1s"], captured, sinks);
        let quotes = quotes.wait(LIMIT);
        assert_eq!(quotes.code, Some(0), "{sinks}: {quotes:?}");
        assert_eq!(quotes.stdout.lines().count(), 21, "{sinks}: {quotes:?}");
    }
    assert!(is_serving(addr).await, "{sinks}");
    server.signal("TERM");
    assert_eq!(server.wait(LIMIT).code, Some(0), "{sinks}");
}

#[tokio::test]
async fn a_server_whose_log_cannot_be_written_serves_and_stops_in_order() {
    for sink in BadSink::ALL {
        let opened = sink.open();
        let (server, addr) = server_into(Stdio::piped(), opened.stdio);
        serves_and_stops(server, &addr, &format!("stderr {sink:?}")).await;
        drop(opened.reader);
    }
}

#[tokio::test]
async fn a_server_that_cannot_say_where_it_listens_serves_and_stops_in_order() {
    for sink in BadSink::ALL {
        let (stdout, stderr) = (sink.open(), sink.open());
        let (server, addr) = server_into(stdout.stdio, stderr.stdio);
        serves_and_stops(server, &addr, &format!("both {sink:?}")).await;
    }
}

/// The second signal ends the program at once, and that is said where it can be.
#[test]
fn a_server_is_stopped_at_once_by_a_second_signal_whoever_reads_its_log() {
    for sink in BadSink::ALL {
        let opened = sink.open();
        let (mut server, addr) = server_into(Stdio::piped(), opened.stdio);
        let stream = ["--server", &addr, "AAPL"];
        let _stream = Process::start(bin("ticker-client"), &stream, &[]);
        _stream.wait_for_stdout("AAPL", LIMIT);
        server.signal("TERM");
        server.signal("INT");
        assert_eq!(server.wait(LIMIT).code, Some(130), "{sink:?}");
    }
}

#[test]
fn a_log_that_was_stuck_says_how_much_of_it_was_lost() {
    let Opened { stdio, reader } = BadSink::Stuck.open();
    let addr = format!("127.0.0.1:{}", free_port());
    // More than a megabyte in a few seconds.
    let args = ["--listen", &addr, "--log", "trace"];
    let mut server = Process::start_into(bin("server"), &args, &[], Stdio::piped(), stdio);
    server.wait_for_stdout("listening", LIMIT);
    for _ in 0..8 {
        call_is_heard(&addr, &["--duration", "1s"], captured, "a stuck log");
    }
    let mut reader = reader.expect("it is stuck");
    let reading = thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).expect("a pipe");
        String::from_utf8_lossy(&log).into_owned()
    });
    server.signal("TERM");
    assert_eq!(server.wait(LIMIT).code, Some(0));
    let log = reading.join().expect("no panic");
    let lost = log
        .lines()
        .find(|line| line.contains("lines of log were lost"));
    let lost = lost.and_then(|line| line.trim_start_matches('.').split(' ').next());
    let lost: u64 = lost.and_then(|count| count.parse().ok()).expect("a count");
    assert!(lost > 100, "{lost}");
    assert!(log.trim_end().ends_with("stopped"), "the end is there");
}

#[tokio::test]
async fn a_peer_that_opens_stream_after_stream_does_not_fill_the_log() {
    const STREAMS: usize = 1_500;
    let server = Server::start(&[]);
    let channel = connect(&server).await;
    for _ in 0..STREAMS {
        let mut caller = Caller::on(&channel).await;
        caller.ask(chunk("pcmu", 8_000, 1, vec![0xff; 80])).await;
        caller.rest().await;
    }
    let log = server.stop().stderr;
    let lines = log.lines().filter(|line| line.contains("peer=")).count();
    // The burst, and some that were earned meanwhile.
    assert!((400..STREAMS).contains(&lines), "{lines} lines");
    let left_out: usize = log
        .lines()
        .filter(|line| line.contains("lines of log about 127.0.0.1 were left out"))
        .filter_map(|line| {
            line.split("WARN")
                .nth(1)?
                .split(' ')
                .find_map(|word| word.parse::<usize>().ok())
        })
        .sum();
    assert_eq!(lines + left_out, 2 * STREAMS, "{log}");
}

// ---- the softphone ----

#[test]
fn a_softphone_whose_words_nobody_reads_goes_on_calling() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    for sink in BadSink::ALL {
        let args = ["--duration", "2s", "--log", "trace"];
        let outputs = || (sink.open(), sink.open());
        call_is_heard(&addr, &args, outputs, &format!("{sink:?}"));
    }
}

#[test]
fn figures_that_a_full_disk_did_not_take_are_an_exit_code_of_the_softphone() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    for form in ["--json", "--json-lines"] {
        let args = ["--synthetic", "--duration", "2s", form, "--server", &addr];
        let call = || {
            let full = BadSink::Full.open().stdio;
            Process::start_into(bin("softphone"), &args, &[], full, Stdio::piped()).wait(LIMIT)
        };
        // A tone that is not heard throughout has an exit code that counts more.
        let is_right = |call: &Output| call.code == NOT_WRITTEN_BY_SOFTPHONE;
        let Some(call) = judged(|| watched(call), is_right) else {
            continue;
        };
        assert_eq!(call.code, NOT_WRITTEN_BY_SOFTPHONE, "{form}: {call:?}");
        for words in ["could not be written", "No space left"] {
            assert!(call.stderr.contains(words), "{call:?}");
        }
    }
}

#[test]
fn a_softphone_whose_terminal_is_stuck_goes_on_calling_and_can_be_ended() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let args = [
        "--synthetic",
        "--duration",
        "10m",
        "--log",
        "debug",
        "--server",
        &addr,
    ];
    let call = || {
        let mut call = Terminal::start(bin("softphone"), &args, &[], (80, 24));
        call.wait_for_text("in call", LIMIT);
        call.stop_reading();
        thread::sleep(Duration::from_secs(3));
        call.signal("TERM");
        call.wait_unread(LIMIT)
    };
    // The tone was heard all the time.
    if let Some(code) = judged(|| watched(call), |code| *code == 0) {
        assert_eq!(code, 0);
    }
}

#[test]
fn a_call_on_a_virtual_line_does_not_wait_for_who_reads_its_progress() {
    let args = [
        "--synthetic",
        "--virtual-time",
        "--duration",
        "15m",
        "--json",
    ];
    let stuck = BadSink::Stuck.open();
    let mut call = Process::start_into(bin("softphone"), &args, &[], Stdio::piped(), stuck.stdio);
    // It is all computing.
    let call = call.wait(3 * LIMIT);
    assert_eq!(call.code, Some(0), "{call:?}");
}

// ---- ticker-client ----

#[test]
fn words_beside_the_quotes_make_no_quote_wait() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    let mut args = vec!["--server", &addr, "--mode", "csv", "--count", "20", "AAPL"];
    // Said at the first quote.
    args.extend(["--alert", "AAPL>0"]);
    for sink in BadSink::ALL {
        let opened = sink.open();
        let mut quotes = Process::start_into(
            bin("ticker-client"),
            &args,
            &[],
            Stdio::piped(),
            opened.stdio,
        );
        let quotes = quotes.wait(LIMIT);
        assert_eq!(quotes.code, Some(0), "{sink:?}: {quotes:?}");
        assert_eq!(quotes.stdout.lines().count(), 21, "{sink:?}: {quotes:?}");
    }
}

#[test]
fn quotes_that_were_not_written_are_an_exit_code_and_a_closed_pipe_is_none() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    for mode in ["plain", "json", "csv"] {
        let args = [
            "--server",
            &addr,
            "--mode",
            mode,
            "--duration",
            "1s",
            "AAPL",
        ];
        for (sink, code, words) in [
            (BadSink::Full, NOT_WRITTEN, "cannot write the quotes"),
            (BadSink::Stuck, NOT_WRITTEN, "cannot write the quotes"),
            (BadSink::Gone, Some(0), ""),
        ] {
            let opened = sink.open();
            let mut quotes = Process::start_into(
                bin("ticker-client"),
                &args,
                &[],
                opened.stdio,
                Stdio::piped(),
            );
            let quotes = quotes.wait(LIMIT);
            assert_eq!(quotes.code, code, "{mode} {sink:?}: {quotes:?}");
            assert!(quotes.stderr.contains(words), "{mode} {sink:?}: {quotes:?}");
            assert_eq!(quotes.stderr.is_empty(), words.is_empty(), "{quotes:?}");
        }
    }
}

#[test]
fn a_ticker_client_whose_terminal_is_stuck_can_be_ended() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    let args = ["--server", &addr, "--alert", "AAPL>0", "AAPL", "GOOGL"];
    let mut quotes = Terminal::start(bin("ticker-client"), &args, &[], (80, 24));
    quotes.wait_for_text("connected", LIMIT);
    quotes.stop_reading();
    // Long enough that it draws.
    thread::sleep(Duration::from_millis(500));
    quotes.signal("TERM");
    assert_eq!(quotes.wait_unread(LIMIT), 0);
}

// ---- lists and help ----

#[test]
fn a_list_that_was_not_written_is_an_exit_code_and_a_closed_pipe_is_none() {
    let seven = NOT_WRITTEN_BY_SOFTPHONE;
    for (name, args, code) in [
        ("server", &["--completions", "bash"][..], NOT_WRITTEN),
        ("server", &["--help"], NOT_WRITTEN),
        ("server", &["--version"], NOT_WRITTEN),
        ("softphone", &["--completions", "bash"], seven),
        ("softphone", &["--help"], seven),
        ("softphone", &["devices"], seven),
        ("softphone", &["devices", "--json"], seven),
        ("softphone", &["doctor", "--quiet", "--json"], seven),
        ("ticker-client", &["--completions", "bash"], NOT_WRITTEN),
        ("ticker-client", &["--help"], NOT_WRITTEN),
        ("ticker-client", &["--print-config"], NOT_WRITTEN),
    ] {
        let full = BadSink::Full.open().stdio;
        let list = Process::start_into(bin(name), args, &[], full, Stdio::piped()).wait(LIMIT);
        assert_eq!(list.code, code, "{name} {args:?}: {list:?}");
        assert!(list.stderr.contains("stdout"), "{name} {args:?}: {list:?}");
        let gone = BadSink::Gone.open().stdio;
        let list = Process::start_into(bin(name), args, &[], gone, Stdio::piped()).wait(LIMIT);
        // What the doctor finds on this machine is its own exit code.
        let expected = match args[0] {
            "doctor" => [Some(0), Some(1)],
            _ => [Some(0); 2],
        };
        assert!(expected.contains(&list.code), "{name} {args:?}: {list:?}");
        assert!(!list.stderr.contains("stdout"), "{name} {args:?}: {list:?}");
    }
}

/// Nobody learns why, but the exit code says that it failed.
#[test]
fn a_mistake_keeps_its_exit_code_where_nobody_reads_of_it() {
    for name in ["server", "softphone", "ticker-client"] {
        for sink in [BadSink::Full, BadSink::Gone] {
            let stderr = sink.open().stdio;
            let args = ["--no-such-option"];
            let mut program = Process::start_into(bin(name), &args, &[], Stdio::piped(), stderr);
            assert_eq!(program.wait(LIMIT).code, Some(2), "{name} {sink:?}");
        }
    }
}
