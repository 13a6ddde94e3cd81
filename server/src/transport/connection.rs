//! One connection: HTTP/2 on a socket, within limits of memory.

use std::{
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
    socket::Socket,
    turn::{Pouring, Turn},
};

/// What one stream may have in flight unread: a second of anything we carry.
const STREAM_WINDOW: u32 = 64 * 1_024;

/// A permission, not memory: what waits unread is bounded by the streams' windows. HTTP/2 allows a
/// connection half of this in small unread frames, each charged as 256 bytes less its own, and ends
/// it beyond that. Legs that number their chunks are always read; of those that are held because
/// they do not read, each can leave a window of the smallest frames there are (13,107 of 5 bytes,
/// charged 3.3 MB). So a connection bears eighty of these, or five hundred that send 20 bytes a
/// chunk.
const CONNECTION_WINDOW: u32 = 512 * 1_024 * 1_024;

/// What is kept for a stream whose peer takes nothing, beside the one piece that is handed over at
/// a time. It bounds memory, not pace: the kernel's own buffer comes after it.
const SEND_BUFFER_BYTES: usize = 16 * 1_024;

/// Streams that are neither legs nor quotes: health, reflection.
const OTHER_STREAMS: u32 = 64;

/// A peer that is gone without a word is noticed after the interval and the timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one connection may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Legs at once, and as many ticker streams.
    pub(crate) max_streams: u32,
}

/// Whose request it is. With each request, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    /// Connections count from 1.
    pub(crate) connection: u64,
    /// Streams of one kind that this connection may have at once.
    pub(crate) max_streams: usize,
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tcp: TcpStream,
    pub(crate) addr: SocketAddr,
    pub(crate) number: u64,
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
            number,
            admitted,
        } = self;
        let info = TcpConnectInfo {
            local_addr: tcp.local_addr().ok(),
            remote_addr: Some(addr),
        };
        let peer = Peer {
            addr,
            connection: number,
            max_streams: limits.max_streams as usize,
        };
        let turn = Turn::on(pouring);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(info.clone());
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(turn.clone());
            routes.clone().call(request)
        });
        let polls = Arc::<AtomicU64>::default();
        let socket = TokioIo::new(Socket::new(tcp, Arc::clone(&polls)));
        let mut serving = pin!(builder(limits).serve_connection(socket, service));
        let drained = async {
            // An error means that whoever could say it is gone.
            let _ = stage.wait_for(|stage| *stage == DRAINING).await;
        };
        let served = tokio::select! {
            served = counted(&polls, serving.as_mut()) => served,
            () = drained => {
                serving.as_mut().graceful_shutdown();
                counted(&polls, serving).await
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
        // never read. It leaves room for a status that says that there are too many.
        .max_concurrent_streams(
            limits
                .max_streams
                .saturating_mul(2)
                .saturating_add(OTHER_STREAMS),
        )
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
