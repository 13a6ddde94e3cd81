//! Calls, quotes and faults for a while, from a seeded schedule, on the real programs: at the end
//! nothing is held that was not held at the beginning.
//!
//! Two minutes unless `SOAK_MINUTES` says otherwise; `script/soak` runs it for longer. `SOAK_SEED` makes
//! another schedule. Counts are judged; a delay only as far as this machine ran.

mod footprint;
mod programs;
mod schedule;

use std::{
    env, fs,
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use footprint::{Footprint, growth};
use programs::End;
use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use schedule::{Action, Ends, Event, LINES, schedule};
use serde_json::Value;
use tests::{Output, Process, Server, bin, proxy::Proxy, stall_watch::StallWatch};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Room for all calls of a schedule at once, and soon full.
const MAX_LEGS: usize = 128;

/// What memory may grow by from the middle to the end: far more than what comes and goes, far less than
/// a leak of every leg comes to in ten minutes.
const MAX_GROWTH_BYTES: f64 = 16e6;

/// 95 of 100 seconds of a call on a line without faults are not later, but for what the machine stood
/// still: virtual devices, a network that takes no time, and a chunk.
const MAX_DELAY_MS: f64 = 150.0;

/// On a machine that stands still for longer a call of a few seconds may fail.
const MAX_STALL_MS: f64 = 500.0;

/// The calls, the quotes and what became of them.
#[derive(Default)]
struct Running {
    calls: Vec<(Event, JoinHandle<Output>)>,
    programs: Vec<(Event, tokio::task::JoinHandle<End>)>,
}

#[test]
#[ignore = "takes minutes, and a machine of its own: script/soak"]
fn nothing_is_held_at_the_end_that_was_not_held_at_the_beginning() {
    let number = |name: &str, default: f64| match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    };
    let length = Duration::from_secs_f64(number("SOAK_MINUTES", 2.0) * 60.0);
    let seed = number("SOAK_SEED", 1.0) as u64;
    let events = schedule(seed, length);
    println!("soak: seed {seed}, {} events in {length:?}", events.len());

    let max_legs = MAX_LEGS.to_string();
    let server = Server::start(&[
        "--max-legs",
        &max_legs,
        "--tick",
        "100ms",
        "--any-symbol",
        "--idle-timeout",
        "8s",
    ]);
    let lines: Vec<_> = (0..LINES).map(|_| Proxy::start(server.addr())).collect();
    let home = tempfile::tempdir().expect("a directory for temporary files");
    let runtime = Runtime::new().expect("a runtime can be built");
    // The first connection sets up what stays.
    let places = runtime.block_on(free_places(&server));
    let before = settled(server.id(), None);
    let stalls = StallWatch::start();

    let began = Instant::now();
    let mut witness = softphone(home.path(), "witness", &lines[0], length, "opus", &[]);
    let mut running = Running::default();
    let (mut course, mut witness_course) = (Vec::new(), Vec::new());
    let mut thaws: Vec<(Duration, usize)> = Vec::new();
    let mut events = events.into_iter().enumerate().peekable();
    while began.elapsed() < length {
        let now = began.elapsed();
        thaws.retain(|(at, line)| {
            let is_due = *at <= now;
            if is_due {
                lines[*line].thaw();
            }
            !is_due
        });
        while let Some((number, event)) = events.next_if(|(_, event)| event.at <= now) {
            let line = &lines[event.line];
            match event.action {
                Action::Freeze { answers_only: true } => line.freeze_answers(),
                Action::Freeze { .. } => line.freeze(),
                Action::Reset => line.reset(),
                _ => running.begin(number, event.clone(), line, home.path(), &runtime),
            }
            if let Action::Freeze { .. } | Action::Reset = event.action {
                thaws.push((now + event.lasts, event.line));
            }
        }
        if course.len() < now.as_secs() as usize {
            course.push(Footprint::of(server.id(), now));
            if witness.ended().is_none() {
                witness_course.push(Footprint::of(witness.id(), now));
            }
            if course.len().is_multiple_of(10) {
                say(&course, &running, length);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    let witness = witness.wait(LIMIT);
    let stall_ms = 1e3 * stalls.longest().as_secs_f64();
    println!("soak: over; the machine stood still for {stall_ms:.0} ms at most");

    let delays = running.judge(&runtime, stall_ms);
    assert_eq!(witness.code, Some(0), "{witness:?}");
    let witness_delay = p95_ms(&witness).expect("the delay of a call of a minute is known");
    println!("soak: p95 of the witness {witness_delay:.1} ms, of calls {delays:.1?} ms");
    // A machine that stands still is late by that much, and the jitter buffer then waits for it.
    let most = MAX_DELAY_MS + 3.0 * stall_ms;
    let all = delays.iter().chain([&witness_delay]);
    for delay in all {
        assert!(*delay <= most, "{delay} ms, and {most} would be good");
    }

    let after = settled(server.id(), Some(before));
    println!("soak: before {before:?}\nsoak: after  {after:?}");
    assert_eq!(
        runtime.block_on(free_places(&server)),
        places,
        "free places"
    );
    for (name, course) in [("server", &course), ("witness", &witness_course)] {
        let growth = growth(course);
        println!("soak: the {name} grew by {:.2} MB", growth / 1e6);
        assert!(
            growth <= MAX_GROWTH_BYTES,
            "{name}: {growth} bytes\n{course:?}"
        );
    }
    assert_directory(home.path());
    drop(lines);
    let output = server.stop();
    assert_log(&output);
}

impl Running {
    fn begin(&mut self, number: usize, event: Event, line: &Proxy, home: &Path, runtime: &Runtime) {
        let uri = format!("http://{}", line.addr());
        let lasts = event.lasts;
        match event.action {
            Action::Call { codec, ends } => {
                let name = format!("call-{number}");
                // A killed one may leave what it has of a recording.
                let flags: &[&str] = match ends {
                    Ends::Killed => &[],
                    Ends::ByItself | Ends::Interrupted => &["--record"],
                };
                let length = if ends == Ends::ByItself {
                    lasts
                } else {
                    2 * LIMIT
                };
                let mut process = softphone(home, &name, line, length, codec, flags);
                let call = thread::spawn(move || {
                    if ends != Ends::ByItself {
                        thread::sleep(lasts);
                        process.signal(if ends == Ends::Killed { "KILL" } else { "INT" });
                    }
                    process.wait(2 * LIMIT)
                });
                self.calls.push((event, call));
            }
            Action::TickerClient => {
                let server = line.addr().to_string();
                let seconds = format!("{}ms", lasts.as_millis());
                let args = [
                    "--server",
                    &server,
                    "--mode",
                    "csv",
                    "--duration",
                    &seconds,
                    "AAPL",
                    "F",
                ];
                let mut process = Process::start(bin("ticker-client"), &args, &environment(home));
                let client = thread::spawn(move || process.wait(2 * LIMIT));
                self.calls.push((event, client));
            }
            Action::Leg(leg) => {
                let task = runtime.spawn(programs::leg(uri, leg, lasts));
                self.programs.push((event, task));
            }
            Action::Quotes { symbols } => {
                let task = runtime.spawn(programs::quotes(uri, symbols, lasts));
                self.programs.push((event, task));
            }
            Action::Freeze { .. } | Action::Reset => unreachable!("faults are of lines"),
        }
    }

    /// Waits for all, and returns the delays of the calls on the line without faults, in ms.
    fn judge(self, runtime: &Runtime, stall_ms: f64) -> Vec<f64> {
        let mut delays = Vec::new();
        let (mut good, mut all) = (0, 0);
        for (event, call) in self.calls {
            let output = call.join().unwrap_or_else(|_| panic!("{event:?} hangs"));
            let killed = matches!(
                event.action,
                Action::Call {
                    ends: Ends::Killed,
                    ..
                }
            );
            assert!(output.code.is_some() || killed, "{event:?}: {output:?}");
            // A call that begins on a line, or on a machine, that stands still may find nobody.
            let may_fail = event.line > 0 || stall_ms > MAX_STALL_MS;
            let is_good = killed || output.code == Some(0);
            assert!(is_good || may_fail, "{event:?}: {output:?}");
            assert!(!output.stderr.contains("panicked"), "{event:?}: {output:?}");
            (good, all) = (good + usize::from(is_good), all + 1);
            if event.line == 0 && matches!(event.action, Action::Call { .. }) {
                delays.extend(p95_ms(&output));
            }
        }
        println!("soak: {good} of {all} processes ended well");
        assert!(4 * good >= 3 * all, "{good} of {all}");
        let (mut good, mut all) = (0, 0);
        for (event, task) in self.programs {
            let end = runtime.block_on(task);
            let end = end.unwrap_or_else(|panic| panic!("{event:?}: {panic}"));
            if let Err(status) = &end {
                // A stream that is not read loses its place; those on a line that is reset break.
                assert!(is_of_the_line(&event, status), "{event:?}: {status:?}");
            }
            (good, all) = (good + usize::from(end.is_ok()), all + 1);
        }
        println!("soak: {good} of {all} streams ended well");
        delays
    }
}

fn is_of_the_line(event: &Event, status: &Status) -> bool {
    let breaks = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled
    );
    let broke = breaks || status.message().contains("h2 protocol error");
    event.line > 0 && (broke || status.code() == Code::DeadlineExceeded)
}

fn environment(home: &Path) -> Vec<(String, String)> {
    let home = home.to_str().expect("UTF-8");
    [
        "HOME",
        "TMPDIR",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
    ]
    .map(|name| (name.to_owned(), format!("{home}/{}", name.to_lowercase())))
    .to_vec()
}

/// A call with a tone for a microphone; `--record` gets a file of the call's name.
fn softphone(
    home: &Path,
    name: &str,
    line: &Proxy,
    length: Duration,
    codec: &str,
    flags: &[&str],
) -> Process {
    let environment = environment(home);
    for (_, directory) in &environment {
        fs::create_dir_all(directory).expect("a directory can be made");
    }
    let server = line.addr().to_string();
    let length = format!("{}ms", length.as_millis());
    let mut args = vec![
        "--json", "--server", &server, "--source", "tone", "--sink", "null",
    ];
    args.extend(["--codec", codec, "--duration", &length]);
    let file = home.join(format!("{name}.wav"));
    args.extend(flags);
    if flags == ["--record"] {
        args.push(file.to_str().expect("UTF-8"));
    }
    Process::start(bin("softphone"), &args, &environment)
}

/// The delay that 95 of 100 seconds of a call did not exceed, if one is known.
fn p95_ms(output: &Output) -> Option<f64> {
    let report: Value = serde_json::from_str(&output.stdout).ok()?;
    report["delay_ms"]["p95"].as_f64()
}

/// How many legs one more party may have.
async fn free_places(server: &Server) -> usize {
    let endpoint = tonic::transport::Endpoint::from_shared(server.uri()).expect("a URI");
    let mut legs = Vec::new();
    loop {
        let channel = endpoint.connect().await.expect("the server is there");
        for _ in 0..16 {
            let chunks = tokio_stream::pending::<AudioChunk>();
            let mut client = CallCenterClient::new(channel.clone());
            match client.live_call(chunks).await {
                Ok(leg) => legs.push(leg),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    return legs.len();
                }
            }
        }
    }
}

/// What the server holds once it holds no more than before, or for the first time nothing of anybody.
fn settled(pid: u32, before: Option<Footprint>) -> Footprint {
    let began = Instant::now();
    let mut last = Footprint::of(pid, Duration::ZERO);
    let mut same = 0;
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = Footprint::of(pid, Duration::ZERO);
        let is_same = (now.descriptors, now.threads) == (last.descriptors, last.threads);
        same = if is_same { same + 1 } else { 0 };
        last = now;
        let is_back = before.is_none_or(|before| {
            now.descriptors <= before.descriptors && now.threads <= before.threads
        });
        if is_back && same >= 10 {
            return now;
        }
        assert!(
            began.elapsed() < LIMIT,
            "{before:?} before, and now it keeps {now:?}"
        );
    }
}

