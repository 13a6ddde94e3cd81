//! The ticker end to end: the real server, `ticker-client`, and clients of our own making.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto::fin::{StockUpdate, TickerRequest, stock_ticker_client::StockTickerClient};
use serde_json::Value;
use tests::{Output, Process, Server, bin, lab::Lab, run};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming};

/// A configuration file that sets nothing, in place of the one that whoever runs the tests may have.
const NO_SETTINGS: &str = "/dev/null";

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `ticker-client` against a server, to its end, with its stdin ended from the start.
fn client(server: impl ToString, args: &[&str]) -> Output {
    let server = server.to_string();
    let args = [&["--server", &server, "--config", NO_SETTINGS], args].concat();
    run(bin("ticker-client"), &args, None, LIMIT)
}

fn start_client(server: impl ToString, args: &[&str]) -> Process {
    let server = server.to_string();
    let args = [&["--server", &server, "--config", NO_SETTINGS], args].concat();
    Process::start(bin("ticker-client"), &args, &[])
}

/// A stream that a test drives by hand.
struct Stream {
    requests_tx: Option<mpsc::UnboundedSender<TickerRequest>>,
    updates: Streaming<StockUpdate>,
}

impl Stream {
    async fn open(server: &Server) -> Self {
        let mut client = StockTickerClient::connect(server.uri())
            .await
            .expect("the server is there");
        let (requests_tx, requests_rx) = mpsc::unbounded_channel();
        let requests = UnboundedReceiverStream::new(requests_rx);
        let response = client.subscribe_to_stock_updates(requests).await;
        Self {
            requests_tx: Some(requests_tx),
            updates: response.expect("the service is there").into_inner(),
        }
    }

    fn ask(&self, symbol: &str) {
        let requests_tx = self.requests_tx.as_ref().expect("not half-closed");
        let ticker_symbol = symbol.to_owned();
        // A stream that is over has no reader; what it said is read below.
        let _ = requests_tx.send(TickerRequest {
            ticker_symbol,
            ..TickerRequest::default()
        });
    }

    fn half_close(&mut self) {
        self.requests_tx = None;
    }

    async fn next(&mut self) -> Result<Option<StockUpdate>, Status> {
        tokio::time::timeout(LIMIT, self.updates.message())
            .await
            .expect("the stream hangs")
    }

    async fn refusal(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
                Err(status) => return status,
            }
        }
    }
}

