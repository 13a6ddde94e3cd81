//! One connection: HTTP/2 on a socket, within limits of memory.

use std::{
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch};
use tonic::{
    codegen::{Service, http},
    service::Routes,
    transport::server::TcpConnectInfo,
};

use super::{
    admission::Admitted,
    open_streams::{Counted, OpenStreams},
    socket::Socket,
    turn::{Pouring, Turn},
};

/// What one stream may have in flight unread: a second of anything we carry.
const STREAM_WINDOW: u32 = 64 * 1_024;

/// A permission: what waits unread is bounded by the streams' windows. But HTTP/2 allows a
/// connection half of this in small unread frames, each charged as 256 bytes less its own, which is
/// what it costs, and ends the connection beyond that. Legs that number their chunks are always
/// read; a leg that is held because its peer does not read can leave a window full: in frames of 60
/// bytes (usual Opus) charged 190 KiB, of 20 bytes 560 KiB.
const CONNECTION_WINDOW: u32 = 64 * 1_024 * 1_024;

/// What is kept for a stream whose peer takes nothing, beside the one piece that is handed over at
/// a time. It bounds memory, not pace: the kernel's own buffer comes after it.
const SEND_BUFFER_BYTES: usize = 16 * 1_024;

/// A peer that is gone without a word is noticed after the interval and the timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a peer may take to hear a goodbye, while it has no stream. It need not answer it.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one connection may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Streams at once, of any kind.
    pub(crate) max_streams: u32,
    /// How long it may be without one. Whoever comes back to a connection that was told goodbye then
    /// opens another, which clients of gRPC do by themselves; pings keep none, or they would keep any.
    pub(crate) idle_timeout: Duration,
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tcp: TcpStream,
    pub(crate) addr: SocketAddr,
    pub(crate) admitted: Admitted,
}

/// The stage at which a connection takes no new streams.
pub(crate) const DRAINING: bool = true;

impl Connection {
    /// Serves it until it ends. Once `stage` is [`DRAINING`], it takes no new streams, and ends with
    /// its last.
    pub(crate) async fn serve(
        self,
        routes: Routes,
        limits: Limits,
        pouring: Pouring,
        mut stage: watch::Receiver<bool>,
    ) {
        let Self {
            tcp,
            addr,
            admitted,
        } = self;
        let info = TcpConnectInfo {
            local_addr: tcp.local_addr().ok(),
            remote_addr: Some(addr),
        };
        let turn = Turn::on(pouring);
        let streams = OpenStreams::new();
        let counting = streams.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            request.extensions_mut().insert(turn.clone());
            let open = counting.open();
            let answering = routes.clone().call(request);
            async move {
                let response = answering.await?;
                Ok::<_, Infallible>(response.map(|body| Counted::new(body, open)))
            }
        });
        let polls = Arc::<AtomicU64>::default();
        let socket = TokioIo::new(Socket::new(tcp, Arc::clone(&polls)));
        let mut serving = pin!(builder(limits).serve_connection(socket, service));
        let drained = async {
            // An error means that whoever could say it is gone.
            let _ = stage.wait_for(|stage| *stage == DRAINING).await;
        };
        let served = tokio::select! {
            served = counted(&polls, serving.as_mut()) => Some(served),
            () = drained => None,
            () = streams.idle_for(limits.idle_timeout) => None,
        };
        let served = match served {
            Some(served) => served,
            None => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    served = counted(&polls, serving) => served,
                    () = streams.idle_for(GOODBYE_TIMEOUT) => Ok(()),
                }
            }
        };
        if let Err(error) = served {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(peer = %addr, why, "{error}");
        }
        drop(admitted);
    }
}

/// The same future, its polls counted.
async fn counted<F: Future>(polls: &AtomicU64, mut future: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        future.as_mut().poll(cx)
    })
    .await
}

fn builder(limits: Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // A stream counts until its last frame is with the kernel: this bounds answers that are
        // never read. Peers are told the number, and open another connection for more: a proxy that
        // fills its connections meets no refusal.
        .max_concurrent_streams(limits.max_streams)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
