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
    runtime::{self, Handle, Runtime},
    sync::{mpsc, watch},
    task::{JoinSet, yield_now},
    time::timeout,
};
use tonic::service::Routes;
use tracing::{error, info, warn};

use super::{Admitted, Connection, DRAINING, InTime, Limits, Pouring};

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

/// No thread is left that could take a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no worker thread is left to serve connections; start the server again")]
pub(crate) struct NoWorkers;

/// Running threads. Those that still run are told to end when it is dropped, and not waited for.
pub(crate) struct Workers {
    /// Who was dealt to the longest ago comes first.
    connections: Vec<mpsc::Sender<Dealt>>,
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
            draining: watch::Sender::new(!DRAINING),
            ending: watch::Sender::new(()),
            running,
        };
        for index in 0..count {
            let name = format!("worker-{index}");
            let runtime = new_runtime()?;
            let (connections_tx, connections) = mpsc::channel(WAITING);
            let worker = Worker {
                routes: routes.clone(),
                limits,
                pouring: Pouring::beside(in_time.clone()),
                draining: workers.draining.subscribe(),
            };
            let ending = workers.ending.subscribe();
            let alive = alive.clone();
            thread::Builder::new().name(name.clone()).spawn(move || {
                worker.run(&name, runtime, connections, ending);
                drop(alive);
            })?;
            workers.connections.push(connections_tx);
        }
        Ok(workers)
    }

    /// Gives a new connection to the next thread in turn; but none to one that has not taken up what
    /// it was given before, while another has: it may be stuck.
    ///
    /// # Errors
    /// None lives.
    pub(crate) async fn deal(
        &mut self,
        tcp: TcpStream,
        addr: SocketAddr,
        admitted: Admitted,
    ) -> Result<(), NoWorkers> {
        // Small answers must not wait for the acknowledgement of the one before.
        let prepared = tcp.set_nodelay(true).and_then(|()| tcp.into_std());
        let tcp = match prepared {
            Ok(tcp) => tcp,
            Err(error) => {
                warn!(peer = %addr, "a connection was lost as it came: {error}");
                return Ok(());
            }
        };
        let mut dealt = Dealt {
            tcp,
            addr,
            admitted,
        };
        loop {
            self.connections.retain(|worker| !worker.is_closed());
            let waiting = |worker: &mpsc::Sender<Dealt>| worker.max_capacity() - worker.capacity();
            let workers = self.connections.iter().enumerate();
            let Some((next, _)) = workers.min_by_key(|(_, worker)| waiting(worker)) else {
                return Err(NoWorkers);
            };
            let worker = self.connections.remove(next);
            self.connections.push(worker.clone());
            match worker.send(dealt).await {
                Ok(()) => return Ok(()),
                Err(undealt) => dealt = undealt.0,
            }
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
    /// Serves connections until no more come, and these have ended, or until it is told to end. A
    /// panic outside the connections' own tasks ends those that it has, and no others: it begins anew
    /// with the next.
    fn run(
        &self,
        name: &str,
        mut runtime: Runtime,
        mut connections: mpsc::Receiver<Dealt>,
        mut ending: watch::Receiver<()>,
    ) {
        loop {
            let served = output::contain(|| {
                runtime.block_on(async {
                    tokio::select! {
                        () = self.serve(&mut connections) => report_tasks_left().await,
                        // The only news there can be: its sender is gone.
                        _ = ending.changed() => {}
                    }
                });
            });
            // Peers that never end their streams must not keep the thread.
            runtime.shutdown_background();
            let Err(words) = served else { return };
            error!("a fault ended all connections of {name}: {words}");
            runtime = match new_runtime() {
                Ok(runtime) => runtime,
                Err(error) => return error!("{name} is not started again: {error}"),
            };
            info!("{name} is started again");
        }
    }

    async fn serve(&self, incoming: &mut mpsc::Receiver<Dealt>) {
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
        #[cfg(test)]
        crate::transport::fault::forced::at(
            crate::transport::fault::forced::IN_WORKER,
            &addr.ip().to_string(),
        );
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

fn new_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_LOOKS)
        .build()
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
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;
    use crate::transport::Admission;

    fn workers(connections: Vec<mpsc::Sender<Dealt>>, running: mpsc::Receiver<()>) -> Workers {
        Workers {
            connections,
            draining: watch::Sender::new(!DRAINING),
            ending: watch::Sender::new(()),
            running,
        }
    }

    /// Far more than anything here needs.
    const LIMIT: Duration = Duration::from_secs(20);

    /// Connections of strangers.
    struct Strangers {
        listener: TcpListener,
        admission: Admission,
    }

    impl Strangers {
        async fn new() -> Self {
            Self {
                listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                admission: Admission::new(1_024, 1 << 30),
            }
        }

        async fn deal(&self, workers: &mut Workers) -> Result<(), NoWorkers> {
            let tcp = TcpStream::connect(self.listener.local_addr().unwrap()).await;
            let tcp = tcp.unwrap();
            let addr = tcp.local_addr().unwrap();
            let admitted = self.admission.admit(addr.ip(), Instant::now()).unwrap();
            let dealt = workers.deal(tcp, addr, admitted);
            timeout(LIMIT, dealt).await.expect("it waits for a thread")
        }
    }

    #[tokio::test]
    async fn a_connection_is_dealt_to_a_thread_that_lives_and_none_is_an_error() {
        let strangers = Strangers::new().await;
        let (alive, mut taken) = mpsc::channel(16);
        let dead = || mpsc::channel(1).0;
        let mut workers = workers(vec![dead(), alive, dead()], mpsc::channel(1).1);
        for is_taken in [true, true, true, false] {
            if !is_taken {
                taken.close();
            }
            assert_eq!(strangers.deal(&mut workers).await.is_ok(), is_taken);
            assert_eq!(taken.try_recv().is_ok(), is_taken);
        }
    }

    #[tokio::test]
    async fn connections_are_dealt_in_turn_and_only_one_to_a_thread_that_is_stuck() {
        for is_stuck in [false, true] {
            let strangers = Strangers::new().await;
            let (senders, mut threads): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel(4)).unzip();
            let mut workers = workers(senders, mpsc::channel(1).1);
            let mut taken = [0; 3];
            for _ in 0..60 {
                strangers.deal(&mut workers).await.unwrap();
                let takers = threads.iter_mut().zip(&mut taken);
                for (thread, taken) in takers.skip(usize::from(is_stuck)) {
                    *taken += usize::from(thread.try_recv().is_ok());
                }
            }
            let waiting = threads[0].len();
            match is_stuck {
                false => assert_eq!((taken, waiting), ([20, 20, 20], 0)),
                true => {
                    assert_eq!((taken[0], waiting), (0, 1));
                    assert!(taken[1].abs_diff(taken[2]) <= 1, "{taken:?}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_a_busy_thread_no_longer_than_it_was_told_to() {
        let (_busy, running) = mpsc::channel(1);
        let workers = workers(Vec::new(), running);
        let patience = Duration::from_millis(250);
        let ended = timeout(2 * patience, workers.end(patience)).await;
        assert!(ended.is_ok(), "it waits for a thread that does not end");
    }
}
