//! The service `StockTicker`: live quotes for the symbols that a client asks for.
//!
//! Each stream is one tokio task that always drains its requests and offers updates to a short
//! queue; what a slow reader does not take is skipped, so that it delays nobody and holds no
//! memory. All streams count the same ticks from the same moment, and the market is a function of
//! the tick: nothing is shared that anybody could wait for, and no task runs while nobody listens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{
    Symbol, SymbolError,
    fin::{StockUpdate, TickerRequest, stock_ticker_server::StockTicker},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    MAX_MESSAGE_BYTES,
    market::Market,
    subscriptions::{LabRequests, MAX_SYMBOLS, Subscriptions, TooManySymbols},
};

/// The shortest tick; a shorter one is made this long.
const MIN_TICK: Duration = Duration::from_millis(1);

/// Updates made ahead of the transport. What waits here and in the stream's window is what a slow
/// reader gets before the newest.
const QUEUE: usize = 16;

/// How the ticker behaves.
#[derive(Debug, Clone, Copy)]
pub struct TickerConfig {
    /// Time between two prices of a symbol, at least 1 ms.
    pub tick: Duration,
    /// What the market is made from.
    pub seed: u64,
    /// Whether to send as the lab's server does: five updates for each request, two seconds apart,
    /// request after request, and after a half-close the end.
    pub lab: bool,
}

/// The service; cheap to clone, all clones are one market.
#[derive(Debug, Clone)]
pub struct StockTickerService {
    exchange: Arc<Exchange>,
    streams: Arc<AtomicU64>,
    shutdown: watch::Receiver<Option<String>>,
}

/// What all streams have in common; it never changes.
#[derive(Debug)]
struct Exchange {
    market: Market,
    opened: Instant,
    tick: Duration,
    lab: bool,
}

impl StockTickerService {
    /// Opens the market now, at tick 0. Once `shutdown` holds a reason, streams end with
    /// `UNAVAILABLE` and that reason.
    pub fn new(config: TickerConfig, shutdown: watch::Receiver<Option<String>>) -> Self {
        Self {
            exchange: Arc::new(Exchange {
                market: Market::new(config.seed),
                opened: Instant::now(),
                tick: config.tick.max(MIN_TICK),
                lab: config.lab,
            }),
            streams: Arc::default(),
            shutdown,
        }
    }

    /// Starts a stream's task.
    fn open<R>(&self, requests: R) -> ReceiverStream<Result<StockUpdate, Status>>
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin + 'static,
    {
        let (updates_tx, updates_rx) = mpsc::channel(QUEUE);
        let task = StreamTask {
            id: self.streams.fetch_add(1, Ordering::Relaxed) + 1,
            plan: Plan::new(self.exchange.lab),
            exchange: Arc::clone(&self.exchange),
            shutdown: self.shutdown.clone(),
            symbols: 0,
            updates: 0,
        };
        tokio::spawn(task.run(requests, updates_tx));
        ReceiverStream::new(updates_rx)
    }
}

#[tonic::async_trait]
impl StockTicker for StockTickerService {
    type SubscribeToStockUpdatesStream = ReceiverStream<Result<StockUpdate, Status>>;

    async fn subscribe_to_stock_updates(
        &self,
        request: Request<Streaming<TickerRequest>>,
    ) -> Result<Response<Self::SubscribeToStockUpdatesStream>, Status> {
        Ok(Response::new(self.open(request.into_inner())))
    }
}

impl Exchange {
    /// Time since the market opened.
    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn tick_at(&self, now: Duration) -> u64 {
        u64::try_from(now.as_nanos() / self.tick.as_nanos()).unwrap_or(u64::MAX)
    }

