//! `softphone --json` and `--json-lines`: as documented, and no reader disturbs the call.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tests::{Output, Server, bin, json_schema::assert_matches, python::repository, run};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const GOOD: i32 = 0;
const USAGE: i32 = 2;
const WRONG_AUDIO: i32 = 6;
const NOT_WRITTEN: i32 = 7;

fn schema() -> Value {
    let path = repository().join("docs/softphone-json.schema.json");
    serde_json::from_str(&fs::read_to_string(path).expect("it can be read")).expect("it is JSON")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON: {error}\n{text}"))
}

fn synthetic(server: &Server, args: &[&str]) -> Output {
    let addr = server.addr().to_string();
    let args = [&["--synthetic", "--server", &addr], args].concat();
    run(bin("softphone"), &args, None, LIMIT)
}

/// An unlucky second is wrong audio, which is a report as well.
fn assert_ended(output: &Output) {
    assert!(
        matches!(output.code, Some(GOOD | WRONG_AUDIO)),
        "{output:?}"
    );
}

#[test]
fn reports_are_as_documented() {
    let server = Server::start(&[]);
    let schema = schema();
    let call = synthetic(&server, &["--json", "--duration", "3s"]);
    assert_ended(&call);
    let report = parsed(&call.stdout);
    assert_matches(&schema, "#/$defs/report", &report);
    // A sine whose peaks are at -20 dBFS.
    for way in ["input", "output"] {
        let level = |key| report["levels"][way][key].as_f64().expect("a level");
        let (mean, peak) = (level("mean_dbfs"), level("peak_dbfs"));
        assert!((-26.0..-21.0).contains(&mean), "{way}: {mean}");
        assert!((-20.5..-15.0).contains(&peak), "{way}: {peak}");
    }

    let args = [
        "--json",
        "--synthetic",
        "--virtual-time",
        "--duration",
        "20s",
    ];
    let args = [&args[..], &["--impair", "stall=1s@5s"]].concat();
    let virtual_call = run(bin("softphone"), &args, None, LIMIT);
    assert_matches(&schema, "#/$defs/report", &parsed(&virtual_call.stdout));

    let args = ["--json", "--source", "missing.wav", "--sink", "null"];
    let never_began = run(bin("softphone"), &args, None, LIMIT);
    assert_eq!(never_began.code, Some(USAGE));
    assert_matches(&schema, "#/$defs/verdict", &parsed(&never_began.stdout));
}

#[test]
fn a_line_comes_each_second_and_the_report_last() {
    let server = Server::start(&[]);
    let call = synthetic(&server, &["--json-lines", "--duration", "3500ms"]);
    assert_ended(&call);
    let lines: Vec<Value> = call.stdout.lines().map(parsed).collect();
    let (report, statuses) = lines.split_last().expect("lines");
    let schema = schema();
    assert_matches(&schema, "#/$defs/report", report);
    assert_eq!(report["exit_code"], call.code.expect("it ended by itself"));
    let seconds: Vec<u64> = statuses
        .iter()
        .map(|status| {
            assert_matches(&schema, "#/$defs/status", status);
            status["elapsed_s"].as_f64().expect("a number") as u64
        })
        .collect();
    assert_eq!(seconds, [1, 2, 3]);
    let last = &statuses[2];
    assert_eq!(last["line"], "connected");
    let mean = last["levels"]["output"]["mean_dbfs"].as_f64();
    assert!((mean.expect("a level") + 23.0).abs() < 2.0, "{last:#}");
    assert!(last["mouth_to_ear_ms"].is_number(), "{last:#}");
    assert!(call.stderr.contains("connected"), "{call:?}");
}

#[test]
fn a_report_that_nobody_takes_is_an_exit_code() {
    let server = Server::start(&[]);
    for form in ["--json", "--json-lines"] {
        // One reader goes away before the first byte, one opens the pipe and never reads.
        for reader_stays in [false, true] {
            let mut child = start_into_a_full_pipe(&server, form, reader_stays);
            let mut said = String::new();
            let mut stderr = child.child.stderr.take().expect("piped");
            stderr.read_to_string(&mut said).expect("text");
            let code = child.child.wait().expect("it ends").code();
            assert!(!said.contains("panicked"), "{said}");
            assert!(said.contains("round trip"), "no summary: {said}");
            match code {
                Some(NOT_WRITTEN) => assert!(said.contains("could not be written"), "{said}"),
                // An unlucky second counts more.
                code => assert_eq!(code, Some(WRONG_AUDIO), "{said}"),
            }
        }
    }
}

struct Reading {
    child: Child,
    /// Kept open, if it stays.
    _pipe: Option<std::io::PipeReader>,
}

fn start_into_a_full_pipe(server: &Server, form: &str, reader_stays: bool) -> Reading {
    let (pipe, mut writer) = std::io::pipe().expect("a pipe");
    if reader_stays {
        fill(&mut writer);
    }
    let addr = server.addr().to_string();
    let child = Command::new(bin("softphone"))
        .args(["--synthetic", "--duration", "2s", form, "--server", &addr])
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    Reading {
        child,
        _pipe: reader_stays.then_some(pipe),
    }
}

/// Writes until nothing more fits: by a thread that is left behind where it blocks.
fn fill(writer: &mut std::io::PipeWriter) {
    use std::io::Write;
    let mut writer = writer.try_clone().expect("another end");
    let (written_tx, written) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while writer.write_all(&[b'.'; 4_096]).is_ok() && written_tx.send(()).is_ok() {}
    });
    while written.recv_timeout(Duration::from_millis(500)).is_ok() {}
}
