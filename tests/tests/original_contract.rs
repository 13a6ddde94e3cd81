//! The contract as it first was: programs that know only that are served by our server, and serve our
//! clients. Those here are Python's own gRPC, with types made from the contract of those days.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message;
use proto::fin::{StockUpdate, TickerAction, TickerRequest};
use serde_json::Value;
use tests::{
    Output, Process, Server, bin,
    python::{python, repository},
    rig::Rig,
    run,
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// The directory of the contract of those days.
fn contract() -> String {
    let path = repository().join("tests/contract");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Asks for the symbols of its arguments, after 20 updates for TSLA too, half-closes after 40, and
/// prints each of 100 updates: its fields, and how many it does not know.
const CLIENT: &str = r#"
import json, queue, sys
import grpc
from google.protobuf.unknown_fields import UnknownFieldSet
directory, server, *symbols = sys.argv[1:]
sys.path.insert(0, directory)
messages, services = grpc.protos_and_services("original_fin.proto")
requests = queue.SimpleQueue()
def ask(symbol):
    requests.put(messages.TickerRequest(ticker_symbol=symbol))
for symbol in symbols:
    ask(symbol)
with grpc.insecure_channel(server) as channel:
    stream = services.StockTickerStub(channel).SubscribeToStockUpdates(iter(requests.get, None))
    try:
        for number, update in enumerate(stream, 1):
            fields = {field.name: value for field, value in update.ListFields()}
            print(json.dumps(fields | {"unknown": len(UnknownFieldSet(update))}), flush=True)
            if number == 20:
                ask("TSLA")
            if number == 40:
                requests.put(None)
            if number == 100:
                break
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
    finally:
        requests.put(None)
"#;

fn python_client(python: &Path, server: &Server, symbols: &[&str]) -> Output {
    let (contract, server) = (contract(), server.addr().to_string());
    let args = [&["-c", CLIENT, &contract, &server], symbols].concat();
    run(python, &args, None, LIMIT)
}

#[test]
fn a_client_of_those_days_is_served() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--tick", "20ms"]);
    let before = unix_seconds();
    let ended = python_client(&python, &server, &["AAPL", "brk.b"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let updates: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(updates.len(), 100);

    let mut closes = HashMap::new();
    for update in &updates {
        let number = |key: &str| update[key].as_f64().expect("a number");
        let symbol = update["ticker_symbol"].as_str().expect("a symbol");
        // Zero is left out on the wire, and only these two can be.
        let or_zero = |key: &str| update.get(key).map_or(0.0, |_| number(key));
        let (price, change) = (number("current_price"), or_zero("price_change"));
        let close = price - change;
        assert!(price > 0.0 && close > 0.0, "{update}");
        let expected = *closes.entry(symbol.to_owned()).or_insert(close);
        assert!((close - expected).abs() < 1e-6, "{update}");
        let percent = change / close * 100.0;
        assert!(
            (percent - or_zero("change_percent")).abs() < 1e-6,
            "{update}"
        );
        assert!(number("volume") > 0.0, "{update}");
        let timestamp = update["timestamp"].as_i64().expect("whole seconds");
        assert!((before..=unix_seconds()).contains(&timestamp), "{update}");
        assert!(number("unknown") > 0.0, "the server says no more: {update}");
    }
    // As many of each, whoever asked with which letters, and also after the half-close.
    let of = |symbol: &str, updates: &[Value]| {
        let wanted = updates.iter().filter(|u| u["ticker_symbol"] == symbol);
        wanted.count()
    };
    assert_eq!(closes.len(), 3, "{closes:?}");
    assert_eq!(of("TSLA", &updates[..20]), 0);
    for symbol in ["AAPL", "BRK.B", "TSLA"] {
        let count = of(symbol, &updates[40..]);
        assert!((15..=25).contains(&count), "{count} of {symbol}");
    }
    let prices = |symbol: &str| {
        let mut prices: Vec<_> = updates
            .iter()
            .filter(|update| update["ticker_symbol"] == symbol)
            .map(|update| update["current_price"].to_string())
            .collect();
        prices.dedup();
        prices.len()
    };
    assert!(prices("AAPL") > 1, "the price never moves");
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs() as i64
}

#[test]
fn a_client_of_those_days_is_told_what_is_wrong() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--tick", "20ms"]);
    for symbol in ["", "A B", "A$"] {
        let ended = python_client(&python, &server, &["AAPL", symbol]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let words = ended.stderr.trim();
        assert!(words.starts_with("INVALID_ARGUMENT: "), "{words}");
        assert!(words.contains("1 to 12 letters"), "{words}");
    }
}

#[test]
fn a_typo_of_a_client_of_those_days_costs_it_nothing_else() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--tick", "20ms"]);
    let ended = python_client(&python, &server, &["APPL", "AAPL"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 100);
    assert!(!ended.stdout.contains("APPL\""), "{ended:?}");
}

/// A server of those days: prints each symbol that it is asked for, and sends a quote of each every
/// 20 ms. It knows no actions, and so takes every request for one to subscribe.
const SERVER: &str = r#"
import sys, threading, time
from concurrent import futures
import grpc
sys.path.insert(0, sys.argv[1])
messages, services = grpc.protos_and_services("original_fin.proto")

class Ticker(services.StockTickerServicer):
    def SubscribeToStockUpdates(self, requests, context):
        symbols = {}
        def listen():
            try:
                for request in requests:
                    print("asked for", request.ticker_symbol, flush=True)
                    symbols[request.ticker_symbol] = True
            except grpc.RpcError:
                pass
        threading.Thread(target=listen, daemon=True).start()
        tick = 0
        while context.is_active():
            tick += 1
            for symbol in list(symbols):
                yield messages.StockUpdate(
                    ticker_symbol=symbol, current_price=100 + tick / 100, price_change=tick / 100,
                    change_percent=tick / 100, timestamp=int(time.time()), volume=100 * tick)
            time.sleep(0.02)

server = grpc.server(futures.ThreadPoolExecutor(4))
services.add_StockTickerServicer_to_server(Ticker(), server)
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
threading.Event().wait()
"#;

/// The server, and where it listens.
fn python_server(python: &Path, script: &str) -> (Process, String) {
    let server = Process::start(python, &["-c", script, &contract()], &[]);
    let port = server.wait_for_stdout("port ", LIMIT).replace("port ", "");
    (server, format!("127.0.0.1:{port}"))
}

#[test]
fn a_server_of_those_days_serves_our_client() {
    let Some(python) = python() else { return };
    let (server, address) = python_server(&python, SERVER);
    let args = ["--server", &address, "AAPL", "--json"];
    let mut client = Process::start(bin("ticker-client"), &args, &[]);
    client.wait_for_stdout("\"AAPL\"", LIMIT);
    client.write("tsla\n");
    let line = client.wait_for_stdout("\"TSLA\"", LIMIT);
    let update: Value = serde_json::from_str(&line).expect("a line of JSON");
    let cents = |key: &str| (update[key].as_f64().expect("a number") * 100.0).round() as i64;
    let tick = cents("price_change");
    assert!(tick > 0, "{update}");
    assert_eq!(cents("current_price"), 10_000 + tick, "{update}");
    assert_eq!(cents("change_percent"), tick, "{update}");
    assert_eq!(update["volume"], 100 * tick, "{update}");
    assert!(
        update.get("sequence").is_none(),
        "it was not said: {update}"
    );

    // It cannot unsubscribe, and must not be asked to: it would subscribe. What it goes on sending
    // is not shown.
    client.write("-tsla\nmsft\n");
    client.wait_for_stdout("\"MSFT\"", LIMIT);
    // Before the first of these it sends all others once more.
    client.write("f\n");
    client.wait_for_stdout("\"F\"", LIMIT);
    client.signal("INT");
    let ended = client.wait(LIMIT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_, after) = ended.stdout.split_once("\"MSFT\"").expect("seen above");
    assert!(after.contains("\"AAPL\""), "{after}");
    assert!(!after.contains("\"TSLA\""), "{after}");
    let asked: Vec<_> = server.stdout().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(
        asked,
        ["AAPL", "TSLA", "MSFT", "F"].map(|symbol| format!("asked for {symbol}"))
    );
}

/// A call centre of those days: it turns every sample of what it gets upside down, and has never seen a
/// chunk without any. Its answer begins with the first of them.
const CALL_CENTER: &str = r#"
import struct, sys, threading
from concurrent import futures
import grpc
sys.path.insert(0, sys.argv[1])
messages, services = grpc.protos_and_services("original_callcenter.proto")

class CallCenter(services.CallCenterServicer):
    def LiveCall(self, requests, context):
        for number, request in enumerate(requests, 1):
            count = len(request.audio_data) // 2
            if count == 0:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"chunk {number} holds no samples")
            samples = struct.unpack(f"<{count}h", request.audio_data)
            turned = struct.pack(f"<{count}h", *(max(-sample, -32767) for sample in samples))
            yield messages.AudioChunk(
                audio_data=turned, call_id=request.call_id, sample_rate=request.sample_rate,
                channels=request.channels, codec=request.codec)

server = grpc.server(futures.ThreadPoolExecutor(4))
services.add_CallCenterServicer_to_server(CallCenter(), server)
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
threading.Event().wait()
"#;

#[test]
fn a_call_centre_of_those_days_gets_a_file_without_a_chunk_that_it_cannot_read() {
    let Some(python) = python() else { return };
    let (_server, address) = python_server(&python, CALL_CENTER);
    let dir = tempfile::tempdir().expect("a directory");
    let [said, heard] = ["said.wav", "heard.wav"].map(|name| {
        let path = dir.path().join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    });
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&said, spec).expect("it can be written");
    for n in 0..48_000 {
        let sample = (f64::from(n) * 440.0 * std::f64::consts::TAU / 48_000.0).sin();
        file.write_sample((sample * 8_000.0) as i16)
            .expect("it can be written");
    }
    file.finalize().expect("it can be written");
    let args = [
        "--server", &address, "--codec", "pcm", "--json", "--source", &said, "--sink", &heard,
    ];
    let output = run(bin("softphone"), &args, None, LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut file = hound::WavReader::open(&heard).expect("a WAV file");
    let loud = file
        .samples::<i16>()
        .filter(|sample| sample.as_ref().is_ok_and(|sample| sample.abs() > 4_000));
    // Two thirds of a sine are above half its peak.
    let loud = loud.count();
    assert!((28_000..36_000).contains(&loud), "{loud}: {output:?}");
}

/// Between real devices a call begins with a tone that measures the echo, and until it is measured
/// nobody hears the microphone.
#[test]
fn a_call_centre_of_those_days_gets_no_chunk_that_it_cannot_read_before_the_first_word() {
    let Some(python) = python() else { return };
    let Some(rig) = Rig::start() else { return };
    let (_server, address) = python_server(&python, CALL_CENTER);
    let args = ["--server", &address, "--codec", "pcm"];
    let mut call = Process::start(bin("softphone"), &args, &rig.env());
    call.wait_for_stdout("connected", LIMIT);
    call.wait_for_stdout("echo canceller", LIMIT);
    call.signal("INT");
    let output = call.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// The message as the contract first had it.
#[derive(Clone, PartialEq, Message)]
struct OriginalUpdate {
    #[prost(string, tag = "1")]
    ticker_symbol: String,
    #[prost(double, tag = "2")]
    current_price: f64,
    #[prost(double, tag = "3")]
    price_change: f64,
    #[prost(double, tag = "4")]
    change_percent: f64,
    #[prost(int64, tag = "5")]
    timestamp: i64,
    #[prost(int32, tag = "6")]
    volume: i32,
}

/// The request as the contract first had it.
#[derive(Clone, PartialEq, Message)]
struct OriginalRequest {
    #[prost(string, tag = "1")]
    ticker_symbol: String,
}

fn original() -> OriginalUpdate {
    OriginalUpdate {
        ticker_symbol: "BRK.B".to_owned(),
        current_price: 490.12,
        price_change: -1.5,
        change_percent: -0.305_1,
        timestamp: 1_700_000_000,
        volume: 300,
    }
}

#[test]
fn the_first_six_fields_are_the_same_bytes() {
    let original = original();
    let ours = StockUpdate {
        ticker_symbol: original.ticker_symbol.clone(),
        current_price: original.current_price,
        price_change: original.price_change,
        change_percent: original.change_percent,
        timestamp: original.timestamp,
        volume: original.volume,
        ..StockUpdate::default()
    };
    assert_eq!(ours.encode_to_vec(), original.encode_to_vec());
    let ours = StockUpdate {
        sequence: u64::MAX,
        conflated: u32::MAX,
        snapshot: true,
        bid_price: 490.11,
        ask_price: 490.13,
        day_open: 489.0,
        day_high: 491.0,
        day_low: 488.0,
        day_volume: u64::MAX,
        trade_time_us: i64::MAX,
        subscriptions: Some(proto::fin::Subscriptions::default()),
        ..ours
    };
    let bytes = ours.encode_to_vec();
    let read = OriginalUpdate::decode(&bytes[..]).expect("unknown fields are skipped");
    assert_eq!(read, original);
    assert!(bytes.starts_with(&original.encode_to_vec()));
}

#[test]
fn what_those_days_wrote_means_the_same_and_nothing_new() {
    let original = original();
    let read = StockUpdate::decode(&original.encode_to_vec()[..]).expect("our own message");
    assert_eq!(read.encode_to_vec(), original.encode_to_vec());
    assert_eq!(
        (read.sequence, read.snapshot, read.subscriptions),
        (0, false, None)
    );

    let request = OriginalRequest {
        ticker_symbol: "AAPL".to_owned(),
    };
    let read = TickerRequest::decode(&request.encode_to_vec()[..]).expect("our own message");
    assert_eq!(read.ticker_symbol, "AAPL");
    assert_eq!(read.action(), TickerAction::Unspecified);
    // A request of ours that only subscribes says nothing new either.
    assert_eq!(read.encode_to_vec(), request.encode_to_vec());
}