    fn until_next_tick(&self, now: Duration) -> Duration {
        // The remainder is less than a tick; a tick of more than 584 years may be cut short.
        let since = now.as_nanos() % self.tick.as_nanos();
        self.tick - Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn update(&self, symbol: &Symbol, now: Duration) -> StockUpdate {
        let quote = self.market.quote(symbol, self.tick_at(now));
        StockUpdate {
            ticker_symbol: symbol.to_string(),
            current_price: quote.price(),
            price_change: quote.change(),
            change_percent: quote.change_percent(),
            timestamp: unix_seconds(),
            volume: quote.volume,
            ..StockUpdate::default()
        }
    }
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

/// What a stream is to be sent, and when.
enum Plan {
    EveryTick(Subscriptions),
    Lab(LabRequests),
}

impl Plan {
    fn new(lab: bool) -> Self {
        if lab {
            Self::Lab(LabRequests::default())
        } else {
            Self::EveryTick(Subscriptions::default())
        }
    }

    /// Whether it adds anything to be sent: a live subscription exists once.
    fn add(&mut self, symbol: Symbol) -> Result<bool, TooManySymbols> {
        match self {
            Self::EveryTick(subscriptions) => subscriptions.subscribe(symbol),
            Self::Lab(requests) => requests.request(symbol).map(|()| true),
        }
    }

    /// How long until an update is due, zero when one is; `None` when nothing was asked for.
    fn wait(&self, exchange: &Exchange, now: Duration) -> Option<Duration> {
        match self {
            Self::EveryTick(subscriptions) if subscriptions.is_empty() => None,
            Self::EveryTick(subscriptions) if subscriptions.is_due(exchange.tick_at(now)) => {
                Some(Duration::ZERO)
            }
            Self::EveryTick(_) => Some(exchange.until_next_tick(now)),
            Self::Lab(requests) => Some(requests.due_at()?.saturating_sub(now)),
        }
    }

    fn next_due(&mut self, exchange: &Exchange, now: Duration) -> Option<Symbol> {
        match self {
            Self::EveryTick(subscriptions) => {
                subscriptions.next_due(exchange.tick_at(now)).cloned()
            }
            Self::Lab(requests) => requests.next_due(now),
        }
    }
}

/// One client's stream, from its first request to its end.
struct StreamTask {
    id: u64,
    exchange: Arc<Exchange>,
    plan: Plan,
    shutdown: watch::Receiver<Option<String>>,
    symbols: u64,
    updates: u64,
}

/// Why a stream is over.
enum End {
    /// The client cancelled, or its connection is gone.
    Left,
    /// The lab's order is done.
    AllSent,
    Refused(Status),
    ShuttingDown(String),
}

impl StreamTask {
    async fn run<R>(mut self, requests: R, updates_tx: mpsc::Sender<Result<StockUpdate, Status>>)
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin,
    {
        let (id, started) = (self.id, Instant::now());
        tracing::info!("ticker stream {id} started");
        // A place in the queue kept for the last word: a client that does not read must not be
        // able to hold this task.
        let last_word = updates_tx.clone().reserve_owned().await;
        let end = self.serve(requests, &updates_tx).await;
        let Self {
            symbols, updates, ..
        } = self;
        tracing::info!(
            symbols,
            updates,
            seconds = started.elapsed().as_secs(),
            "ticker stream {id} ended: {end}"
        );
        let status = match end {
            End::Left | End::AllSent => return,
            End::Refused(status) => status,
            End::ShuttingDown(reason) => Status::unavailable(reason),
        };
        if let Ok(last_word) = last_word {
            last_word.send(Err(status));
        }
    }

    async fn serve<R>(
        &mut self,
        mut requests: R,
        updates_tx: &mpsc::Sender<Result<StockUpdate, Status>>,
    ) -> End
    where
        R: Stream<Item = Result<TickerRequest, Status>> + Send + Unpin,
    {
        let mut half_closed = false;
        loop {
            let wait = self.plan.wait(&self.exchange, self.exchange.now());
            if half_closed && wait.is_none() {
                return self.end_of_plan();
            }
            tokio::select! {
                reason = shutdown_reason(&mut self.shutdown) => return End::ShuttingDown(reason),
                () = updates_tx.closed() => return End::Left,
                request = requests.next(), if !half_closed => match request {
                    None => half_closed = true,
                    Some(request) => if let Err(end) = self.take(request) {
                        return end;
                    },
                },
                place = updates_tx.reserve(), if wait == Some(Duration::ZERO) => {
                    let Ok(place) = place else { return End::Left };
                    // The price of now, however long the place was waited for.
                    let now = self.exchange.now();
                    if let Some(symbol) = self.plan.next_due(&self.exchange, now) {
                        place.send(Ok(self.exchange.update(&symbol, now)));
                        self.updates += 1;
                    }
                }
                () = sleep(wait.unwrap_or_default()), if wait.is_some_and(|wait| !wait.is_zero()) => {}
            }
        }
    }

    fn take(&mut self, request: Result<TickerRequest, Status>) -> Result<(), End> {
        let request = request.map_err(|status| match status.code() {
            // What tonic says of a message over the limit.
            Code::OutOfRange => End::Refused(Status::invalid_argument(format!(
                "a request of more than {MAX_MESSAGE_BYTES} bytes; it holds one ticker symbol"
            ))),
            Code::Cancelled | Code::Unknown => End::Left,
            _ => End::Refused(status),
        })?;
        let refused = |error: SymbolError| Status::invalid_argument(error.to_string());
        let symbol = request.ticker_symbol.parse().map_err(refused);
        let full = |error: TooManySymbols| Status::resource_exhausted(error.to_string());
        let added = symbol
            .and_then(|symbol| self.plan.add(symbol).map_err(full))
            .map_err(End::Refused)?;
        self.symbols += u64::from(added);
        Ok(())
    }

    /// The client asks for no more, and nothing is left to be sent.
    fn end_of_plan(&self) -> End {
        if self.symbols > 0 {
            return End::AllSent;
        }
        End::Refused(Status::invalid_argument(format!(
            "no symbol was asked for; send 1 to {MAX_SYMBOLS} requests with one ticker_symbol each"
        )))
    }
}

async fn shutdown_reason(shutdown: &mut watch::Receiver<Option<String>>) -> String {
    let reason = match shutdown.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        // Nobody is left who could stop the server.
        None => std::future::pending().await,
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left"),
            Self::AllSent => f.write_str("all was sent"),
            // Debug escapes what a peer may have put into it.
            Self::Refused(status) => write!(f, "{:?}: {:?}", status.code(), status.message()),
            Self::ShuttingDown(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    /// A stream without a network, its service, and the switch that stops the server.
    struct Client {
        requests_tx: Option<mpsc::UnboundedSender<Result<TickerRequest, Status>>>,
        updates_rx: ReceiverStream<Result<StockUpdate, Status>>,
        shutdown_tx: watch::Sender<Option<String>>,
        service: StockTickerService,
    }

    impl Client {
        fn start(lab: bool) -> Self {
            let config = TickerConfig {
                tick: TICK,
                seed: 1,
                lab,
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

        async fn refusal(&mut self) -> Status {
            loop {
                if let Err(status) = self.next().await.expect("a status") {
                    assert!(self.next().await.is_none(), "nothing follows a status");
                    return status;
                }
            }
        }
    }

    type Opened = (
        mpsc::UnboundedSender<Result<TickerRequest, Status>>,
        ReceiverStream<Result<StockUpdate, Status>>,
    );

    fn open(service: &StockTickerService) -> Opened {
        let (requests_tx, requests_rx) = mpsc::unbounded_channel();
        let requests = tokio_stream::wrappers::UnboundedReceiverStream::new(requests_rx);
        (requests_tx, service.open(requests))
    }

    fn request(symbol: &str) -> Result<TickerRequest, Status> {
        Ok(TickerRequest {
            ticker_symbol: symbol.to_owned(),
            ..TickerRequest::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn all_symbols_are_updated_at_once_on_every_tick() {
        let mut client = Client::start(false);
        let start = Instant::now();
        for symbol in ["AAPL", "googl", "BRK.B", "AAPL"] {
            client.ask(symbol);
        }
        for tick in 0..4 {
            let symbols = client.symbols(3).await;
            assert_eq!(symbols, ["AAPL", "GOOGL", "BRK.B"]);
            let late = start.elapsed() - TICK * tick;
            assert!(
                late < Duration::from_millis(5),
                "tick {tick}: {late:?} late"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_symbol_has_its_first_price_without_waiting() {
        let mut client = Client::start(false);
        tokio::time::advance(TICK / 3).await;
        let asked = Instant::now();
        client.ask("AAPL");
        client.update().await;
        client.ask("TSLA");
        assert_eq!(client.update().await.ticker_symbol, "TSLA");
        assert_eq!(asked.elapsed(), Duration::ZERO);
        // From then on it has the ticks of everybody else.
        client.symbols(2).await;
        let late = asked.elapsed() - TICK * 2 / 3;
        assert!(late < Duration::from_millis(5), "{late:?} late");
    }

    #[tokio::test(start_paused = true)]
    async fn two_streams_see_one_price() {
        let mut client = Client::start(false);
        let (other_tx, other_rx) = open(&client.service);
        other_tx.send(request("MSFT")).expect("the stream runs");
        other_tx.send(request("AAPL")).expect("the stream runs");
        client.ask("AAPL");
        let others: Vec<_> = other_rx.take(10).collect().await;
        let others = others.into_iter().map(|update| update.expect("no error"));
        for theirs in others.filter(|update| update.ticker_symbol == "AAPL") {
            let ours = client.update().await;
            assert_eq!(ours.current_price, theirs.current_price);
            assert_eq!(ours.volume, theirs.volume);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn updates_go_on_after_a_half_close() {
        let mut client = Client::start(false);
        client.ask("AAPL");
        client.half_close();
        assert_eq!(client.symbols(20).await.len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn asking_for_nothing_is_refused() {
        for lab in [false, true] {
            let mut client = Client::start(lab);
            client.half_close();
            let status = client.refusal().await;
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("no symbol was asked for"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_symbol_ends_its_own_stream_only() {
        let mut client = Client::start(false);
        client.ask("AAPL");
        let long = "A".repeat(10_000);
        for bad in ["", "A B", "A\u{7}B", &long] {
            let (bad_tx, mut bad_rx) = open(&client.service);
            bad_tx.send(request(bad)).expect("the stream runs");
            let status = bad_rx.next().await.expect("a status").expect_err("refused");
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("letters"), "{}", status.message());
            assert!(status.message().len() < 400);
        }
        client.symbols(5).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_symbols_is_said() {
        let mut client = Client::start(false);
        for n in 0..=MAX_SYMBOLS {
            client.ask(&format!("S{n}"));
        }
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("1000"), "{}", status.message());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_over_the_limit_is_an_invalid_argument() {
        let mut client = Client::start(false);
        let requests_tx = client.requests_tx.as_ref().expect("not half-closed");
        let oversize = Err(Status::out_of_range("too large"));
        requests_tx.send(oversize).expect("the stream runs");
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("131072 bytes"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_the_newest_and_delays_nobody() {
        let mut client = Client::start(false);
        let (slow_tx, slow_rx) = open(&client.service);
        slow_tx.send(request("AAPL")).expect("the stream runs");
        client.ask("AAPL");
        let mut newest = client.update().await;
        for _ in 0..1_000 {
            newest = client.update().await;
        }
        assert_eq!(
            client
                .service
                .exchange
                .tick_at(client.service.exchange.now()),
            1_000
        );
        // What waited in the queue is old; the next is the price of now.
        let updates: Vec<_> = slow_rx.take(QUEUE).collect().await;
        let last = updates.last().expect("updates").as_ref().expect("no error");
        assert_eq!(last.current_price, newest.current_price);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_left_is_forgotten() {
        let client = Client::start(false);
        // Also one that waits for nothing, to whom nothing will ever be sent in vain.
        for symbol in [Some("AAPL"), None] {
            let (gone_tx, gone_rx) = open(&client.service);
            if let Some(symbol) = symbol {
                gone_tx.send(request(symbol)).expect("the stream runs");
            }
            drop(gone_rx);
            // The task owns the other end of the requests.
            timeout(TICK, gone_tx.closed())
                .await
                .expect("the task is over");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_gives_a_reason_even_to_one_who_does_not_read() {
        let mut client = Client::start(false);
        for n in 0..100 {
            client.ask(&format!("S{n}"));
        }
        client.update().await;
        let reason = "the server is shutting down".to_owned();
        client.shutdown_tx.send_replace(Some(reason));
        let requests_tx = client.requests_tx.take().expect("not half-closed");
        requests_tx.closed().await; // the task is over, though nobody read
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the server is shutting down");
    }

    #[tokio::test(start_paused = true)]
    async fn the_lab_sends_five_of_each_and_ends_after_a_half_close() {
        let mut client = Client::start(true);
        let start = Instant::now();
        client.ask("TSLA");
        client.ask("AAPL");
        client.half_close();
        for (n, symbol) in ["TSLA"; 5].into_iter().chain(["AAPL"; 5]).enumerate() {
            assert_eq!(client.update().await.ticker_symbol, symbol);
            let late = start.elapsed() - Duration::from_secs(2 * n as u64);
            assert!(late < Duration::from_millis(5), "update {n}: {late:?} late");
        }
        assert!(client.next().await.is_none(), "the end is OK");
    }

    #[tokio::test(start_paused = true)]
    async fn the_lab_waits_for_more_while_the_stream_is_open() {
        let mut client = Client::start(true);
        client.ask("TSLA");
        assert_eq!(client.symbols(5).await, ["TSLA"; 5]);
        let more = timeout(Duration::from_secs(600), client.updates_rx.next()).await;
        assert!(more.is_err(), "{more:?}");
        client.ask("AAPL");
        assert_eq!(client.symbols(5).await, ["AAPL"; 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_of_centuries_or_of_nothing_works() {
        for tick in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let config = TickerConfig {
                tick,
                seed: 1,
                lab: false,
            };
            let (_shutdown_tx, shutdown) = watch::channel(None);
            let service = StockTickerService::new(config, shutdown);
            tokio::time::advance(TICK).await;
            let (requests_tx, mut updates_rx) = open(&service);
            requests_tx.send(request("AAPL")).expect("the stream runs");
            updates_rx
                .next()
                .await
                .expect("an update")
                .expect("no error");
        }
    }
}
