//! A ticker whose quotes a test sets one by one, for what must be judged to the last character.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use proto::fin::{
    Refusal, StockUpdate, Subscriptions, TickerAction, TickerRequest,
    stock_ticker_server::{StockTicker, StockTickerServer},
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::in_process::InProcess;

/// What may wait for a reader; no test sets so many at once.
const QUEUE: usize = 1_000;

/// The server, in this process. Gone when dropped, as after a crash.
pub struct QuoteBoard {
    server: InProcess,
    shared: Arc<Shared>,
}

struct Shared {
    /// The newest quote of each symbol; what has none is answered when it gets one.
    quotes: Mutex<BTreeMap<String, StockUpdate>>,
    /// Symbols that are refused, and why.
    refused: Mutex<BTreeMap<String, String>>,
    news: broadcast::Sender<News>,
    requests: Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
enum News {
    Quote(Box<StockUpdate>),
    End(Status),
}

impl QuoteBoard {
    /// Starts it on a free port, with these quotes.
    pub fn start(quotes: impl IntoIterator<Item = StockUpdate>) -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into(), quotes)
    }

    /// The same on the address of one that is gone.
    pub fn start_on(addr: SocketAddr, quotes: impl IntoIterator<Item = StockUpdate>) -> Self {
        let quotes = quotes
            .into_iter()
            .map(|quote| (quote.ticker_symbol.clone(), quote));
        let shared = Arc::new(Shared {
            quotes: Mutex::new(quotes.collect()),
            refused: Mutex::default(),
            news: broadcast::channel(QUEUE).0,
            requests: Mutex::default(),
        });
        let service = StockTickerServer::new(Service(Arc::clone(&shared)));
        let router = Server::builder().add_service(service);
        Self {
            server: InProcess::start_on(addr, router),
            shared,
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// A new quote, for all who are subscribed to its symbol.
    pub fn set(&self, quote: StockUpdate) {
        let symbol = quote.ticker_symbol.clone();
        self.shared.quotes().insert(symbol, quote.clone());
        // Nobody listens: then it is the first that a later subscriber gets.
        let _ = self.shared.news.send(News::Quote(Box::new(quote)));
    }

    /// From now on this symbol is refused, for that reason.
    pub fn refuse(&self, symbol: &str, reason: &str) {
        let mut refused = self.shared.refused.lock().expect("no panic");
        refused.insert(symbol.to_owned(), reason.to_owned());
    }

    /// Ends all streams with a status.
    pub fn end(&self, status: Status) {
        let _ = self.shared.news.send(News::End(status));
    }

    /// All requests until now, of all streams: `+AAPL`, `-AAPL`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("no panic").clone()
    }
}

impl Shared {
    fn quotes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, StockUpdate>> {
        self.quotes.lock().expect("no panic")
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl StockTicker for Service {
    type SubscribeToStockUpdatesStream = ReceiverStream<Result<StockUpdate, Status>>;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Self::SubscribeToStockUpdatesStream>, Status> {
        let (updates_tx, updates_rx) = mpsc::channel(QUEUE);
        let stream = Stream {
            shared: Arc::clone(&self.0),
            subscribed: Vec::new(),
            updates_tx,
        };
        let news_rx = self.0.news.subscribe();
        tokio::spawn(stream.run(request.into_inner(), news_rx));
        Ok(Response::new(ReceiverStream::new(updates_rx)))
    }
}

struct Stream {
    shared: Arc<Shared>,
    subscribed: Vec<String>,
    updates_tx: mpsc::Sender<Result<StockUpdate, Status>>,
}

impl Stream {
    async fn run(
        mut self,
        mut requests: Streaming<TickerRequest>,
        mut news_rx: broadcast::Receiver<News>,
    ) {
        loop {
            let going_on = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.follow(request).await,
                    Ok(None) | Err(_) => return,
                },
                news = news_rx.recv() => match news {
                    Ok(News::Quote(quote)) if self.subscribed.contains(&quote.ticker_symbol) => {
                        self.updates_tx.send(Ok(*quote)).await.is_ok()
                    }
                    Ok(News::Quote(_)) => true,
                    Ok(News::End(status)) => {
                        let _ = self.updates_tx.send(Err(status)).await;
                        return;
                    }
                    Err(_) => return,
                },
            };
            if !going_on {
                return;
            }
        }
    }

    async fn follow(&mut self, request: TickerRequest) -> bool {
        let drops = request.action() == TickerAction::Unsubscribe;
        let symbol = request.ticker_symbol;
        let said = format!("{}{symbol}", if drops { '-' } else { '+' });
        self.shared.requests.lock().expect("no panic").push(said);
        let refused = {
            let refused = self.shared.refused.lock().expect("no panic");
            refused.get(&symbol).filter(|_| !drops).cloned()
        };
        let is_refused = refused.is_some();
        self.subscribed.retain(|subscribed| *subscribed != symbol);
        if !drops && !is_refused {
            self.subscribed.push(symbol.clone());
        }
        if request.action != 0 {
            let refusal = refused.map(|reason| Refusal {
                ticker_symbol: symbol.clone(),
                reason,
            });
            let answer = StockUpdate {
                subscriptions: Some(Subscriptions {
                    ticker_symbols: self.subscribed.clone(),
                    refusals: refusal.into_iter().collect(),
                }),
                ..StockUpdate::default()
            };
            if self.updates_tx.send(Ok(answer)).await.is_err() {
                return false;
            }
        }
        let quote = self.shared.quotes().get(&symbol).cloned();
        match quote {
            Some(quote) if !drops && !is_refused => self.updates_tx.send(Ok(quote)).await.is_ok(),
            _ => true,
        }
    }
}
