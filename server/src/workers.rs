//! The threads that carry the connections: one for each core, each with a runtime of its own.
//!
//! A connection and all its legs stay on one thread. So a chunk is read, processed and answered
//! without a hand-over between cores, which would cost as much again as the whole transport; and a
//! core that is busy with one chunk delays only the connections dealt to it.

use std::{
    io,
    net::TcpStream as StdTcpStream,
    thread::{self, JoinHandle},
};

use futures_util::stream::StreamExt;
use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Router;
use tracing::{error, warn};

/// Connections that were accepted and not yet taken up by their thread.
const WAITING: usize = 1_024;

/// What the threads are told, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Serving,
    /// No new streams; end when those in flight have.
    Draining,
    /// End now.
    Ending,
}

/// Running threads; those that still run are ended when it is dropped.
pub(crate) struct Workers {
    connections: Vec<mpsc::Sender<StdTcpStream>>,
    next: usize,
    stage: watch::Sender<Stage>,
    /// Closes when the last thread has ended.
    running: mpsc::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts a thread a core, each serving a router that `router` makes for it.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub(crate) fn start(router: impl Fn() -> Router) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let stage = watch::Sender::new(Stage::Serving);
        let (alive, running) = mpsc::channel(1);
        let mut workers = Self {
            connections: Vec::new(),
            next: 0,
            stage,
            running,
            threads: Vec::new(),
        };
        for index in 0..count {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (connections_tx, connections) = mpsc::channel(WAITING);
            let served = serve(router(), connections, workers.stage.subscribe());
            let alive = alive.clone();
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    runtime.block_on(served);
                    // Peers that never end their streams must not keep the thread.
                    runtime.shutdown_background();
                    drop(alive);
                })?;
            workers.connections.push(connections_tx);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Gives a new connection to the next thread in turn.
    pub(crate) async fn deal(&mut self, connection: TcpStream) {
        let peer = connection.peer_addr();
        // Small answers must not wait for the acknowledgement of the one before.
        let prepared = connection
            .set_nodelay(true)
            .and_then(|()| connection.into_std());
        let connection = match prepared {
            Ok(connection) => connection,
            Err(error) => {
                let peer = peer.map_or_else(|_| "unknown".to_owned(), |peer| peer.to_string());
                return warn!(peer, "a connection was lost as it came: {error}");
            }
        };
        self.next = (self.next + 1) % self.connections.len();
        if self.connections[self.next].send(connection).await.is_err() {
            error!("a worker thread has ended; its connections are refused");
        }
    }

    /// No new streams from now on: each thread ends when its streams have.
    pub(crate) fn drain(&mut self) {
        self.connections.clear();
        self.stage.send_replace(Stage::Draining);
    }

    /// Returns when all threads have ended.
    pub(crate) async fn ended(&mut self) {
        // Nothing is ever sent: it closes with the last sender.
        let _ = self.running.recv().await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Ending);
        for thread in self.threads.drain(..) {
            // A panic was already printed.
            let _ = thread.join();
        }
    }
}

async fn serve(
    router: Router,
    connections: mpsc::Receiver<StdTcpStream>,
    stage: watch::Receiver<Stage>,
) {
    let incoming = ReceiverStream::new(connections).map(TcpStream::from_std);
    let serving =
        router.serve_with_incoming_shutdown(incoming, reached(stage.clone(), Stage::Draining));
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                error!("the transport failed: {error}");
            }
        }
        () = reached(stage, Stage::Ending) => {}
    }
}

async fn reached(mut stage: watch::Receiver<Stage>, wanted: Stage) {
    // An error means that the sender is gone, and so is the reason to serve.
    let _ = stage.wait_for(|stage| *stage >= wanted).await;
}