#[test]
fn json_lines_have_the_contracts_fields_and_agree_with_themselves() {
    let server = Server::start(&["--tick", "20ms"]);
    let before = unix_seconds();
    let output = client(
        server.addr(),
        &["aapl", "BRK.B", "--json", "--count", "200"],
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    let updates: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(updates.len(), 200);
    for (n, update) in updates.iter().enumerate() {
        let mut keys: Vec<_> = update.as_object().expect("an object").keys().collect();
        let mut expected = vec![
            "ticker_symbol",
            "current_price",
            "price_change",
            "change_percent",
            "timestamp",
            "volume",
        ];
        if update["sequence"].as_u64().is_some() {
            expected.extend([
                "sequence",
                "conflated",
                "snapshot",
                "bid_price",
                "ask_price",
                "day_open",
                "day_high",
                "day_low",
                "day_volume",
                "trade_time_us",
            ]);
        }
        if update["snapshot"] == true {
            expected.push("name");
        }
        keys.sort();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let number = |key: &str| update[key].as_f64().expect("a number");
        assert_eq!(update["ticker_symbol"], ["AAPL", "BRK.B"][n % 2]);
        let close = number("current_price") - number("price_change");
        assert!(close > 0.0 && number("current_price") > 0.0, "{update}");
        let percent = number("price_change") / close * 100.0;
        assert!(
            (percent - number("change_percent")).abs() < 1e-6,
            "{update}"
        );
        assert!(number("volume") > 0.0, "{update}");
        let timestamp = update["timestamp"].as_i64().expect("whole seconds");
        assert!((before..=unix_seconds()).contains(&timestamp), "{update}");
    }
    let first = &updates[0]["current_price"];
    let moved = updates
        .iter()
        .any(|u| u["ticker_symbol"] == "AAPL" && u["current_price"] != *first);
    assert!(moved, "the price never moves: {}", output.stdout);
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs() as i64
}

#[test]
fn a_pipe_gets_plain_aligned_lines() {
    let server = Server::start(&["--tick", "20ms"]);
    let output = client(server.addr(), &["F", "GOOGL,tsla", "--count", "30"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 30);
    let widths: Vec<_> = output.stdout.lines().map(|l| l.chars().count()).collect();
    assert!(widths.iter().all(|w| *w == widths[0]), "{}", output.stdout);
    assert!(widths[0] <= 80, "{}", output.stdout);
    assert!(!output.stdout.contains('\u{1b}'), "{:?}", output.stdout);
}

#[test]
fn everybody_sees_one_price_and_the_seed_decides_it() {
    let prices = |server: &Server, symbols: &[&str]| {
        let count = symbols.len().to_string();
        let output = client(
            server.addr(),
            &[symbols, &["--json", "--count", &count]].concat(),
        );
        let mut updates: Vec<_> = output
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .map(|u| (u["ticker_symbol"].to_string(), u["current_price"].clone()))
            .collect();
        updates.sort_by(|a, b| a.0.cmp(&b.0));
        updates
    };
    // A tick so long that all of this happens in the first.
    let server = Server::start(&["--tick", "1day", "--seed", "7", "--any-symbol"]);
    let seen = prices(&server, &["AAPL", "TSLA", "WHO.KNOWS"]);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen, prices(&server, &["WHO.KNOWS", "TSLA", "AAPL"]));
    // What is listed costs the same where nothing else is traded.
    let same_seed = Server::start(&["--tick", "1day", "--seed", "7"]);
    assert_eq!(seen[1..2], prices(&same_seed, &["TSLA"])[..]);
    let other_seed = Server::start(&["--tick", "1day", "--seed", "8", "--any-symbol"]);
    assert_ne!(seen, prices(&other_seed, &["AAPL", "TSLA", "WHO.KNOWS"]));
}

#[test]
fn a_typo_is_refused_with_what_was_perhaps_meant_and_costs_nothing_else() {
    let server = Server::start(&["--tick", "20ms"]);
    let args = [
        "APPL", "AAPL", "^GSPC", "EURUSD=X", "BRK.B", "--count", "40",
    ];
    let output = client(server.addr(), &args);
    assert_eq!(output.code, Some(0), "{output:?}");
    let refused = "APPL is refused: APPL is not listed here; did you mean AAPL (Apple)";
    assert!(output.stderr.contains(refused), "{output:?}");
    let shown = |symbol: &str| output.stdout.matches(&format!(" {symbol} ")).count();
    for symbol in ["AAPL", "^GSPC", "EURUSD=X", "BRK.B"] {
        assert_eq!(shown(symbol), 10, "{symbol}: {}", output.stdout);
    }
    assert_eq!(shown("APPL"), 0);
    let decimals = output.stdout.lines().find(|line| line.contains("EURUSD=X"));
    let price = decimals.and_then(|line| line.split_whitespace().nth(2));
    let decimals = price
        .and_then(|price| price.split_once('.'))
        .expect("a price")
        .1;
    assert_eq!(decimals.len(), 5, "{}", output.stdout);
    // With nothing left it ends, and has said why.
    let output = client(server.addr(), &["MFST"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    assert!(output.stderr.contains("MSFT (Microsoft)"), "{output:?}");
    // Who wants any symbol can have it.
    let server = Server::start(&["--any-symbol", "--tick", "20ms"]);
    let output = client(server.addr(), &["APPL", "--count", "2"]);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{output:?}");
}

#[test]
fn the_lab_trades_any_symbol_as_its_server_did() {
    let server = Server::start(&["--lab"]);
    let output = client(server.addr(), &["APPL", "--count", "1"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn typed_symbols_are_added_and_a_typo_changes_nothing() {
    let server = Server::start(&["--tick", "20ms"]);
    let mut client = start_client(server.addr(), &["AAPL"]);
    client.wait_for_stdout("AAPL", LIMIT);
    client.write("nvda, $$$\n");
    client.wait_for_stdout("NVDA", LIMIT);
    client.wait_for_stderr("\"$$$\"", LIMIT);
    client.write("msft\n");
    client.wait_for_stdout("MSFT", LIMIT);
    client.signal("INT");
    assert_eq!(client.wait(LIMIT).code, Some(0), "Ctrl-C is a good end");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let server = Server::start(&["--tick", "20ms"]);
    let script = "{ \"$0\" AAPL --server \"$1\"; echo \"code $?\" >&2; } | head -n 2";
    let program = bin("ticker-client");
    let program = program.to_str().expect("a path in UTF-8");
    let addr = server.addr().to_string();
    let output = run("/bin/sh", &["-c", script, program, &addr], None, LIMIT);
    assert_eq!(output.stdout.lines().count(), 2, "{output:?}");
    assert_eq!(output.stderr, "code 0\n");
}

#[test]
fn no_server_is_said_with_what_to_do() {
    let addr = format!("127.0.0.1:{}", tests::free_port());
    let output = client(&addr, &["AAPL"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    for words in [addr.as_str(), "refused", "--server"] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}

#[test]
fn usage_errors_are_found_before_anything_is_connected_to() {
    let nobody = format!("127.0.0.1:{}", tests::free_port());
    let long = "A".repeat(10_000);
    for symbol in ["", " ", "A$B", "A\u{7}B", &long] {
        let output = client(&nobody, &["AAPL", symbol]);
        assert_eq!(output.code, Some(2), "{symbol:?}: {output:?}");
        assert!(output.stderr.contains("1 to 12 letters"), "{output:?}");
        assert!(output.stderr.len() < 1_000, "{output:?}");
        assert!(!output.stderr.contains('\u{7}'), "{output:?}");
    }
    for args in [&["--count", "0", "AAPL"][..], &[]] {
        assert_eq!(client(&nobody, args).code, Some(2), "{args:?}");
    }
    assert_eq!(client("a:b:c", &["AAPL"]).code, Some(2));
}

#[test]
fn a_server_that_stops_is_said() {
    let server = Server::start(&["--tick", "20ms"]);
    let mut client = start_client(server.addr(), &["AAPL"]);
    client.wait_for_stdout("AAPL", LIMIT);
    assert_eq!(server.stop().code, Some(0));
    client.wait_for_stderr("is lost", LIMIT);
    client.signal("INT");
    assert_eq!(client.wait(LIMIT).code, Some(0), "Ctrl-C is a good end");
}

#[test]
fn a_server_that_crashes_is_said() {
    let server = Server::start(&["--tick", "20ms"]);
    let client = start_client(server.addr(), &["AAPL"]);
    client.wait_for_stdout("AAPL", LIMIT);
    server.kill();
    client.wait_for_stderr("is lost", LIMIT);
}

#[test]
fn a_server_that_freezes_is_noticed() {
    let mut server = Server::start(&["--tick", "20ms"]);
    let client = start_client(server.addr(), &["AAPL"]);
    client.wait_for_stdout("AAPL", LIMIT);
    server.process().signal("STOP");
    client.wait_for_stderr("is lost", LIMIT);
    server.process().signal("CONT");
    client.wait_for_stderr("connected", LIMIT);
}

#[test]
fn too_many_symbols_are_refused_with_the_limit() {
    let server = Server::start(&["--any-symbol"]);
    let symbols: Vec<_> = (0..=1_000).map(|n| format!("S{n}")).collect();
    let client = start_client(server.addr(), &[&symbols.join(",")]);
    client.wait_for_stderr("at most 1000", LIMIT);
}

#[test]
fn it_works_with_the_labs_own_server() {
    let lab = Lab::with_interval(Duration::from_millis(20));
    let output = client(lab.addr(), &["AAPL", "TSLA", "--json", "--count", "10"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let symbols: Vec<_> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .inspect(|update| assert_eq!(update.as_object().map(|keys| keys.len()), Some(6)))
        .map(|update| update["ticker_symbol"].clone())
        .collect();
    assert_eq!(symbols[..5], ["AAPL"; 5]);
    assert_eq!(symbols[5..], ["TSLA"; 5]);
}

#[tokio::test]
async fn a_bad_symbol_ends_its_own_stream_only() {
    let server = Server::start(&["--tick", "20ms"]);
    let mut good = Stream::open(&server).await;
    good.ask("AAPL");
    let (long, huge) = ("A".repeat(10_000), "A".repeat(1_000_000));
    for (symbol, words) in [
        ("", "empty"),
        ("A B", "\"A B\""),
        (" AAPL", "' '"),
        ("A\u{1b}[2J\nfake", "\\u{1b}"),
        (&long, "10000 characters"),
        (&huge, "131072 bytes"),
    ] {
        let mut bad = Stream::open(&server).await;
        bad.ask(symbol);
        let status = bad.refusal().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
        assert!(status.message().len() < 400, "{status:?}");
        good.next().await.expect("undisturbed").expect("an update");
    }
    let log = server.stderr();
    assert!(!log.contains("\u{1b}[2J"), "{log}");
    assert!(!log.contains("\nfake"), "{log}");
}

#[tokio::test]
async fn a_typo_costs_an_original_stream_nothing_and_is_logged() {
    let mut server = Server::start(&["--tick", "20ms"]);
    let mut stream = Stream::open(&server).await;
    stream.ask("APPL");
    stream.ask("AAPL");
    for _ in 0..100 {
        let update = stream.next().await.expect("no error").expect("an update");
        assert_eq!(update.ticker_symbol, "AAPL");
    }
    let log = server.process().wait_for_stderr("goes on without", LIMIT);
    assert!(log.contains("APPL is not listed here"), "{log}");
    let mut nothing = Stream::open(&server).await;
    nothing.ask("APPL");
    let status = nothing.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("did you mean AAPL"), "{status:?}");
}

#[tokio::test]
async fn a_half_close_means_no_more_symbols() {
    let server = Server::start(&["--tick", "20ms"]);
    let mut stream = Stream::open(&server).await;
    stream.ask("AAPL");
    stream.half_close();
    for _ in 0..10 {
        stream.next().await.expect("no error").expect("an update");
    }
    let mut empty = Stream::open(&server).await;
    empty.half_close();
    let status = empty.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("no symbol"), "{status:?}");
}

#[tokio::test]
async fn in_lab_mode_a_half_close_ends_the_stream_once_all_is_sent() {
    let server = Server::start(&["--lab"]);
    let mut stream = Stream::open(&server).await;
    stream.ask("AAPL");
    stream.half_close();
    let mut updates = Vec::new();
    while let Some(update) = stream.next().await.expect("the end is OK") {
        updates.push(update);
    }
    assert_eq!(updates.len(), 5);
    let seconds = updates[4].timestamp - updates[0].timestamp;
    assert!(seconds >= 7, "five updates in {seconds} s");
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody() {
    let server = Server::start(&["--tick", "1ms", "--any-symbol"]);
    let stalled = Stream::open(&server).await;
    for n in 0..1_000 {
        stalled.ask(&format!("S{n}"));
    }
    let output = client(server.addr(), &["AAPL", "--count", "500"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    drop(stalled);
}

#[test]
fn the_log_has_a_line_for_the_start_and_one_for_the_end() {
    let mut server = Server::start(&["--tick", "20ms"]);
    let output = client(server.addr(), &["AAPL", "TSLA", "--count", "10"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    server.process().wait_for_stderr("the client left", LIMIT);
    let log = server.stderr();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("ticker stream"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[1].contains("symbols=2"), "{log}");
    assert!(lines[1].contains("updates="), "{log}");
}
