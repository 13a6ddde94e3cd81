//! A ticker whose every stream is played by the test: it reads the requests, sends what it likes and
//! ends the stream when it likes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::Duration,
};

use proto::fin::{
    Refusal, StockUpdate, Subscriptions, TickerAction, TickerRequest,
    stock_ticker_server::{StockTicker, StockTickerServer},
};
use tokio::sync::mpsc as tokio_mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::in_process::InProcess;

/// How long a client may take for anything; far more than it needs.
const LIMIT: Duration = Duration::from_secs(30);

/// The server, in this process. Gone when dropped, open streams and all.
pub struct ScriptedTicker {
    server: InProcess,
    streams_rx: mpsc::Receiver<TickerStream>,
    refusal: Arc<OnceLock<Status>>,
}

impl ScriptedTicker {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into())
    }

    /// Starts it at an address that one had before.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    pub fn start_on(addr: SocketAddr) -> Self {
        let (streams_tx, streams_rx) = mpsc::channel();
        let refusal = Arc::<OnceLock<Status>>::default();
        let service = Service {
            streams_tx: Mutex::new(streams_tx),
            refusal: Arc::clone(&refusal),
        };
        let router = Server::builder().add_service(StockTickerServer::new(service));
        Self {
            server: InProcess::start_on(addr, router),
            streams_rx,
            refusal,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// From now on no stream opens: each is answered with `status`. Open ones go on.
    ///
    /// # Panics
    ///
    /// When they are refused already.
    pub fn refuse_streams(&self, status: Status) {
        self.refusal.set(status).expect("they are refused once");
    }

    /// The next stream that a client opens.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn stream(&self) -> TickerStream {
        let stream = self.streams_rx.recv_timeout(LIMIT);
        stream.expect("a client opens a stream")
    }
}

/// One client's stream. Ends well when dropped.
pub struct TickerStream {
    requests_rx: mpsc::Receiver<TickerRequest>,
    updates_tx: tokio_mpsc::Sender<Result<StockUpdate, Status>>,
}

impl TickerStream {
    /// The next `count` requests in short: `+AAPL` subscribes, `-AAPL` unsubscribes, `AAPL` has no
    /// action.
    ///
    /// # Panics
    ///
    /// When they do not come.
    pub fn requests(&self, count: usize) -> Vec<String> {
        let mut requests = Vec::new();
        while requests.len() < count {
            let request = self.requests_rx.recv_timeout(LIMIT);
            let request =
                request.unwrap_or_else(|why| panic!("no request after {requests:?}: {why}"));
            let sign = match request.action() {
                TickerAction::Unspecified => "",
                TickerAction::Subscribe => "+",
                TickerAction::Unsubscribe => "-",
            };
            requests.push(format!("{sign}{}", request.ticker_symbol));
        }
        requests
    }

    /// Sends an update; waits while the client does not read.
    ///
    /// # Panics
    ///
    /// When the client is gone.
    pub fn send(&self, update: StockUpdate) {
        let sent = self.updates_tx.blocking_send(Ok(update));
        sent.expect("the client is there");
    }

    /// Sends a quote with the fields of the original contract.
    ///
    /// # Panics
    ///
    /// When the client is gone.
    pub fn quote(&self, symbol: &str, price: f64) {
        self.send(StockUpdate {
            ticker_symbol: symbol.to_owned(),
            current_price: price,
            price_change: 0.5,
            change_percent: 0.25,
            timestamp: 1_700_000_000,
            volume: 100,
            ..StockUpdate::default()
        });
    }

    /// Says, as only a newer server does, what came of requests: these were refused.
    ///
    /// # Panics
    ///
    /// When the client is gone.
    pub fn answer(&self, refused: &[&str], reason: &str) {
        let refusal = |symbol: &&str| Refusal {
            ticker_symbol: (*symbol).to_owned(),
            reason: reason.to_owned(),
        };
        self.send(StockUpdate {
            subscriptions: Some(Subscriptions {
                ticker_symbols: Vec::new(),
                refusals: refused.iter().map(refusal).collect(),
                ..Subscriptions::default()
            }),
            ..StockUpdate::default()
        });
    }

    /// Ends the stream with a status.
    ///
    /// # Panics
    ///
    /// When the client is gone.
    pub fn end(self, status: Status) {
        let sent = self.updates_tx.blocking_send(Err(status));
        sent.expect("the client is there");
    }
}

struct Service {
    streams_tx: Mutex<mpsc::Sender<TickerStream>>,
    refusal: Arc<OnceLock<Status>>,
}

#[tonic::async_trait]
impl StockTicker for Service {
    type SubscribeToStockUpdatesStream = ReceiverStream<Result<StockUpdate, Status>>;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Self::SubscribeToStockUpdatesStream>, Status> {
        if let Some(status) = self.refusal.get() {
            return Err(status.clone());
        }
        let (updates_tx, updates_rx) = tokio_mpsc::channel(1);
        let (requests_tx, requests_rx) = mpsc::channel();
        let mut requests = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                if requests_tx.send(request).is_err() {
                    return;
                }
            }
        });
        let stream = TickerStream {
            requests_rx,
            updates_tx,
        };
        let streams_tx = self.streams_tx.lock().expect("nobody panics with it");
        // A test that has ended plays no more streams.
        let _ = streams_tx.send(stream);
        Ok(Response::new(ReceiverStream::new(updates_rx)))
    }
}
