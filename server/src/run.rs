//! Runs both services on the caller's listeners until the caller's shutdown, and then stops in
//! time whatever clients do.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::stream::{StreamExt, select_all};
use proto::{
    callcenter::call_center_server::{CallCenterServer, SERVICE_NAME as CALL_CENTER},
    fin::stock_ticker_server::{SERVICE_NAME as STOCK_TICKER, StockTickerServer},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Status,
    service::{Routes, interceptor::InterceptedService},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::{info, warn};

use crate::{
    MAX_MESSAGE_BYTES,
    calls::{CallCenterConfig, CallCenterService},
    quotes::{StockTickerService, TickerConfig},
    transport::{Admission, Limits, LogLimit, NoWorkers, Workers, check_encoding, turn_away},
};

/// What the last words to the peers may take once their streams were ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the threads may take to let go of everything, after that.
const CLEARING_UP: Duration = Duration::from_millis(250);

/// Connections that are told at once why they are refused. Each keeps its descriptor until it has
/// heard that.
const MAX_TURNED_AWAY: usize = 16;

/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The largest question of health or reflection.
const MAX_QUERY_BYTES: usize = 1_024;

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
    /// Streams that one connection may have at once, of any kind.
    pub max_streams_per_connection: u32,
    /// Connections that one address may have at once.
    pub max_connections_per_address: u32,
    /// Bytes that unread requests of one address may take.
    pub max_memory_per_address: u64,
    /// How long a connection may be without a stream.
    pub idle_timeout: Duration,
}

/// Serves on `listeners` until `shutdown` comes, then stops: no new streams and health NOT_SERVING
/// at once, streams in flight end with UNAVAILABLE after [`Config::drain`], and no client can hold
/// it up for longer than half a second more.
///
/// # Errors
/// The transport failed, reflection could not be set up, or no worker thread is left.
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
    let if_acceptable = {
        let draining = Arc::clone(&draining);
        move |request: Request<()>| {
            check_encoding(request.metadata())?;
            match draining.load(Ordering::Relaxed) {
                true => Err(Status::unavailable(STOPPING)),
                false => Ok(request),
            }
        }
    };
    let calls = CallCenterService::new(config.call_center, streams_end.clone());
    let quotes = StockTickerService::new(config.ticker, streams_end);
    let exchange = quotes.exchange();
    tokio::spawn(async move {
        exchange.tape_over().await;
        info!("the tape is over; the last prices stay");
    });
    let calls = CallCenterServer::new(calls).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let quotes = StockTickerServer::new(quotes).max_decoding_message_size(MAX_MESSAGE_BYTES);
    // Each names one thing, and what is not known is repeated.
    let health_service = health_service.max_decoding_message_size(MAX_QUERY_BYTES);
    let v1 = reflection().build_v1()?;
    let v1 = v1.max_decoding_message_size(MAX_QUERY_BYTES);
    let v1alpha = reflection().build_v1alpha()?;
    let v1alpha = v1alpha.max_decoding_message_size(MAX_QUERY_BYTES);
    let routes = Routes::new(InterceptedService::new(calls, if_acceptable.clone()))
        .add_service(InterceptedService::new(quotes, if_acceptable))
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha)
        .prepare();
    let limits = Limits {
        max_streams: config.max_streams_per_connection,
        idle_timeout: config.idle_timeout,
    };
    let mut workers = Workers::start(&routes, limits)?;
    let admission = Admission::new(
        config.max_connections_per_address as usize,
        config.max_memory_per_address,
    );

    let lost = tokio::select! {
        () = shutdown => None,
        lost = accept(listeners, &admission, &mut workers) => lost.err(),
    };
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
    workers.end(CLEARING_UP).await;
    info!("stopped");
    lost.map_or(Ok(()), |lost| Err(lost.into()))
}

/// Deals every new connection to the workers, for ever.
///
/// # Errors
/// There are none any more.
async fn accept(
    listeners: Vec<TcpListener>,
    admission: &Admission,
    workers: &mut Workers,
) -> Result<(), NoWorkers> {
    let mut incoming = select_all(listeners.into_iter().map(TcpListenerStream::new));
    let (mut refused, mut failed) = (LogLimit::default(), LogLimit::default());
    let mut turned_away = JoinSet::new();
    while let Some(connection) = incoming.next().await {
        let accepted = connection.map(|tcp| (tcp.peer_addr(), tcp));
        match accepted {
            // It was reset before it was accepted, and is nobody's any more.
            Ok((Err(_), _)) => {}
            Ok((Ok(addr), tcp)) => match admission.admit(addr.ip(), Instant::now()) {
                Ok(admitted) => workers.deal(tcp, addr, admitted).await?,
                Err(refusal) => {
                    if let Some(more) = refused.is_due(Instant::now()) {
                        warn!(more, "a connection is refused: {refusal}");
                    }
                    while turned_away.try_join_next().is_some() {}
                    // Beyond that they are closed without a word.
                    if turned_away.len() < MAX_TURNED_AWAY {
                        turned_away.spawn(async move {
                            turn_away(tcp, &refusal.to_string()).await;
                        });
                    }
                }
            },
            Err(error) => {
                // The peer gave up, or we have too many files open: the next may do better, and
                // until then nothing is gained by asking at once.
                if let Some(more) = failed.is_due(Instant::now()) {
                    warn!(more, "a connection could not be accepted: {error}");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    Ok(())
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
