//! The calls and streams of a schedule: begun, waited for, judged.

use std::{
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tests::{Output, Process, bin, proxy::Proxy};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

use crate::{
    programs::{self, End},
    schedule::{Action, Ends, Event},
    softphone::{environment, softphone},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// How a process ended, and when.
type Ended = (Output, Instant);

/// What was begun.
#[derive(Default)]
pub(crate) struct Calls {
    processes: Vec<(Event, Instant, JoinHandle<Ended>)>,
    streams: Vec<(Event, tokio::task::JoinHandle<End>)>,
}

/// A call or a ticker client that is over.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) event: Event,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) output: Output,
}

impl Over {
    /// Whether it is a call of a softphone.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self.event.action, Action::Call { .. })
    }

    /// Whether it was a call that was not left to end.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self.event.action, Action::Call { ends, .. } if ends == Ends::Killed)
    }
}

impl Calls {
    /// How many processes and streams were begun.
    pub(crate) fn begun(&self) -> (usize, usize) {
        (self.processes.len(), self.streams.len())
    }

    /// Begins what is no fault. `number` names its recording.
    pub(crate) fn begin(
        &mut self,
        number: usize,
        event: Event,
        line: &Proxy,
        home: &Path,
        runtime: &Runtime,
    ) {
        let uri = format!("http://{}", line.addr());
        let lasts = event.lasts;
        match event.action {
            Action::Call { codec, ends } => {
                // A killed one may leave what it has of a recording.
                let file = home.join(format!("call-{number}.wav"));
                let recording = (ends != Ends::Killed).then_some(file.as_path());
                let length = (ends == Ends::ByItself).then_some(lasts);
                let process = softphone(home, line, codec, length, recording);
                self.wait_for(event, process, move |process| match ends {
                    Ends::ByItself => {}
                    Ends::Interrupted => {
                        thread::sleep(lasts);
                        process.signal("INT");
                    }
                    Ends::Killed => {
                        thread::sleep(lasts);
                        process.signal("KILL");
                    }
                });
            }
            Action::TickerClient => {
                let (server, length) =
                    (line.addr().to_string(), format!("{}ms", lasts.as_millis()));
                let args = ["--server", &server, "--mode", "csv", "--duration", &length];
                let args = [&args[..], &["AAPL", "F"]].concat();
                let process = Process::start(bin("ticker-client"), &args, &environment(home));
                self.wait_for(event, process, |_| {});
            }
            Action::Leg(leg) => {
                let task = runtime.spawn(programs::leg(uri, leg, lasts));
                self.streams.push((event, task));
            }
            Action::Quotes { symbols } => {
                let task = runtime.spawn(programs::quotes(uri, symbols, lasts));
                self.streams.push((event, task));
            }
            Action::Freeze { .. } | Action::Reset => unreachable!("faults are of lines"),
        }
    }

    fn wait_for(
        &mut self,
        event: Event,
        mut process: Process,
        end: impl FnOnce(&Process) + Send + 'static,
    ) {
        let ended = thread::spawn(move || {
            end(&process);
            (process.wait(LIMIT), Instant::now())
        });
        self.processes.push((event, Instant::now(), ended));
    }

    /// Waits for all, judges how the streams ended, and returns the processes.
    ///
    /// # Panics
    /// Something hangs, or a stream ended in a way that its line does not explain.
    pub(crate) fn wait(self, runtime: &Runtime) -> Vec<Over> {
        let over = self.processes.into_iter().map(|(event, began, process)| {
            let ended = process.join();
            let (output, ended) = ended.unwrap_or_else(|_| panic!("{event:?} hangs"));
            Over {
                event,
                began,
                ended,
                output,
            }
        });
        let over = over.collect();
        let (mut good, mut all) = (0, 0);
        for (event, task) in self.streams {
            let end = runtime.block_on(task);
            let end = end.unwrap_or_else(|panic| panic!("{event:?}: {panic}"));
            if let Err(status) = &end {
                assert!(is_of_the_line(&event, status), "{event:?}: {status:?}");
            }
            (good, all) = (good + usize::from(end.is_ok()), all + 1);
        }
        println!("soak: {good} of {all} streams ended well");
        over
    }
}

/// A connection on a line that is reset breaks, and one on a line that is frozen may be given up.
fn is_of_the_line(event: &Event, status: &Status) -> bool {
    let breaks = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled
    );
    let broke = breaks || status.message().contains("h2 protocol error");
    event.line > 0 && (broke || status.code() == Code::DeadlineExceeded)
}
