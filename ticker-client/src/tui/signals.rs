//! What the system asks of a program that has the terminal: to end, or to stand back for a while.

use std::io;

use tty::{EndSignal, JobEvent, JobEvents, SignalListener};

/// What was asked.
#[derive(Debug)]
pub(super) enum Told {
    /// To end.
    End,
    /// To stop, or it was stopped and goes on.
    Job(JobEvent),
}

pub(super) struct Signals {
    /// From elsewhere: Ctrl-C is a key here.
    interrupt: SignalListener,
    terminate: SignalListener,
    hang_up: SignalListener,
    job: JobEvents,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: SignalListener::new(EndSignal::Interrupt)?,
            terminate: SignalListener::new(EndSignal::Terminate)?,
            hang_up: SignalListener::new(EndSignal::HangUp)?,
            job: JobEvents::listen()?,
        })
    }

    /// The next that is asked. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            () = self.interrupt.recv() => Told::End,
            () = self.terminate.recv() => Told::End,
            () = self.hang_up.recv() => Told::End,
            event = self.job.next() => Told::Job(event),
        }
    }
}
