//! Streams of the service without a network, on a paused clock; each file is about one thing.

mod actions;
mod ends;
mod lab;
mod not_listed;
mod quotes;
mod tape;

use std::time::Duration;

use proto::fin::{StockUpdate, TickerAction};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::StreamExt;
use tonic::Code;

use super::*;
use crate::quotes::{
    exchange::{Replay, StockTape},
    request_rate::{MAX_REQUESTS_A_SECOND, MAX_REQUESTS_AT_ONCE},
    subscriptions::MAX_SYMBOLS,
};

const TICK: Duration = Duration::from_secs(1);

/// For the first request.
const IDLE: Duration = Duration::from_secs(60);

/// A stream without a network, its service, and the switch that stops the server.
struct Client {
    requests_tx: Option<mpsc::UnboundedSender<Result<TickerRequest, Status>>>,
    updates_rx: Contained<QuoteStream>,
    shutdown_tx: watch::Sender<Option<String>>,
    service: StockTickerService,
}

impl Client {
    fn start(lab: bool) -> Self {
        Self::on(simulated(TICK), lab)
    }

    fn on(trades: TradeSource, lab: bool) -> Self {
        let config = TickerConfig {
            trades,
            lab,
            idle_timeout: IDLE,
        };
        let (shutdown_tx, shutdown) = watch::channel(None);
        let service = StockTickerService::new(config, shutdown);
        let (requests_tx, updates_rx) = open(&service);
        Self {
            requests_tx: Some(requests_tx),
            updates_rx,
            shutdown_tx,
            service,
        }
    }

    fn ask(&self, symbol: &str) {
        let requests_tx = self.requests_tx.as_ref().expect("not half-closed");
        requests_tx.send(request(symbol)).expect("the stream runs");
    }

    fn act(&self, action: TickerAction, symbol: &str) {
        let requests_tx = self.requests_tx.as_ref().expect("not half-closed");
        let request = TickerRequest {
            ticker_symbol: symbol.to_owned(),
            action: action as i32,
        };
        requests_tx.send(Ok(request)).expect("the stream runs");
    }

    fn half_close(&mut self) {
        self.requests_tx = None;
    }

    /// The next item; the paused clock jumps to it, at most an hour.
    async fn next(&mut self) -> Option<Result<StockUpdate, Status>> {
        timeout(Duration::from_secs(3_600), self.updates_rx.next())
            .await
            .expect("the stream hangs")
    }

    async fn update(&mut self) -> StockUpdate {
        self.next().await.expect("an update").expect("no error")
    }

    async fn symbols(&mut self, count: usize) -> Vec<String> {
        let mut symbols = Vec::new();
        for _ in 0..count {
            symbols.push(self.update().await.ticker_symbol);
        }
        symbols
    }

    /// The next answer: the symbols, and what was refused. Updates before it are passed over.
    async fn answer(&mut self) -> (Vec<String>, Vec<(String, String)>) {
        loop {
            if let Some(answer) = self.update().await.subscriptions {
                let refusals = answer.refusals.into_iter();
                let refusals = refusals.map(|refusal| (refusal.ticker_symbol, refusal.reason));
                return (answer.ticker_symbols, refusals.collect());
            }
        }
    }

    async fn refusal(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await.expect("a status") {
                assert!(self.next().await.is_none(), "nothing follows a status");
                return status;
            }
        }
    }
}

fn simulated(tick: Duration) -> TradeSource {
    TradeSource::Simulated {
        seed: 1,
        tick,
        any_symbol: true,
    }
}

/// A market that lists what it trades.
fn listed() -> TradeSource {
    TradeSource::Simulated {
        seed: 1,
        tick: TICK,
        any_symbol: false,
    }
}

fn replay(text: &str) -> Replay {
    Replay {
        tape: Arc::new(StockTape::from_text(text)),
        waits: false,
        loops: false,
    }
}

fn recorded(text: &str) -> TradeSource {
    TradeSource::Recorded(replay(text))
}

type Opened = (
    mpsc::UnboundedSender<Result<TickerRequest, Status>>,
    Contained<QuoteStream>,
);

fn open(service: &StockTickerService) -> Opened {
    let (requests_tx, requests_rx) = mpsc::unbounded_channel();
    let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(requests_rx);
    let quotes = service.open(None, requests).expect("a place");
    (requests_tx, quotes)
}

fn request(symbol: &str) -> Result<TickerRequest, Status> {
    Ok(TickerRequest {
        ticker_symbol: symbol.to_owned(),
        ..TickerRequest::default()
    })
}
