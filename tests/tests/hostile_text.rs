//! Text that is meant to harm whoever reads it, sent in every field that a peer, a file or the
//! environment can fill: nothing of it is obeyed, hidden, or as long as it likes, wherever it is shown.

mod caller;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use caller::{chunk, connect, raw_body, wishing};
use proto::{
    callcenter::{Accepted, AudioChunk},
    fin::StockUpdate,
    text::is_printable,
};
use serde_json::Value;
use tests::{
    Output, Process, Server, bin,
    raw_http2::{frame, kind},
    run,
    scripted_far_end::ScriptedFarEnd,
    scripted_ticker::ScriptedTicker,
    terminal::Terminal,
};
use tonic::{Code, Status};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// No text of others that is shown has more characters, with our words around it.
const MAX_TEXT_CHARS: usize = 900;
/// Nor has a line of a log, which a library may have written.
const MAX_LINE_CHARS: usize = 2_001;

/// Erases, rings, names the window, turns the writing around, hides, forges a line, grows upwards.
fn hostile() -> String {
    let obeyed = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\n2026-01-01 FAKE line\u{2028}";
    let unseen = "\u{202e}\u{2066}\u{200b}\u{200d}\u{feff}\u{e0041}\u{fe0f}\u{3164}\u{34f}";
    let stack = "\u{301}".repeat(100);
    let long = "日".repeat(500);
    format!("{obeyed}{unseen}a{stack}{long}")
}

/// The same for a name of a file.
const HOSTILE_NAME: &str = "a\u{1b}[2J\u{202e}\nFAKE \u{200b}b";

fn is_clean(what: &str, text: &str) {
    for line in text.lines() {
        assert!(is_printable(line), "{what}: {line:?}");
        assert!(line.chars().count() <= MAX_LINE_CHARS, "{what}: {line}");
    }
}

/// Both, and each line of the program's own making.
fn both_are_clean(what: &str, output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        is_clean(what, text);
        for line in text.lines() {
            let is_forged = line.starts_with("FAKE") || line.starts_with("2026-01-01 FAKE");
            assert!(!is_forged, "{what}: {line}");
        }
    }
}

/// All texts of a JSON value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(entries) => entries.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn softphone(server: SocketAddr, more: &[&str]) -> Output {
    let server = server.to_string();
    let args = ["--synthetic", "--duration", "300ms", "--server", &server];
    run(bin("softphone"), &[&args, more].concat(), None, LIMIT)
}

/// The same call, once for people and once for scripts.
fn a_call_is_clean(what: &str, server: SocketAddr, codes: &[i32]) {
    let output = softphone(server, &[]);
    assert!(
        codes.iter().any(|code| output.code == Some(*code)),
        "{what}: {output:?}"
    );
    both_are_clean(what, &output);
    let output = softphone(server, &["--json", "--log", "debug"]);
    assert!(
        codes.iter().any(|code| output.code == Some(*code)),
        "{what}: {output:?}"
    );
    both_are_clean(what, &output);
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
    for text in texts(&figures) {
        assert!(is_printable(text), "{what}: {text:?}");
        assert!(text.chars().count() <= MAX_TEXT_CHARS, "{what}: {text}");
    }
}

#[test]
fn a_softphone_shows_no_far_ends_text_as_it_came() {
    for code in [
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::Unavailable,
    ] {
        let server = ScriptedFarEnd::refusing(move |_| Err(Status::new(code, hostile())));
        let expected = if code == Code::Unavailable { 3 } else { 4 };
        a_call_is_clean(&format!("{code:?}"), server.addr(), &[expected]);
    }
    let server = ScriptedFarEnd::start(|chunk| AudioChunk {
        codec: hostile(),
        call_id: hostile(),
        ..chunk
    });
    a_call_is_clean("the format", server.addr(), &[6]);
    let server = ScriptedFarEnd::start(|chunk| AudioChunk {
        accepted: Some(Accepted {
            leg_id: hostile(),
            ..Accepted::default()
        }),
        call_id: hostile(),
        ack_sequence: chunk.sequence,
        ..chunk
    });
    // Whether the tone was whole is the machine's affair.
    let output = softphone(server.addr(), &["--json"]);
    both_are_clean("the leg", &output);
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let leg_id = figures["leg_id"].as_str().expect("a text");
    assert!(leg_id.starts_with("\\u{1b}[2J"), "{leg_id}");
    assert!(leg_id.chars().count() <= 64, "{leg_id}");
}

#[test]
fn a_call_on_a_screen_keeps_its_lines_whatever_the_far_end_says() {
    let server = ScriptedFarEnd::refusing(|chunk| match chunk.sequence {
        ..30 => Ok(chunk),
        _ => Err(Status::unavailable(hostile())),
    });
    let server_addr = server.addr().to_string();
    let args = ["--synthetic", "--duration", "1h", "--server", &server_addr];
    let mut terminal = Terminal::start(bin("softphone"), &args, &[], (80, 24));
    let text = terminal.wait_for_text("\\u{1b}[2J\\u{1b}]0;owned", LIMIT);
    is_clean("the screen", &text);
    assert!(
        text.contains("press ? for the keys"),
        "all is scrolled away: {text}"
    );
    assert_eq!(terminal.bells(), 0);
    terminal.send("q");
    terminal.wait(LIMIT);
    is_clean("the last screen", &terminal.text());
}

