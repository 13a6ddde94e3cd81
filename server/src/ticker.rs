//! The service `StockTicker`: live quotes for the symbols that a client asks for.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use proto::fin::{TickerRequest, stock_ticker_server::StockTicker};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    exchange::{Exchange, Tape},
    quote_stream::{self, QuoteStream},
};

/// How the ticker behaves.
#[derive(Debug, Clone)]
pub struct TickerConfig {
    /// Where the trades come from.
    pub tape: Tape,
    /// Whether to send as the lab's server does: five updates for each request, two seconds apart,
    /// request after request, and after a half-close the end.
    pub lab: bool,
}

/// The service; cheap to clone, all clones are one exchange.
#[derive(Debug, Clone)]
pub struct StockTickerService {
    exchange: Arc<Exchange>,
    lab: bool,
    streams: Arc<AtomicU64>,
    shutdown: watch::Receiver<Option<String>>,
}

impl StockTickerService {
    /// Opens the exchange now. Once `shutdown` holds a reason, streams end with `UNAVAILABLE` and
    /// that reason.
    pub fn new(config: TickerConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            exchange: Arc::new(Exchange::open(config.tape)),
            lab: config.lab,
            streams: Arc::default(),
            shutdown,
        }
    }

    fn open<R>(&self, peer: Option<SocketAddr>, requests: R) -> QuoteStream
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin + 'static,
    {
        let label = quote_stream::Label {
            number: self.streams.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
        };
        let exchange = Arc::clone(&self.exchange);
        quote_stream::open(label, exchange, self.lab, self.shutdown.clone(), requests)
    }
}

#[tonic::async_trait]
impl StockTicker for StockTickerService {
    type SubscribeToStockUpdatesStream = QuoteStream;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<QuoteStream>, Status> {
        let peer = request.remote_addr();
        Ok(Response::new(self.open(peer, request.into_inner())))
    }
}

#[cfg(test)]
mod tests;
