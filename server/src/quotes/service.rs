//! The service `StockTicker`: live quotes for the symbols that a client asks for.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::fin::{TickerRequest, stock_ticker_server::StockTicker};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    exchange::{Exchange, TradeSource},
    stream::{self as quote_stream, QuoteStream},
};
use crate::transport::{Contained, Permits};

/// The most ticker streams at once.
const MAX_STREAMS: usize = 16_384;

/// How the ticker behaves.
#[derive(Debug, Clone)]
pub struct TickerConfig {
    /// Where the trades come from.
    pub trades: TradeSource,
    /// Whether to send as the lab's server does: five updates for each request, two seconds apart,
    /// request after request, and after a half-close the end.
    pub lab: bool,
    /// A stream that has asked for nothing after so long is ended.
    pub idle_timeout: Duration,
}

/// The service; cheap to clone, all clones are one exchange.
#[derive(Debug, Clone)]
pub struct StockTickerService {
    exchange: Arc<Exchange>,
    lab: bool,
    idle_timeout: Duration,
    permits: Arc<Permits>,
    streams: Arc<AtomicU64>,
    shutdown: watch::Receiver<Option<String>>,
}

impl StockTickerService {
    /// Opens the exchange now. Once `shutdown` holds a reason, streams end with `UNAVAILABLE` and
    /// that reason.
    pub fn new(config: TickerConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            exchange: Arc::new(Exchange::open(config.trades)),
            lab: config.lab,
            idle_timeout: config.idle_timeout,
            permits: Permits::new("ticker streams", "", MAX_STREAMS),
            streams: Arc::default(),
            shutdown,
        }
    }

    /// The exchange that all streams read.
    pub fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    fn open<R>(
        &self,
        peer: Option<SocketAddr>,
        requests: R,
    ) -> Result<Contained<QuoteStream>, Status>
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin + 'static,
    {
        let permit = self.permits.take(peer.map(|addr| addr.ip()))?;
        let label = quote_stream::Label {
            number: self.streams.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
        };
        let terms = quote_stream::Terms {
            lab: self.lab,
            idle_timeout: self.idle_timeout,
            shutdown: self.shutdown.clone(),
            permit,
        };
        let exchange = Arc::clone(&self.exchange);
        Ok(quote_stream::open(label, exchange, terms, requests))
    }
}

#[tonic::async_trait]
impl StockTicker for StockTickerService {
    type SubscribeToStockUpdatesStream = Contained<QuoteStream>;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Self::SubscribeToStockUpdatesStream>, Status> {
        let quotes = self.open(request.remote_addr(), request.into_inner())?;
        Ok(Response::new(quotes))
    }
}

#[cfg(test)]
mod tests;
