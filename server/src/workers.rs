//! The threads that carry the connections: one for each core, each with a runtime of its own.
//!
//! A connection and all its legs stay on one thread. So a chunk is read, processed and answered
//! without a hand-over between cores, which would cost as much again as the whole transport; and a
//! core that is busy with one chunk delays only the connections dealt to it.

use std::{
    io,
    net::{SocketAddr, TcpStream as StdTcpStream},
    thread,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{self, Handle},
    sync::{mpsc, watch},
    task::{JoinSet, yield_now},
    time::timeout,
};
use tonic::service::Routes;
use tracing::{error, warn};

use crate::transport::{Admitted, Connection, DRAINING, InTime, Limits, Pouring};

/// Connections that were accepted and not yet taken up by their thread.
const WAITING: usize = 1_024;

/// A thread that is busy looks for what has come in after so many turns of its tasks.
const TASKS_BETWEEN_LOOKS: u32 = 16;

/// In which tasks that were told to end do so: far more than there are hand-overs among them.
const TURNS_TO_END: u32 = 1_000;

/// A connection on its way to its thread.
#[derive(Debug)]
struct Dealt {
    tcp: StdTcpStream,
    addr: SocketAddr,
    admitted: Admitted,
}

/// Running threads. Those that still run are told to end when it is dropped, and not waited for.
pub(crate) struct Workers {
    connections: Vec<mpsc::Sender<Dealt>>,
    dealt: u64,
    draining: watch::Sender<bool>,
    /// Nobody listens to it any more: the end.
    ending: watch::Sender<()>,
    /// Closes when the last thread has ended.
    running: mpsc::Receiver<()>,
}

impl Workers {
    /// Starts a thread a core, each serving `routes`.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub(crate) fn start(routes: &Routes, limits: Limits) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let (alive, running) = mpsc::channel(1);
        let in_time = InTime::default();
        let mut workers = Self {
            connections: Vec::new(),
            dealt: 0,
            draining: watch::Sender::new(!DRAINING),
            ending: watch::Sender::new(()),
            running,
        };
        for index in 0..count {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(TASKS_BETWEEN_LOOKS)
                .build()?;
            let (connections_tx, connections) = mpsc::channel(WAITING);
            let worker = Worker {
                routes: routes.clone(),
                limits,
                pouring: Pouring::beside(in_time.clone()),
                draining: workers.draining.subscribe(),
            };
            let mut ending = workers.ending.subscribe();
            let alive = alive.clone();
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    runtime.block_on(async {
                        tokio::select! {
                            () = worker.serve(connections) => report_tasks_left().await,
                            // The only news there can be: its sender is gone.
                            _ = ending.changed() => {}
                        }
                    });
                    // Peers that never end their streams must not keep the thread.
                    runtime.shutdown_background();
                    drop(alive);
                })?;
            workers.connections.push(connections_tx);
        }
        Ok(workers)
    }

    /// Gives a new connection to the next thread in turn.
    pub(crate) async fn deal(&mut self, tcp: TcpStream, addr: SocketAddr, admitted: Admitted) {
        // Small answers must not wait for the acknowledgement of the one before.
        let prepared = tcp.set_nodelay(true).and_then(|()| tcp.into_std());
        let tcp = match prepared {
            Ok(tcp) => tcp,
            Err(error) => {
                return warn!(peer = %addr, "a connection was lost as it came: {error}");
            }
        };
        self.dealt += 1;
        let dealt = Dealt {
            tcp,
            addr,
            admitted,
        };
        let count = self.connections.len().max(1);
        let next = self.dealt as usize % count;
        if let Some(connections) = self.connections.get(next)
            && connections.send(dealt).await.is_err()
        {
            error!("a worker thread has ended; its connections are refused");
        }
    }

    /// No new streams from now on: each thread ends when its streams have.
    pub(crate) fn drain(&mut self) {
        self.connections.clear();
        self.draining.send_replace(DRAINING);
    }

    /// Returns when all threads have ended.
    pub(crate) async fn ended(&mut self) {
        // Nothing is ever sent: it closes with the last sender.
        let _ = self.running.recv().await;
    }

    /// Ends the threads with all that they carry, and waits for that no longer than this: one of
    /// them may be busy with something long.
    pub(crate) async fn end(self, patience: Duration) {
        let Self {
            ending,
            mut running,
            ..
        } = self;
        drop(ending);
        let _ = timeout(patience, running.recv()).await;
    }
}

/// What a thread runs.
struct Worker {
    routes: Routes,
    limits: Limits,
    pouring: Pouring,
    draining: watch::Receiver<bool>,
}

impl Worker {
    /// Serves connections until no more come, and these have ended.
    async fn serve(self, mut incoming: mpsc::Receiver<Dealt>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                dealt = incoming.recv() => match dealt {
                    Some(dealt) => self.begin(&mut connections, dealt),
                    None => break,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        while connections.join_next().await.is_some() {}
    }

    fn begin(&self, connections: &mut JoinSet<()>, dealt: Dealt) {
        let Dealt {
            tcp,
            addr,
            admitted,
        } = dealt;
        match TcpStream::from_std(tcp) {
            Ok(tcp) => {
                let connection = Connection {
                    tcp,
                    addr,
                    admitted,
                };
                let draining = self.draining.clone();
                connections.spawn(connection.serve(
                    self.routes.clone(),
                    self.limits,
                    self.pouring.clone(),
                    draining,
                ));
            }
            Err(error) => warn!(peer = %addr, "a connection was lost as it came: {error}"),
        }
    }
}

/// After the last connection: nothing of its streams should run any more. What was told to end needs a
/// few turns for that.
async fn report_tasks_left() {
    let metrics = Handle::current().metrics();
    for _ in 0..TURNS_TO_END {
        if metrics.num_alive_tasks() == 0 {
            return;
        }
        yield_now().await;
    }
    let tasks = metrics.num_alive_tasks();
    warn!(tasks, "tasks of streams did not end with their connections");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_a_busy_thread_no_longer_than_it_was_told_to() {
        let (_busy, running) = mpsc::channel(1);
        let workers = Workers {
            connections: Vec::new(),
            dealt: 0,
            draining: watch::Sender::new(!DRAINING),
            ending: watch::Sender::new(()),
            running,
        };
        let patience = Duration::from_millis(250);
        let ended = timeout(2 * patience, workers.end(patience)).await;
        assert!(ended.is_ok(), "it waits for a thread that does not end");
    }
}
