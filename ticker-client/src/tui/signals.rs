//! What the system asks of a program that has the terminal: to end, or to stand back for a while.

#[cfg(unix)]
pub(super) use unix::Signals;

#[cfg(not(unix))]
pub(super) use elsewhere::Signals;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// To end.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no such signals"))]
    End,
    /// It was stopped for a while, and goes on.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no such signals"))]
    Continued,
}

#[cfg(unix)]
mod unix {
    use std::{io, time::Duration};

    use rustix::process::{Signal as Sent, kill_current_process_group};
    use tokio::{
        signal::unix::{Signal, SignalKind, signal},
        time::timeout,
    };

    use super::Told;

    /// How long a stop may take to come. It does not come at all where there is no shell that could
    /// end it.
    const STOP: Duration = Duration::from_millis(200);

    pub(in super::super) struct Signals {
        terminate: Signal,
        hang_up: Signal,
        go_on: Signal,
    }

    impl Signals {
        pub(in super::super) fn listen() -> io::Result<Self> {
            // SIGCONT, whose number is not the same everywhere.
            let go_on = SignalKind::from_raw(Sent::CONT.as_raw());
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
                go_on: signal(go_on)?,
            })
        }

        /// The next that is asked. May be dropped while it waits.
        pub(in super::super) async fn next(&mut self) -> Told {
            tokio::select! {
                _ = self.terminate.recv() => Told::End,
                _ = self.hang_up.recv() => Told::End,
                _ = self.go_on.recv() => Told::Continued,
            }
        }

        /// Does what Ctrl-Z does, to the whole job, and returns when the shell lets it go on.
        pub(in super::super) async fn suspend(&mut self) {
            if kill_current_process_group(Sent::TSTP).is_ok() {
                let _ = timeout(STOP, self.go_on.recv()).await;
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::io;

    use super::Told;

    pub(in super::super) struct Signals;

    impl Signals {
        pub(in super::super) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in super::super) async fn next(&mut self) -> Told {
            std::future::pending().await
        }

        pub(in super::super) async fn suspend(&mut self) {}
    }
}
