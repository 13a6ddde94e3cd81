//! Stopping and continuing: what Ctrl-Z, `fg` and `bg` do to a program that has drawn something.
//!
//! SIGTSTP is blocked on every thread but one, which waits for it: it lets whoever draws put the
//! screen away, and then has the process stopped by the signal itself. So the shell sees the stop
//! that it knows, and the system's rule holds that a job which no shell could continue is not
//! stopped.

#[cfg(unix)]
pub use unix::{JobEvents, Stopping, handle_stops, request_stop};

#[cfg(not(unix))]
pub use elsewhere::{JobEvents, Stopping, handle_stops, request_stop};

/// What happened to the job.
#[derive(Debug)]
pub enum JobEvent {
    /// It is to stop. Put away what is drawn, and then let it: [`Stopping::allow`].
    Stop(Stopping),
    /// It goes on, perhaps without having been asked before it stopped (SIGSTOP). Whoever had the
    /// terminal meanwhile may have left it in any state.
    Continued,
}

#[cfg(unix)]
mod unix {
    use std::{
        future::pending,
        io,
        sync::{Mutex, MutexGuard, PoisonError, mpsc as blocking},
        thread,
        time::Duration,
    };

    use nix::sys::signal::{SigSet, Signal, raise};
    use rustix::process::{Signal as Number, kill_current_process_group};
    use tokio::{
        signal::unix::{Signal as Stream, SignalKind, signal},
        sync::{
            mpsc,
            oneshot::{self, error::TryRecvError},
        },
    };

    use super::JobEvent;

    /// How long whoever draws may take to put the screen away before the process stops anyway.
    const PATIENCE: Duration = Duration::from_millis(700);

    static HANDLER: Mutex<Handler> = Mutex::new(Handler {
        is_running: false,
        listener: None,
    });

    struct Handler {
        is_running: bool,
        listener: Option<mpsc::Sender<Stopping>>,
    }

    fn handler() -> MutexGuard<'static, Handler> {
        HANDLER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on stops are told to [`JobEvents`] first. To be called in `main`, before there is
    /// another thread: a thread inherits which signals are blocked.
    ///
    /// Does nothing where stops are ignored, as by a program that was started so.
    pub fn handle_stops() {
        #[cfg(target_os = "linux")]
        if crate::signals::is_number_ignored(Number::TSTP.as_raw()) {
            return;
        }
        let mut stops = SigSet::empty();
        stops.add(Signal::SIGTSTP);
        if stops.thread_block().is_err() {
            return;
        }
        let thread = thread::Builder::new()
            .name("stops".to_owned())
            .spawn(move || wait_for_stops(stops));
        handler().is_running = thread.is_ok();
        if thread.is_err() {
            // Then they are not told, but they still stop.
            let _ = stops.thread_unblock();
        }
    }

    fn wait_for_stops(stops: SigSet) {
        loop {
            if stops.wait().is_err() {
                continue;
            }
            let (allow, allowed) = blocking::channel();
            let (over_tx, over) = oneshot::channel();
            let stopping = Stopping {
                allow: Some(allow),
                over,
            };
            // Taken out of the lock: whoever draws may be held up.
            let listener = handler().listener.clone();
            if let Some(listener) = listener
                && listener.try_send(stopping).is_ok()
            {
                // Dropping it allows it too.
                let _ = allowed.recv_timeout(PATIENCE);
            }
            stop(stops);
            let _ = over_tx.send(());
        }
    }

    /// Stops the process, and returns when it goes on; at once, where no shell could continue it.
    fn stop(stops: SigSet) {
        // Raised while it is blocked: together with others that wait it is one stop.
        let _ = raise(Signal::SIGTSTP);
        let _ = stops.thread_unblock();
        let _ = stops.thread_block();
    }

    /// Does what Ctrl-Z does, to the whole job. Nothing where [`handle_stops`] was not called: out of
    /// a terminal in raw mode nobody should be stopped.
    pub fn request_stop() {
        if handler().is_running {
            let _ = kill_current_process_group(Number::TSTP);
        }
    }

    /// A stop that waits for whoever draws.
    #[derive(Debug)]
    pub struct Stopping {
        allow: Option<blocking::Sender<()>>,
        over: oneshot::Receiver<()>,
    }

    impl Stopping {
        /// The screen is put away: the process may stop.
        pub fn allow(&mut self) {
            self.allow = None;
        }

        /// Whether the process goes on.
        pub fn is_over(&mut self) -> bool {
            !matches!(self.over.try_recv(), Err(TryRecvError::Empty))
        }

        /// Allows it, and returns when the process goes on.
        pub async fn over(mut self) {
            self.allow();
            let _ = self.over.await;
        }
    }

    /// Stops and continuations, for the one who draws. There is one at a time: the newest.
    #[derive(Debug)]
    pub struct JobEvents {
        stops: mpsc::Receiver<Stopping>,
        continued: Stream,
    }

    impl JobEvents {
        /// From now on.
        ///
        /// # Errors
        /// The system does not let us listen.
        pub fn listen() -> io::Result<Self> {
            // Its number is not the same everywhere.
            let continued = signal(SignalKind::from_raw(Number::CONT.as_raw()))?;
            let (stops_tx, stops) = mpsc::channel(1);
            handler().listener = Some(stops_tx);
            Ok(Self { stops, continued })
        }

        /// The next. May be dropped while it waits.
        pub async fn next(&mut self) -> JobEvent {
            tokio::select! {
                Some(stopping) = self.stops.recv() => JobEvent::Stop(stopping),
                Some(()) = self.continued.recv() => JobEvent::Continued,
                else => pending().await,
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::{future::pending, io};

    use super::JobEvent;

    /// Nothing: there are no stops.
    pub fn handle_stops() {}

    /// Nothing: there are no stops.
    pub fn request_stop() {}

    /// There is none.
    #[derive(Debug)]
    pub struct Stopping(std::convert::Infallible);

    impl Stopping {
        /// Never called.
        pub fn allow(&mut self) {}

        /// Never called.
        pub fn is_over(&mut self) -> bool {
            true
        }

        /// Never called.
        pub async fn over(self) {}
    }

    /// There are none.
    #[derive(Debug)]
    pub struct JobEvents(());

    impl JobEvents {
        /// From now on.
        ///
        /// # Errors
        /// None.
        pub fn listen() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// Never returns.
        pub async fn next(&mut self) -> JobEvent {
            pending().await
        }
    }
}
