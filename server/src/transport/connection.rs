//! One connection: HTTP/2 on a socket, within limits of memory and of what wears us out.

use std::{
    convert::Infallible,
    error::Error,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tonic::{
    codegen::{Service, http},
    service::Routes,
    transport::server::TcpConnectInfo,
};
use tracing::{debug, warn};

use super::{
    admission::Admitted,
    conduct::{FORGIVEN_AFTER, MAX_ENDS},
    frames::MAX_FRAMES,
    open_streams::{Counted, OpenStreams},
    socket::Socket,
    turn::{Pouring, Turn},
};

/// What one stream may have in flight unread: a second of anything we carry.
const STREAM_WINDOW: u32 = 64 * 1_024;

/// What is kept for a stream whose peer takes nothing, beside the one piece that is handed over at
/// a time. It bounds memory, not pace: the kernel's own buffer comes after it.
const SEND_BUFFER_BYTES: usize = 16 * 1_024;

/// A peer that is gone without a word is noticed after the interval and the timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams that are refused, beyond what a peer was told it may have, before its connection is ended.
/// HTTP/2 counts them, and other errors of streams, for as long as the connection lives.
const MAX_REFUSED_STREAMS: usize = 1_024;

/// What the connections of an address on probation wait before they are served, and what part of the
/// usual floods of frames and refused streams they may send. A program that calls notices the first
/// and not the second; whoever floods on one connection after the other has one a second.
const PROBATION_WAIT: Duration = Duration::from_secs(1);
const PROBATION_PART: u32 = 10;

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

/// What this one may have: its part of what its address may.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// What may wait unread, in bytes.
    window: u32,
    max_streams: u32,
    /// Control frames at once, and each second.
    max_frames: u32,
    max_refused_streams: usize,
    /// What it waits before it is served.
    wait: Duration,
}

impl Terms {
    fn of(admitted: &Admitted, limits: Limits) -> Self {
        let window = admitted.window();
        let (part, wait) = match admitted.is_on_probation() {
            true => (PROBATION_PART, PROBATION_WAIT),
            false => (1, Duration::ZERO),
        };
        Self {
            window,
            // Of so many the windows fit into the connection's.
            max_streams: limits.max_streams.min(window / STREAM_WINDOW).max(1),
            max_frames: MAX_FRAMES / part,
            max_refused_streams: MAX_REFUSED_STREAMS / part as usize,
            wait,
        }
    }
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
        let terms = Terms::of(&admitted, limits);
        if !terms.wait.is_zero() {
            let drained = stage.wait_for(|stage| *stage == DRAINING);
            if timeout(terms.wait, drained).await.is_ok() {
                return;
            }
        }
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
        let socket = TokioIo::new(Socket::new(
            tcp,
            terms.max_frames,
            admitted.frames(),
            Arc::clone(&polls),
        ));
        let mut serving = pin!(builder(terms).serve_connection(socket, service));
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
            let why = error.source().map(ToString::to_string);
            debug!(peer = %addr, why, "{error}");
            if is_misconduct(&error)
                && let Some(address) = admitted.misbehaved(Instant::now())
            {
                let wait = PROBATION_WAIT.as_secs();
                let quiet = FORGIVEN_AFTER.as_secs();
                warn!(
                    "{MAX_ENDS} connections of {address} were ended for floods of frames or streams: \
                     until there was none for {quiet} s, each new one is served after {wait} s, and may \
                     send a tenth of what others may"
                );
            }
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

/// Whether the connection was ended because its peer wore us out: by the budget of the socket, or by
/// one of HTTP/2's own.
fn is_misconduct(error: &hyper::Error) -> bool {
    let Some(source) = error.source() else {
        return false;
    };
    if let Some(error) = source.downcast_ref::<io::Error>() {
        return error.kind() == io::ErrorKind::InvalidData;
    }
    source.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    })
}

fn builder(terms: Terms) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(terms.window)
        // A stream counts until its last frame is with the kernel: this bounds answers that are
        // never read. Peers are told the number, and open another connection for more: a proxy that
        // fills its connections meets no refusal.
        .max_concurrent_streams(terms.max_streams)
        .max_local_error_reset_streams(terms.max_refused_streams)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}