fn say(course: &[Footprint], running: &Running, length: Duration) {
    if let Some(now) = course.last() {
        println!(
            "soak: {:.0} of {:.0} s: {} processes and {} streams began; the server has {:.1} MB, {} descriptors",
            now.at.as_secs_f64(),
            length.as_secs_f64(),
            running.calls.len(),
            running.programs.len(),
            now.bytes as f64 / 1e6,
            now.descriptors
        );
    }
}

/// Recordings of calls and nothing that was begun and forgotten.
fn assert_directory(home: &Path) {
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    for name in names(home) {
        let is_recording = name.starts_with("call-") && name.ends_with(".wav");
        let is_directory = home.join(&name).is_dir();
        assert!(is_recording || is_directory, "{name} was left");
    }
    assert_eq!(names(&home.join("tmpdir")), [""; 0], "temporary files");
}

/// Everything that began has ended, and the server with them.
fn assert_log(output: &Output) {
    let count = |words: &str| output.stderr.matches(words).count();
    assert_eq!(output.code, Some(0), "{output:?}");
    for words in ["panicked", "a fault ended", "ERROR"] {
        assert_eq!(count(words), 0, "{words}");
    }
    assert_eq!(count("lines of log"), 0, "the log has all lines");
    let (started, ended) = (count("call started"), count("call ended"));
    // One that never sent a chunk has no beginning.
    assert!(
        started <= ended && started > 0,
        "{started} calls, {ended} ends"
    );
    let streams = output
        .stderr
        .lines()
        .filter(|line| line.contains("ticker stream "));
    let (begun, over): (Vec<_>, Vec<_>) =
        streams.partition(|line| line.ends_with(" started") || line.contains(" started peer="));
    assert!(!begun.is_empty());
    assert_eq!(begun.len(), over.len(), "ticker streams");
    assert!(output.stderr.contains("stopped"));
}
