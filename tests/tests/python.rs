//! The examples in Python, run as they are written: an independent client in another language.

use std::{path::Path, time::Duration};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tests::{
    Output, Process, Server, bin,
    python::{python, repository},
    run,
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

fn example(name: &str) -> String {
    let path = repository().join("examples/python").join(name);
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn wav_spec(sample_rate: u32, channels: u16) -> WavSpec {
    WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    }
}

/// Noise, in which no two places look alike.
fn noise(samples: usize) -> Vec<i16> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    (0..samples).map(|_| random.random()).collect()
}

fn write_wav(path: &Path, spec: WavSpec, samples: &[i16]) {
    let mut writer = WavWriter::create(path, spec).expect("a file can be made");
    for sample in samples {
        writer.write_sample(*sample).expect("a sample fits");
    }
    writer.finalize().expect("the file can be written");
}

fn read_wav(path: &Path) -> (WavSpec, Vec<i16>) {
    let mut reader = WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    let samples = reader.samples().map(|sample| sample.expect("a sample"));
    (spec, samples.collect())
}

/// Runs call.py on the two files.
fn call(python: &Path, input: &Path, output: &Path, server: &str) -> Output {
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let args = [
        example("call.py"),
        text(input),
        text(output),
        server.to_owned(),
    ];
    run(python, &args.each_ref().map(String::as_str), None, LIMIT)
}

#[test]
fn a_wav_comes_back_as_it_was_when_nothing_is_processed() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(&["--effects", "none"]);
    // Whole chunks and a shorter last one; a rate that 20 ms do not divide; many seconds at once.
    for (rate, channels, frames) in [
        (8_000, 1, 8_000),
        (16_000, 1, 16_000 * 20 + 77),
        (11_025, 2, 5_000),
        (44_100, 2, 44_101),
        (192_000, 1, 9_999),
    ] {
        let (input, output) = (dir.path().join("in.wav"), dir.path().join("out.wav"));
        let spec = wav_spec(rate, channels);
        let sent = noise(frames * usize::from(channels));
        write_wav(&input, spec, &sent);
        let ended = call(&python, &input, &output, &server.addr().to_string());
        assert_eq!(ended.code, Some(0), "{rate} Hz: {ended:?}");
        let (came_spec, came) = read_wav(&output);
        assert_eq!(came_spec, spec);
        assert_eq!(came.len(), sent.len(), "{rate} Hz");
        assert!(came == sent, "{rate} Hz: the samples differ");
    }
}

#[test]
fn processing_keeps_the_length() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(&[]);
    let (input, output) = (dir.path().join("in.wav"), dir.path().join("out.wav"));
    let sent = noise(48_000 + 123);
    write_wav(&input, wav_spec(48_000, 1), &sent);
    let ended = call(&python, &input, &output, &server.addr().to_string());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_, came) = read_wav(&output);
    assert_eq!(came.len(), sent.len());
    assert!(came != sent, "nothing was processed");
}

#[test]
fn what_is_wrong_with_a_call_is_said_in_one_line() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let path = |name: &str| dir.path().join(name);

    let shallow = WavSpec {
        bits_per_sample: 8,
        ..wav_spec(48_000, 1)
    };
    let mut writer = WavWriter::create(path("shallow.wav"), shallow).expect("a file can be made");
    writer.write_sample(1).expect("a sample fits");
    writer.finalize().expect("the file can be written");
    write_wav(&path("slow.wav"), wav_spec(4_000, 1), &noise(4_000));
    write_wav(&path("empty.wav"), wav_spec(48_000, 1), &[]);
    write_wav(&path("good.wav"), wav_spec(48_000, 1), &noise(4_800));
    std::fs::write(path("text.wav"), "not sound").expect("a file can be made");

    let nobody = format!("127.0.0.1:{}", tests::free_port());
    for (input, server, words) in [
        ("shallow.wav", &addr, "8 bits, not 16"),
        ("slow.wav", &addr, "4000"),
        ("empty.wav", &addr, "chunk"),
        ("text.wav", &addr, "text.wav"),
        ("missing.wav", &addr, "missing.wav"),
        ("good.wav", &nobody, "onnect"),
    ] {
        let ended = call(&python, &path(input), &path("out.wav"), server);
        assert_eq!(ended.code, Some(1), "{input}: {ended:?}");
        assert!(ended.stderr.contains(words), "{input}: {}", ended.stderr);
        assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn the_caller_stays_short_and_plain() {
    let source = std::fs::read_to_string(example("call.py")).expect("the example is there");
    assert!(
        source.lines().count() < 30,
        "under thirty lines, as promised"
    );
    for field in ["sequence", "media_time", "join", "accepted"] {
        assert!(!source.contains(field), "it uses {field}");
    }
}

#[test]
fn the_ticker_prints_quotes_until_ctrl_c() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--tick", "20ms"]);
    let (script, addr) = (example("ticker.py"), server.addr().to_string());
    let args = [&script, "AAPL", "brk.b", "--server", &addr];
    let mut ticker = Process::start(&python, &args, &[]);
    ticker.wait_for_stdout("AAPL", LIMIT);
    ticker.wait_for_stdout("BRK.B", LIMIT);
    ticker.signal("INT");
    let ended = ticker.wait(LIMIT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn the_ticker_unsubscribes_and_ends_when_nothing_is_left() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--tick", "20ms"]);
    let (script, addr) = (example("ticker.py"), server.addr().to_string());
    let args = [&script, "AAPL", "brk.b", "--count", "5", "--server", &addr];
    let ended = run(&python, &args, None, LIMIT);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    for symbol in ["AAPL", "BRK.B"] {
        let lines = ended.stdout.lines().filter(|line| line.starts_with(symbol));
        let mut trades = Vec::new();
        for line in lines {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, price, _, _, "bid", bid, "ask", ask, "trade", trade] = words[..] else {
                panic!("{line}");
            };
            let dollars = |text: &str| text.parse::<f64>().expect("a price");
            let (bid, price, ask) = (dollars(bid), dollars(price), dollars(ask));
            assert!(0.0 < bid && bid <= price && price <= ask, "{line}");
            trades.push(trade.parse::<u64>().expect("a number"));
        }
        // Some more may have been on their way.
        assert!(trades.len() >= 5, "{}", ended.stdout);
        assert!(trades.is_sorted_by(|a, b| a < b), "{trades:?}");
    }
}