/// Answers everybody with these bytes, for the rest of the test.
fn says(words: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            let _ = connection.write_all(&words);
            let _ = connection.set_read_timeout(Some(Duration::from_millis(300)));
            while connection
                .read(&mut [0; 1_024])
                .is_ok_and(|count| count > 0)
            {}
        }
    });
    addr
}

#[test]
fn what_is_no_grpc_server_is_not_obeyed_either() {
    let mut goodbye = frame(kind::SETTINGS, 0, 0, &[]);
    let calm = [&[0, 0, 0, 0, 0, 0, 0, 11][..], hostile().as_bytes()].concat();
    goodbye.extend(frame(kind::GOAWAY, 0, 0, &calm));
    let page = format!("HTTP/1.1 500 {}\r\n\r\n", hostile());
    for (what, words) in [("HTTP/1", page.into_bytes()), ("GOAWAY", goodbye)] {
        let server = says(words);
        a_call_is_clean(what, server, &[3, 4]);
        let addr = server.to_string();
        let args = [
            "--server",
            &addr,
            "--mode",
            "plain",
            "--duration",
            "2s",
            "AAPL",
        ];
        both_are_clean(what, &run(bin("ticker-client"), &args, None, LIMIT));
    }
}

#[test]
fn a_ticker_client_shows_no_servers_text_as_it_came() {
    for mode in ["plain", "json", "csv"] {
        let server = ScriptedTicker::start();
        let addr = server.addr().to_string();
        let args = ["--mode", mode, "--server", &addr, "AAPL", "BAD"];
        let mut client = Process::start(bin("ticker-client"), &args, &[]);
        let stream = server.stream();
        for symbol in [hostile().as_str(), "=1+1", "@SUM(A1)", "\tAAPL"] {
            stream.quote(symbol, 1.0);
        }
        stream.quote("AAPL", 225.54);
        stream.answer(&["BAD", &hostile()], &hostile());
        stream.end(Status::unavailable(hostile()));
        client.wait_for_stderr("is lost", LIMIT);
        let stream = server.stream();
        stream.end(Status::permission_denied(hostile()));
        let output = client.wait(LIMIT);
        assert_eq!(output.code, Some(4), "{output:?}");
        both_are_clean(mode, &output);
        assert!(output.stdout.contains("225.54"), "{output:?}");
        assert!(
            output.stderr.contains("BAD is refused: \\u{1b}[2J"),
            "{output:?}"
        );
        let rows = output
            .stdout
            .lines()
            .filter(|line| !line.starts_with("ticker_symbol"));
        assert_eq!(rows.count(), 1, "{output:?}");
    }
}

#[test]
fn a_table_of_quotes_keeps_its_lines_whatever_the_server_says() {
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    let args = ["--mode", "tui", "--server", &addr, "AAPL", "BAD"];
    let mut terminal = Terminal::start(bin("ticker-client"), &args, &[], (80, 24));
    let stream = server.stream();
    stream.send(StockUpdate {
        ticker_symbol: hostile(),
        ..StockUpdate::default()
    });
    stream.quote("AAPL", 225.54);
    terminal.wait_for_text("225.54", LIMIT);
    stream.answer(&["BAD"], &hostile());
    let text = terminal.wait_for_text("BAD was refused: \\u{1b}[2J", LIMIT);
    is_clean("a refusal", &text);
    assert!(text.contains("225.54"), "{text}");
    // It stays lost: a client that comes back at once may not have drawn the loss.
    server.refuse_streams(Status::unavailable(hostile()));
    stream.end(Status::unavailable(hostile()));
    let text = terminal.wait_for_text("LOST", LIMIT);
    is_clean("a loss", &text);
    assert!(text.contains("225.54"), "{text}");
    assert_eq!(terminal.bells(), 0);
    terminal.send("q");
    terminal.wait(LIMIT);
}

