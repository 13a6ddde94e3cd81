//! The run: what is started, what happens meanwhile, and what is asked of it at the end.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use proto::callcenter::{AudioChunk, call_center_client::CallCenterClient};
use tempfile::TempDir;
use tests::{Output, Process, Server, proxy::Proxy, stall_watch::StallWatch};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, transport::Endpoint};

use crate::{
    calls::{Calls, Over},
    footprint::{Footprint, growth},
    lateness::{Fault, Lateness},
    schedule::{Action, Event, LINES},
    server_log,
    softphone::{Delay, softphone},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Room for all calls of a schedule at once, and soon full.
const MAX_LEGS: usize = 128;

/// By how much a process may grow after the first third of a run, in which everything is set up. What
/// comes and goes was a quarter of a MB at most. In an hour this is half a kB for each of its two thousand
/// streams; two minutes have too few of them to show the state of a leg that is kept.
const MAX_GROWTH_BYTES: f64 = 1e6;

/// A call that hangs up does not dial a line again that breaks meanwhile. Within this a call has ended.
const HANGING_UP: Duration = Duration::from_secs(2);

/// A call that had its line for less than this part of its time may have heard nothing.
const MIN_CARRIED: f64 = 0.5;

/// A machine that stands still for so long may let a call fail.
const MAX_STALL: Duration = Duration::from_secs(1);

/// A call on each line for the whole time.
struct Witness {
    process: Process,
    before: Footprint,
    course: Vec<Footprint>,
}

/// What runs.
pub(crate) struct Soak {
    server: Server,
    lines: Vec<Proxy>,
    home: TempDir,
    runtime: Runtime,
    /// The server, and how many legs one party may have, without any.
    idle: Footprint,
    free_legs: usize,
    witnesses: Vec<Witness>,
    stalls: StallWatch,
    began: Instant,
    calls: Calls,
    faults: Vec<Fault>,
    course: Vec<Footprint>,
}

impl Soak {
    /// Starts the server, its lines, and the witnesses.
    pub(crate) fn begin() -> Self {
        let max_legs = MAX_LEGS.to_string();
        let mut args = vec!["--max-legs", &max_legs, "--idle-timeout", "8s"];
        args.extend(["--tick", "100ms", "--any-symbol"]);
        let server = Server::start(&args);
        let lines: Vec<_> = (0..LINES).map(|_| Proxy::start(server.addr())).collect();
        let home = tempfile::tempdir().expect("a directory for temporary files");
        let runtime = Runtime::new().expect("a runtime can be built");
        // The first connection sets up what stays.
        let free_legs = runtime.block_on(free_legs(&server));
        let idle = Footprint::settled(server.id());
        let witnesses = witnesses(&server, &lines, home.path());
        Self {
            server,
            lines,
            home,
            runtime,
            idle,
            free_legs,
            witnesses,
            stalls: StallWatch::start(),
            began: Instant::now(),
            calls: Calls::default(),
            faults: Vec::new(),
            course: Vec::new(),
        }
    }

    /// Lets everything happen, for so long.
    pub(crate) fn run(&mut self, events: Vec<Event>, length: Duration) {
        let mut events = events.into_iter().enumerate().peekable();
        let mut thaws: Vec<Fault> = Vec::new();
        while self.began.elapsed() < length {
            let now = self.began.elapsed();
            thaws.retain(|fault| {
                let is_over = fault.ended <= now;
                if is_over {
                    self.lines[fault.line].thaw();
                    self.faults.push(Fault {
                        ended: now,
                        ..*fault
                    });
                }
                !is_over
            });
            while let Some((number, event)) = events.next_if(|(_, event)| event.at <= now) {
                let line = &self.lines[event.line];
                match event.action {
                    Action::Freeze { answers_only: true } => line.freeze_answers(),
                    Action::Freeze { .. } => line.freeze(),
                    Action::Reset => line.reset(),
                    _ => {
                        let home = self.home.path();
                        self.calls.begin(number, event, line, home, &self.runtime);
                        continue;
                    }
                }
                thaws.push(Fault {
                    line: event.line,
                    began: now,
                    ended: now + event.lasts,
                });
            }
            self.measure(now, length);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Once a second.
    fn measure(&mut self, now: Duration, length: Duration) {
        if self.course.len() >= now.as_secs() as usize {
            return;
        }
        self.course.push(Footprint::of(self.server.id(), now));
        for witness in &mut self.witnesses {
            let ended = witness.process.ended();
            assert_eq!(ended, None, "{}", witness.process);
            let id = witness.process.id();
            witness.course.push(Footprint::of(id, now));
        }
        if self.course.len().is_multiple_of(10) {
            let (processes, streams) = self.calls.begun();
            println!(
                "soak: {:.0} of {:.0} s: {processes} processes and {streams} streams began; {}",
                now.as_secs_f64(),
                length.as_secs_f64(),
                self.newest()
            );
        }
    }

    /// What all hold.
    fn newest(&self) -> String {
        let witnesses = self.witnesses.iter().map(|witness| &witness.course);
        let courses = [&self.course].into_iter().chain(witnesses);
        let newest = courses.filter_map(|course| course.last());
        let held: Vec<_> = newest
            .map(|now| {
                let mb = now.bytes as f64 / 1e6;
                format!("{mb:.1} MB {} fd {} threads", now.descriptors, now.threads)
            })
            .collect();
        format!("server and witnesses hold {}", held.join(", "))
    }

    /// Waits for the end of all, and asks what is left, and how late the calls were.
    pub(crate) fn judge(mut self) {
        let over = std::mem::take(&mut self.calls).wait(&self.runtime);
        let witnesses: Vec<_> = self.witnesses.drain(..).map(Witness::end).collect();
        let ended = self.began.elapsed();
        let stalls = self.stalls.by_second();
        let longest = stalls.iter().max().copied().unwrap_or_default();
        println!("soak: the machine stood still for {longest:?} at most");
        for fault in &self.faults {
            println!("soak: {fault:.1?}");
        }
        judge_ends(&over, self.began, &self.faults, &stalls);
        assert_directory(self.home.path());

        let server = self.server;
        self.idle.back_to(server.id());
        let free_legs = self.runtime.block_on(free_legs(&server));
        assert_eq!(free_legs, self.free_legs, "free legs");
        let after = self.idle.back_to(server.id());
        let output = server.stop();
        assert_eq!(output.code, Some(0), "{output:?}");
        server_log::judge(&output.stderr);
        assert_memory("the server", self.idle, after, &self.course);

        let lateness: Vec<_> = (0..LINES)
            .map(|line| Lateness::of(line, &self.faults, &self.course, &stalls))
            .collect();
        let mut judged = 0;
        for (output, lateness) in witnesses.iter().zip(&lateness) {
            judged += assert_delay(output, lateness, Duration::ZERO, ended);
        }
        let calls = over.iter().filter(|call| call.is_call());
        for call in calls.filter(|call| call.output.code == Some(0)) {
            let [from, to] = [call.began, call.ended].map(|at| at - self.began);
            judged += assert_delay(&call.output, &lateness[call.event.line], from, to);
        }
        println!("soak: {judged} figures of delay were judged");
    }
}

impl Witness {
    /// Hangs up, once it holds no more than before.
    fn end(mut self) -> Output {
        let id = self.process.id();
        let after = self.before.back_to(id);
        assert_memory("a witness", self.before, after, &self.course);
        self.process.signal("INT");
        let output = self.process.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{output:?}");
        output
    }
}

/// One on each line, each of which is connected.
fn witnesses(server: &Server, lines: &[Proxy], home: &Path) -> Vec<Witness> {
    let processes: Vec<_> = lines
        .iter()
        .map(|line| softphone(home, line, "opus", None, None))
        .collect();
    let began = Instant::now();
    while server.stderr().matches("call started").count() < processes.len() {
        assert!(began.elapsed() < LIMIT, "{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
    let settled = processes.into_iter().map(|process| Witness {
        before: Footprint::settled(process.id()),
        process,
        course: Vec::new(),
    });
    settled.collect()
}

/// How all of them ended.
fn judge_ends(over: &[Over], began: Instant, faults: &[Fault], stalls: &[Duration]) {
    let mut good = 0;
    for call in over {
        let Over { event, output, .. } = call;
        assert!(!output.stderr.contains("panicked"), "{event:?}: {output:?}");
        if output.code == Some(0) || (call.was_killed() && output.code.is_none()) {
            good += 1;
            continue;
        }
        let [from, to] = [call.began, call.ended].map(|at| at - began);
        let seconds = stalls.iter().take(to.as_secs() as usize + 1);
        let stall = seconds.skip(from.as_secs() as usize).max();
        let may_fail = carried(event.line, faults, from, to) < MIN_CARRIED
            || broke_at_its_end(event.line, faults, to)
            || stall.is_some_and(|stall| *stall > MAX_STALL);
        println!("soak: {event:?} ended with {:?}", output.code);
        assert!(may_fail, "{event:?}: {output:?}");
    }
    println!("soak: {good} of {} processes ended well", over.len());
}

/// Whether a line broke while a call on it hung up, or was still gone then.
fn broke_at_its_end(line: usize, faults: &[Fault], ended: Duration) -> bool {
    let mut of_line = faults.iter().filter(|fault| fault.line == line);
    of_line.any(|fault| {
        let is_gone = ended <= fault.ended;
        fault.began <= ended && (is_gone || ended - fault.began <= HANGING_UP)
    })
}

/// In which part of a time a line carried something.
fn carried(line: usize, faults: &[Fault], from: Duration, to: Duration) -> f64 {
    let of_line = faults.iter().filter(|fault| fault.line == line);
    let lost: Duration = of_line
        .map(|fault| fault.ended.min(to).saturating_sub(fault.began.max(from)))
        .sum();
    1.0 - lost.as_secs_f64() / (to - from).as_secs_f64().max(1e-3)
}

/// Returns how many of its three figures could be judged.
fn assert_delay(output: &Output, lateness: &Lateness, from: Duration, to: Duration) -> usize {
    let delay = Delay::of(output).unwrap_or_else(|| panic!("no delay: {output:?}"));
    let limits = [0.5, 0.95, 1.0].map(|part| lateness.limit_ms(from, to, part));
    println!("soak: from {from:.0?} to {to:.0?}: {delay:.0?}, at most {limits:.0?} ms");
    let figures = [delay.median, delay.p95, delay.worst];
    for (ms, limit) in figures.into_iter().zip(limits) {
        assert!(ms <= limit, "{delay:?}, at most {limits:?} ms: {output:?}");
    }
    limits.iter().filter(|limit| limit.is_finite()).count()
}

fn assert_memory(who: &str, before: Footprint, after: Footprint, course: &[Footprint]) {
    let [before, after] = [before, after].map(|footprint| footprint.bytes as f64 / 1e6);
    let growth = growth(course);
    println!(
        "soak: {who} held {before:.1} MB before and {after:.1} after; after the first third it grew by {:.2} MB",
        growth / 1e6
    );
    assert!(growth <= MAX_GROWTH_BYTES, "{who}: {growth} B\n{course:?}");
}

/// How many legs one more party may have. None of them is left when it returns.
async fn free_legs(server: &Server) -> usize {
    let endpoint = Endpoint::from_shared(server.uri()).expect("a URI");
    let mut legs = Vec::new();
    'full: loop {
        let channel = endpoint.connect().await.expect("the server is there");
        for _ in 0..16 {
            let (requests_tx, requests) = mpsc::channel::<AudioChunk>(1);
            let mut client = CallCenterClient::new(channel.clone());
            match client.live_call(ReceiverStream::new(requests)).await {
                Ok(answers) => legs.push((requests_tx, answers.into_inner())),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    break 'full;
                }
            }
        }
    }
    let count = legs.len();
    for (requests_tx, mut answers) in legs {
        drop(requests_tx);
        // A leg without a chunk is refused at its half-close.
        let end = answers.message().await.expect_err("no chunk was sent");
        assert_eq!(end.code(), Code::InvalidArgument, "{end:?}");
    }
    count
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
        let directory = home.join(&name);
        if directory.is_dir() {
            assert_eq!(names(&directory), [""; 0], "left in {name}");
        } else {
            let is_recording = name.starts_with("call-") && name.ends_with(".wav");
            assert!(is_recording, "{name} was left");
        }
    }
}