#[test]
fn the_ticker_says_what_is_wrong() {
    let Some(python) = python() else { return };
    let server = Server::start(&[]);
    let (script, addr) = (example("ticker.py"), server.addr().to_string());
    let args = [&script, "A B", "--server", &addr];
    let ended = run(&python, &args, None, LIMIT);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("1 to 12 letters"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
    // The others go on.
    let args = [
        &script, "APPL", "EURUSD=X", "--count", "2", "--server", &addr,
    ];
    let ended = run(&python, &args, None, LIMIT);
    assert!(ended.stderr.contains("did you mean AAPL"), "{ended:?}");
    assert!(ended.stdout.contains("EURUSD=X"), "{ended:?}");
}

#[test]
fn without_grpcio_they_say_how_to_get_it() {
    let Some(python) = python() else { return };
    for name in ["call.py", "ticker.py"] {
        // -S hides the installed packages.
        let ended = run(&python, &["-S", &example(name), "a", "b"], None, LIMIT);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("pip install -r"), "{ended:?}");
        assert!(!ended.stderr.contains("Traceback"), "{ended:?}");
    }
}

/// A ticker on gRPC's own server, which hangs up on clients that ping it while it is silent: one
/// update for each request, and no more.
const SILENT_TICKER: &str = r#"
import sys, threading
from concurrent import futures
import grpc
sys.path.insert(0, sys.argv[1])
messages, services = grpc.protos_and_services("fin.proto")

class Ticker(services.StockTickerServicer):
    def SubscribeToStockUpdates(self, requests, context):
        for request in requests:
            yield messages.StockUpdate(ticker_symbol=request.ticker_symbol, current_price=1)

server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.http2.max_ping_strikes", 1)])
services.add_StockTickerServicer_to_server(Ticker(), server)
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
threading.Event().wait()
"#;

#[test]
fn ticker_client_stays_with_a_server_that_wants_no_pings() {
    let Some(python) = python() else { return };
    let proto = repository().join("proto");
    let proto = proto.to_str().expect("a path in UTF-8");
    let server = Process::start(python, &["-c", SILENT_TICKER, proto], &[]);
    let port = server.wait_for_stdout("port ", LIMIT).replace("port ", "");
    let address = format!("127.0.0.1:{port}");
    let args = ["--server", &address, "AAPL"];
    let mut client = Process::start(bin("ticker-client"), &args, &[]);
    client.wait_for_stderr("wants no pings", LIMIT);
    client.write("tsla\n");
    client.wait_for_stdout("TSLA", LIMIT);
    client.signal("INT");
    assert_eq!(client.wait(LIMIT).code, Some(0));
}

/// The program that the README shows, with the one address in it replaced.
#[test]
fn the_readmes_own_program_runs_as_shown() {
    let Some(python) = python() else { return };
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("a README");
    let (_, rest) = readme.split_once("```python\n").expect("a program in it");
    let (program, _) = rest.split_once("```").expect("its end");
    let server = Server::start(&["--effects", "none"]);
    let program = program.replace("127.0.0.1:50051", &server.addr().to_string());
    assert!(program.contains(&server.addr().to_string()), "{program}");

    let dir = tempfile::tempdir().expect("a directory");
    let link = dir.path().join("proto");
    std::os::unix::fs::symlink(repository().join("proto"), link).expect("a link");
    let spoken = noise(16_000);
    write_wav(&dir.path().join("hello.wav"), wav_spec(16_000, 1), &spoken);
    let output = std::process::Command::new(python)
        .args(["-c", &program])
        .current_dir(dir.path())
        .output()
        .expect("Python can be started");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert_eq!(read_wav(&dir.path().join("answer.wav")).1, spoken);
}