#[tokio::test]
async fn a_server_logs_and_repeats_no_clients_text_as_it_came() {
    // All that the libraries say, too.
    let server = Server::start(&["--log", "trace"]);
    let channel = connect(&server).await;
    let hostile = hostile();
    let named = |call_id: &str| AudioChunk {
        call_id: call_id.to_owned(),
        ..chunk("pcm", 8_000, 1, [0; 2])
    };
    // The contract lets this one pass: it is shown in escaped form only.
    let unseen = "a\u{200b}\u{200d}\u{fe0f}\u{e0041}b";
    let cases = [
        ("unseen characters", named(unseen), None),
        (
            "call_id",
            named(&hostile[..59]),
            Some(Code::InvalidArgument),
        ),
        (
            "codec",
            chunk(&hostile, 8_000, 1, []),
            Some(Code::InvalidArgument),
        ),
        (
            "effects",
            wishing(&hostile, named("a")),
            Some(Code::InvalidArgument),
        ),
    ];
    for (what, first, expected) in cases {
        let mut caller = caller::Caller::on(&channel).await;
        caller.say(first);
        caller.half_close();
        let status = loop {
            match caller.next().await {
                Ok(Some(answer)) => assert_eq!(answer.call_id, unseen),
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        assert_eq!(status.as_ref().map(Status::code), expected, "{what}");
        is_clean(what, status.as_ref().map_or("", Status::message));
    }
    let mut symbol = vec![0x0a];
    let text = &hostile.as_bytes()[..100];
    symbol.push(text.len() as u8);
    symbol.extend(text);
    let message = [&[0, 0, 0, 0, symbol.len() as u8][..], &symbol].concat();
    let path = "/StockTicker/SubscribeToStockUpdates";
    for (headers, code) in [
        (&[][..], Code::InvalidArgument),
        (&[("user-agent", hostile.as_str())], Code::InvalidArgument),
        (&[("grpc-encoding", hostile.as_str())], Code::Unimplemented),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.replace(|c: char| c.is_control(), "")))
            .collect();
        let status = raw_body(&channel, path, &headers, message.clone()).await;
        assert_eq!(status.code(), code, "{status:?}");
        is_clean("a ticker stream", status.message());
    }
    let mut server = server;
    server.process().wait_for_stderr("call ended", LIMIT);
    let log = server.stop().stderr;
    assert!(
        log.contains("a\\u{200b}\\u{200d}\\u{fe0f}\\u{e0041}b"),
        "the call is not named"
    );
    for line in log.lines() {
        assert!(is_printable(line), "{line:?}");
        assert!(line.chars().count() <= 2_001, "{line}");
        let is_ours = line.starts_with("20") || line.contains("lines of log");
        let is_ours = is_ours && !line.starts_with("2026-01-01 FAKE");
        assert!(is_ours, "a line of somebody else's making: {line:?}");
    }
}

#[test]
fn files_the_environment_and_arguments_are_not_obeyed() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let head = "timestamp,ticker_symbol,current_price,volume\n";
    let bad = "A\u{1b}[2J\u{202e}B";
    let tapes = [
        file("symbol.csv", &format!("{head}1,{bad},1,1\n")),
        file("price.csv", &format!("{head}1,AAPL,{bad},1\n")),
        file("time.csv", &format!("{head}{bad},AAPL,1,1\n")),
        file("columns.csv", &format!("{bad};{bad}\n")),
        file(HOSTILE_NAME, "no tape\n"),
    ];
    for tape in &tapes {
        let args = ["--listen", "127.0.0.1:0", "--replay", tape];
        let output = run(bin("server"), &args, None, LIMIT);
        assert_eq!(output.code, Some(2), "{output:?}");
        both_are_clean(tape, &output);
    }
    let long = bad.repeat(300);
    let settings = [
        file("server.toml", "server = \"a\\u001b[2J\\u202eb\"\n"),
        file("symbols.toml", "symbols = [\"a\\u001b[2J\\u202eb\"]\n"),
        file("mode.toml", "mode = \"a\\u001b[2J\\u202eb\"\n"),
        file("alerts.toml", "alerts = [\"a\\u001b[2J\\u202eb>1\"]\n"),
        file("key.toml", "\"a\\u001b[2J\\u202eb\" = 1\n"),
        file("long.toml", &format!("mode = '{}'\n", "日".repeat(5_000))),
        file(&format!("{HOSTILE_NAME}.toml"), "no settings\n"),
    ];
    for path in &settings {
        let output = run(
            bin("ticker-client"),
            &["--config", path, "AAPL"],
            None,
            LIMIT,
        );
        assert_eq!(output.code, Some(2), "{output:?}");
        both_are_clean(path, &output);
    }
    for (name, args, variable) in [
        ("ticker-client", &["AAPL", bad][..], ""),
        ("ticker-client", &["--mode", bad], ""),
        ("ticker-client", &["AAPL"], "TICKER_CLIENT_SERVER"),
        ("ticker-client", &["AAPL"], "TICKER_CLIENT_MODE"),
        ("ticker-client", &["AAPL"], "TICKER_CLIENT_ALERTS"),
        ("ticker-client", &["AAPL"], "TICKER_CLIENT_CONFIG"),
        ("ticker-client", &[], "TICKER_CLIENT_SYMBOLS"),
        ("softphone", &["--server", bad], ""),
        ("softphone", &["--source", bad], ""),
        (
            "softphone",
            &["--source", HOSTILE_NAME, "--sink", "null"],
            "",
        ),
        ("softphone", &["--synthetic"], "RUST_LOG"),
        ("server", &["--listen", bad], ""),
        ("server", &["--tick", &long], ""),
        ("server", &[], "RUST_LOG"),
    ] {
        let env = match variable {
            "" => Vec::new(),
            variable => vec![(variable.to_owned(), format!("a={bad}"))],
        };
        let mut process = Process::start(bin(name), args, &env);
        let output = process.wait(LIMIT);
        let what = format!("{name} {args:?} {variable}");
        assert_eq!(output.code, Some(2), "{what}: {output:?}");
        for line in output.stderr.lines() {
            assert!(is_printable(line), "{what}: {line:?}");
        }
    }
}
