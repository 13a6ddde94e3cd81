//! Recorded quotes, played again: `ticker-client --mode csv` writes what `server --replay` reads.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use tests::{Process, Server, bin, run};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// What a client wrote: of each symbol, the prices and volumes by sequence.
type Told = HashMap<String, Vec<(u64, String, String)>>;

fn record(server: &Server, count: &str) -> (String, Told) {
    let addr = server.addr().to_string();
    let args = [
        "--server", &addr, "--mode", "csv", "--count", count, "AAPL", "TSLA", "OPEN",
    ];
    let output = run(bin("ticker-client"), &args, None, LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut lines = output.stdout.lines();
    let names: Vec<_> = lines.next().expect("a header").split(',').collect();
    let place = |wanted| names.iter().position(|name| *name == wanted).expect(wanted);
    let places = ["ticker_symbol", "sequence", "current_price", "volume"].map(place);
    let mut told = Told::new();
    for line in lines {
        let values: Vec<_> = line.split(',').collect();
        let [symbol, sequence, price, volume] = places.map(|place| values[place].to_owned());
        let sequence = sequence.parse().expect("a number");
        told.entry(symbol)
            .or_default()
            .push((sequence, price, volume));
    }
    (output.stdout, told)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn what_a_client_recorded_is_played_again_to_the_cent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let (text, recorded) = record(&Server::start(&["--tick", "20ms", "--seed", "5"]), "150");
    fs::write(&tape, text).expect("it can be written");

    // Slowly, so that most of it is still to come when the client is there.
    let server = Server::start(&["--replay", path(&tape), "--replay-speed", "0.2x"]);
    let (_, played) = record(&server, "60");
    assert_eq!(played.len(), 3, "{played:?}");
    for (symbol, trades) in played {
        // Sequence n is the n-th line of the symbol.
        let recorded = &recorded[&symbol];
        assert!(trades.len() >= 10, "{symbol}: {trades:?}");
        for (sequence, price, volume) in trades {
            let (_, price_then, volume_then) = &recorded[sequence as usize - 1];
            assert_eq!(
                (&price, &volume),
                (price_then, volume_then),
                "{symbol}, trade {sequence}"
            );
        }
    }
}

#[test]
fn a_bad_line_is_named_before_anybody_can_connect() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let rows = "timestamp,ticker_symbol,current_price,volume\n1,AAPL,225.5,100\n2,AAPL,dear,100\n";
    fs::write(&tape, rows).expect("it can be written");
    let output = run(bin("server"), &["--replay", path(&tape)], None, LIMIT);
    assert_eq!(output.code, Some(2), "{output:?}");
    let expected = "tape.csv, line 3: the current_price \"dear\" is not a price";
    assert!(output.stderr.contains(expected), "{output:?}");
    assert!(!output.stdout.contains("listening"), "{output:?}");

    let missing = folder.path().join("missing.csv");
    let output = run(bin("server"), &["--replay", path(&missing)], None, LIMIT);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("cannot read"), "{output:?}");
}

#[test]
fn a_tape_excludes_what_makes_a_market() {
    for args in [
        ["--replay", "tape.csv", "--seed", "2"],
        ["--replay", "tape.csv", "--tick", "1s"],
        ["--replay", "tape.csv", "--any-symbol", "--any-symbol"],
        ["--replay", "tape.csv", "--replay-speed", "0"],
        ["--replay", "tape.csv", "--replay-speed", "fast"],
    ] {
        let output = run(bin("server"), &args, None, LIMIT);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        assert!(output.stderr.contains(args[2]), "{args:?}: {output:?}");
    }
    for args in [
        &["--replay-speed", "2"][..],
        &["--replay-wait"],
        &["--replay-loop"],
    ] {
        let output = run(bin("server"), args, None, LIMIT);
        assert!(
            output.code == Some(2) && output.stderr.contains("--replay <FILE.csv>"),
            "{output:?}"
        );
    }
}

#[test]
fn a_symbol_that_is_not_on_the_tape_is_said_with_those_that_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let rows = "timestamp,ticker_symbol,current_price,volume\n1,AAPL,225.5,100\n2,KO,70,100\n";
    fs::write(&tape, rows).expect("it can be written");
    let server = Server::start(&["--replay", path(&tape)]);
    let addr = server.addr().to_string();
    let args = [
        "--server", &addr, "--mode", "csv", "--count", "1", "MSFT", "AAPL",
    ];
    let output = run(bin("ticker-client"), &args, None, LIMIT);
    // The other symbol goes on.
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("AAPL,225.5"), "{output:?}");
    let expected = "MSFT is not on the tape that is played here; there is AAPL, KO";
    assert!(output.stderr.contains(expected), "{output:?}");
}

#[test]
fn a_tape_that_waits_is_heard_from_its_first_trade_and_its_end_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let rows = "timestamp,ticker_symbol,current_price,volume\n1,AAPL,1,1\n2,AAPL,2,1\n3,AAPL,3,1\n";
    fs::write(&tape, rows).expect("it can be written");
    let replay = ["--replay", path(&tape), "--replay-speed", "10"];
    let mut server = Server::start(&[&replay[..], &["--replay-wait"]].concat());
    let addr = server.addr().to_string();
    // Nobody starts it who only looks.
    let args = ["--server", &addr, "MSFT"];
    let stranger = run(bin("ticker-client"), &args, None, LIMIT);
    assert_eq!(stranger.code, Some(4), "{stranger:?}");
    assert!(!server.stderr().contains("the tape begins"));
    let args = ["--server", &addr, "--mode", "csv", "AAPL"];
    let mut client = Process::start(bin("ticker-client"), &args, &[]);
    client.wait_for_stderr("the tape is over; the last prices stay", LIMIT);
    server.process().wait_for_stderr("the tape is over", LIMIT);
    client.signal("INT");
    let output = client.wait(LIMIT);
    let prices: Vec<_> = output.stdout.lines().skip(1).collect();
    // A busy machine may leave one out, but not the first.
    assert!(prices[0].starts_with("AAPL,1.0,"), "{output:?}");
    let last = prices.last().expect("a line");
    assert!(last.starts_with("AAPL,3.0,"), "{output:?}");
}

#[test]
fn a_tape_that_loops_goes_on_and_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let rows = "timestamp,ticker_symbol,current_price,volume\n1,AAPL,1,1\n2,AAPL,2,1\n";
    fs::write(&tape, rows).expect("it can be written");
    let replay = ["--replay", path(&tape), "--replay-speed", "20"];
    let server = Server::start(&[&replay[..], &["--replay-loop"]].concat());
    let addr = server.addr().to_string();
    let args = ["--server", &addr, "--mode", "csv", "--count", "40", "AAPL"];
    let output = run(bin("ticker-client"), &args, None, LIMIT);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{output:?}");
    for price in ["AAPL,1.0,", "AAPL,2.0,"] {
        assert!(output.stdout.matches(price).count() >= 5, "{output:?}");
    }
}

#[test]
fn a_tape_whose_recorder_was_stopped_is_played_without_its_last_row_which_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tape = folder.path().join("tape.csv");
    let rows = "ticker_symbol,current_price,volume,timestamp\nAAPL,225.5,100,1\nAAPL,226,100,20";
    fs::write(&tape, rows).expect("it can be written");
    let mut server = Server::start(&["--replay", path(&tape)]);
    let log = server.process().wait_for_stderr("is left out", LIMIT);
    assert!(
        log.contains("tape.csv, line 3 is left out: its line does not end"),
        "{log}"
    );
}
