//! Runs both services on the caller's listeners until the caller's shutdown, and then stops in
//! time whatever clients do.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::stream::{StreamExt, select_all};
use proto::{
    callcenter::call_center_server::{CallCenterServer, SERVICE_NAME as CALL_CENTER},
    fin::stock_ticker_server::{SERVICE_NAME as STOCK_TICKER, StockTickerServer},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::{info, warn};

use crate::{
    MAX_MESSAGE_BYTES,
    call_center::{CallCenterConfig, CallCenterService},
    ticker::{StockTickerService, TickerConfig},
    workers::Workers,
};

/// What one leg may have in flight unread: a second of anything we carry.
const STREAM_WINDOW: u32 = 64 * 1_024;

/// A permission, not memory: what waits unread is bounded by the streams' windows. HTTP/2 allows a
/// connection half of this in small unread frames, each charged as 256 bytes less its own, and ends
/// it beyond that. Legs that number their chunks are always read; of those that are held because
/// they do not read, each can leave a window of the smallest frames there are (13,107 of 5 bytes,
/// charged 3.3 MB). So a connection bears eighty of these, or five hundred that send 20 bytes a
/// chunk.
const CONNECTION_WINDOW: u32 = 512 * 1_024 * 1_024;

/// A peer that is gone without a word is noticed after the interval and the timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the last words to the peers may take once their streams were ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a peer is told whose stream we end, or do not take any more.
const STOPPING: &str = "the server is stopping; try again in a moment";

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Calls.
    pub call_center: CallCenterConfig,
    /// Quotes.
    pub ticker: TickerConfig,
    /// How long streams in flight may go on after the shutdown.
    pub drain: Duration,
}

/// Serves on `listeners` until `shutdown` comes, then stops: no new streams and health NOT_SERVING
/// at once, streams in flight end with UNAVAILABLE after [`Config::drain`], and no client can hold
/// it up for longer than half a second more.
///
/// # Errors
/// The transport failed, or reflection could not be set up.
pub async fn run(
    listeners: Vec<TcpListener>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (end_streams, streams_end) = watch::channel(None::<String>);
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;

    // A connection that is told to go away may still open streams until it has heard of it.
    let draining = Arc::new(AtomicBool::new(false));
    let unless_stopping = {
        let draining = Arc::clone(&draining);
        move |request: Request<()>| match draining.load(Ordering::Relaxed) {
            true => Err(Status::unavailable(STOPPING)),
            false => Ok(request),
        }
    };
    let calls = CallCenterService::new(config.call_center, streams_end.clone());
    let quotes = StockTickerService::new(config.ticker, streams_end);
    let calls = CallCenterServer::new(calls).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let quotes = StockTickerServer::new(quotes).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let mut workers = Workers::start(|| {
        Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(u32::MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .add_service(InterceptedService::new(
                calls.clone(),
                unless_stopping.clone(),
            ))
            .add_service(InterceptedService::new(
                quotes.clone(),
                unless_stopping.clone(),
            ))
            .add_service(health_service.clone())
            .add_service(v1.clone())
            .add_service(v1alpha.clone())
    })?;

    tokio::select! {
        () = shutdown => {}
        () = accept(listeners, &mut workers) => {}
    }
    draining.store(true, Ordering::Relaxed);
    info!(
        "stopping: no new streams; those in flight end within {}",
        humantime::format_duration(config.drain)
    );
    set_health(&health, ServingStatus::NotServing).await;
    workers.drain();
    if timeout(config.drain, workers.ended()).await.is_err() {
        end_streams.send_replace(Some(STOPPING.to_owned()));
        // A silent socket or a peer that reads nothing would hold it up for ever: what still runs
        // after this is ended with the workers.
        let _ = timeout(LAST_WORDS, workers.ended()).await;
    }
    drop(workers);
    info!("stopped");
    Ok(())
}

/// Deals every new connection to the workers, for ever.
async fn accept(listeners: Vec<TcpListener>, workers: &mut Workers) {
    let mut incoming = select_all(listeners.into_iter().map(TcpListenerStream::new));
    while let Some(connection) = incoming.next().await {
        match connection {
            Ok(connection) => workers.deal(connection).await,
            Err(error) => {
                // The peer gave up, or we have too many sockets open: the next may do better, and
                // until then nothing is gained by asking at once.
                warn!("a connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Of each service, and of the server as a whole, whose name is empty.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", CALL_CENTER, STOCK_TICKER] {
        health.set_service_status(service, status).await;
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
