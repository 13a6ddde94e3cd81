//! The link against a server that the test plays, on tokio's paused clock.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proto::{
    Symbol,
    fin::{Refusal, Subscriptions as Answer, TickerAction},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::*;

type Updates = ReceiverStream<Result<StockUpdate, Status>>;

/// A wait of virtual time that means: it never comes.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Hands every attempt to connect to the test.
struct Script(mpsc::UnboundedSender<Attempt>);

struct Attempt {
    keepalive: Keepalive,
    requests_rx: mpsc::Receiver<TickerRequest>,
    outcome_tx: oneshot::Sender<Result<Updates, Failure>>,
}

impl Dial for Script {
    type Updates = Updates;

    async fn dial(
        &self,
        keepalive: Keepalive,
        requests_rx: mpsc::Receiver<TickerRequest>,
    ) -> Result<Updates, Failure> {
        let (outcome_tx, outcome) = oneshot::channel();
        let attempt = Attempt {
            keepalive,
            requests_rx,
            outcome_tx,
        };
        assert!(self.0.send(attempt).is_ok(), "the test has ended");
        outcome.await.expect("the test plays every attempt")
    }
}

impl Attempt {
    fn accept(self) -> Peer {
        let (updates_tx, updates_rx) = mpsc::channel(1);
        let accepted = self.outcome_tx.send(Ok(ReceiverStream::new(updates_rx)));
        assert!(accepted.is_ok(), "nobody waits for it");
        Peer {
            requests_rx: self.requests_rx,
            updates_tx,
        }
    }

    fn fail(self, failure: Failure) {
        assert!(self.outcome_tx.send(Err(failure)).is_ok());
    }
}

/// The server's end of one connection.
struct Peer {
    requests_rx: mpsc::Receiver<TickerRequest>,
    updates_tx: mpsc::Sender<Result<StockUpdate, Status>>,
}

impl Peer {
    async fn send(&self, update: StockUpdate) {
        let sent = timeout(LIMIT, self.updates_tx.send(Ok(update))).await;
        sent.expect("it is read").expect("the stream is open");
    }

    async fn quote(&self, symbol: &str, price: f64) {
        self.send(StockUpdate {
            ticker_symbol: symbol.to_owned(),
            current_price: price,
            ..StockUpdate::default()
        })
        .await;
    }

    async fn answer(&self, refused: &[&str]) {
        let refusals = refused.iter().map(|symbol| Refusal {
            ticker_symbol: (*symbol).to_owned(),
            reason: "not traded here".to_owned(),
        });
        self.send(StockUpdate {
            subscriptions: Some(Answer {
                refusals: refusals.collect(),
                ..Answer::default()
            }),
            ..StockUpdate::default()
        })
        .await;
    }

    async fn end(&self, status: Status) {
        let sent = self.updates_tx.send(Err(status)).await;
        sent.expect("the stream is open");
    }

    /// The next `count` requests, `+` for one that subscribes.
    async fn requests(&mut self, count: usize) -> Vec<String> {
        let mut requests = Vec::new();
        while requests.len() < count {
            let request = timeout(LIMIT, self.requests_rx.recv()).await;
            let request = request.expect("a request").expect("the stream is open");
            let sign = match request.action() {
                TickerAction::Unspecified => "?",
                TickerAction::Subscribe => "+",
                TickerAction::Unsubscribe => "-",
            };
            requests.push(format!("{sign}{}", request.ticker_symbol));
        }
        requests
    }
}

/// A link, its consumer's ends, and the script that it dials.
struct Rig {
    events_rx: mpsc::Receiver<Result<FeedEvent, Failure>>,
    changes_tx: mpsc::Sender<Change>,
    attempts_rx: mpsc::UnboundedReceiver<Attempt>,
}

impl Rig {
    fn start(symbols: &[&str]) -> Self {
        let (events_tx, events_rx) = mpsc::channel(4);
        let (changes_tx, changes_rx) = mpsc::channel(1);
        let (attempts_tx, attempts_rx) = mpsc::unbounded_channel();
        let subscriptions = Subscriptions::new(symbols.iter().map(|text| symbol(text)));
        let link = Link::new(server(), subscriptions, events_tx, changes_rx);
        tokio::spawn(link.run(Script(attempts_tx)));
        Self {
            events_rx,
            changes_tx,
            attempts_rx,
        }
    }

    async fn attempt(&mut self) -> Attempt {
        let attempt = timeout(LIMIT, self.attempts_rx.recv()).await;
        attempt.expect("an attempt").expect("the link runs")
    }

    /// A connection that was accepted, its first event taken.
    async fn connected(&mut self) -> Peer {
        let peer = self.attempt().await.accept();
        assert_eq!(self.event().await, FeedEvent::Connected);
        peer
    }

    async fn last_word(&mut self) -> Option<Result<FeedEvent, Failure>> {
        timeout(LIMIT, self.events_rx.recv())
            .await
            .expect("something")
    }

    async fn event(&mut self) -> FeedEvent {
        let event = self.last_word().await.expect("the link runs");
        event.expect("no failure")
    }

    async fn price(&mut self) -> (String, f64) {
        match self.event().await {
            FeedEvent::Update(update) => (update.ticker_symbol, update.current_price),
            event => panic!("no quote, but {event:?}"),
        }
    }

    async fn lost(&mut self) -> (String, Duration) {
        match self.event().await {
            FeedEvent::Lost { why, retry_in } => (why, retry_in),
            event => panic!("not lost, but {event:?}"),
        }
    }

    async fn change(&self, change: Change) {
        let sent = timeout(LIMIT, self.changes_tx.send(change)).await;
        sent.expect("it is followed").expect("the link runs");
    }

    async fn add(&self, text: &str) {
        self.change(Change::Add(symbol(text))).await;
    }

    async fn remove(&self, text: &str) {
        self.change(Change::Drop(symbol(text))).await;
    }
}

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn server() -> ServerAddress {
    "quotes.lan".parse().expect("an address")
}

fn not_reached() -> Failure {
    Failure::NotReached {
        server: server(),
        why: "connection refused".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn all_symbols_are_asked_for_and_only_their_quotes_come() {
    let mut rig = Rig::start(&["AAPL", "TSLA"]);
    let mut peer = rig.connected().await;
    assert_eq!(peer.requests(2).await, ["+AAPL", "+TSLA"]);
    peer.quote("EVIL", 1.0).await;
    peer.quote("TSLA", 2.0).await;
    assert_eq!(rig.price().await, ("TSLA".to_owned(), 2.0));
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_the_current_set_is_asked_for_when_the_time_has_come() {
    let mut rig = Rig::start(&["AAPL", "TSLA"]);
    let peer = rig.connected().await;
    rig.add("NVDA").await;
    rig.remove("AAPL").await;
    peer.end(Status::unavailable("the server is shutting down"))
        .await;
    let (why, retry_in) = rig.lost().await;
    assert_eq!(why, "the server is shutting down");
    let since = Instant::now();
    // Followed while there is no connection, too.
    rig.add("F").await;
    rig.remove("NVDA").await;
    let attempt = rig.attempt().await;
    let waited = since.elapsed();
    // The clock's own grain is a millisecond.
    let grain = Duration::from_millis(2);
    assert!(
        waited + grain >= retry_in && waited <= retry_in + grain,
        "waited {waited:?}, said {retry_in:?}"
    );
    let mut peer = attempt.accept();
    assert_eq!(peer.requests(2).await, ["+TSLA", "+F"]);
    assert_eq!(rig.event().await, FeedEvent::Connected);
    peer.quote("F", 3.0).await;
    assert_eq!(rig.price().await.0, "F");
}

#[tokio::test(start_paused = true)]
async fn waits_grow_with_failures_and_start_anew_after_a_quote() {
    let mut rig = Rig::start(&["AAPL"]);
    let peer = rig.connected().await;
    peer.end(Status::unavailable("")).await;
    let mut waits = vec![rig.lost().await.1];
    for _ in 0..40 {
        rig.attempt().await.fail(not_reached());
        let (why, retry_in) = rig.lost().await;
        assert_eq!(why, "connection refused");
        waits.push(retry_in);
    }
    assert!(waits[0] <= Duration::from_millis(500), "{waits:?}");
    assert!(waits[1] <= Duration::from_secs(1), "{waits:?}");
    // All 36 of up to 15 s below 2 s: once in 10^31 runs.
    let longest = waits.iter().max().expect("waits");
    let reasonable = Duration::from_secs(2)..=Duration::from_secs(15);
    assert!(reasonable.contains(longest), "{waits:?}");

    // A connection alone is no success: a server may end each one at once.
    let peer = rig.connected().await;
    peer.quote("AAPL", 1.0).await;
    rig.price().await;
    peer.end(Status::unavailable("")).await;
    assert!(rig.lost().await.1 <= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_never_reached_ends_it() {
    let mut rig = Rig::start(&["AAPL"]);
    rig.attempt().await.fail(not_reached());
    let failure = rig
        .last_word()
        .await
        .expect("a word")
        .expect_err("a bad end");
    assert_eq!(failure.exit_code(), 3, "{failure}");
    assert!(rig.last_word().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_servers_good_end_ends_it_well() {
    let mut rig = Rig::start(&["AAPL"]);
    let peer = rig.connected().await;
    peer.quote("AAPL", 1.0).await;
    drop(peer);
    rig.price().await;
    assert!(rig.last_word().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unsubscription_is_sent_only_to_a_server_that_understands_it() {
    let mut rig = Rig::start(&["AAPL", "TSLA", "F"]);
    let mut peer = rig.connected().await;
    peer.requests(3).await;
    rig.remove("AAPL").await;
    rig.add("NVDA").await;
    assert_eq!(peer.requests(1).await, ["+NVDA"], "no word of AAPL");
    peer.quote("AAPL", 1.0).await;
    peer.answer(&[]).await;
    assert_eq!(peer.requests(1).await, ["-AAPL"]);
    rig.remove("TSLA").await;
    assert_eq!(peer.requests(1).await, ["-TSLA"]);
    peer.quote("F", 1.0).await;
    assert_eq!(rig.price().await.0, "F", "AAPL was dropped at once");
}

#[tokio::test(start_paused = true)]
async fn a_refused_symbol_is_told_and_not_asked_for_again() {
    let mut rig = Rig::start(&["AAPL", "NONE"]);
    let peer = rig.connected().await;
    peer.answer(&["NONE"]).await;
    let refused = FeedEvent::Refused {
        symbol: symbol("NONE"),
        why: "not traded here".to_owned(),
        stays: false,
    };
    assert_eq!(rig.event().await, refused);
    peer.end(Status::unavailable("")).await;
    rig.lost().await;
    let mut peer = rig.connected().await;
    rig.add("LAST").await;
    assert_eq!(peer.requests(2).await, ["+AAPL", "+LAST"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_symbol_that_had_quotes_is_asked_for_again_by_the_next_connection() {
    let mut rig = Rig::start(&["AAPL", "TSLA"]);
    let peer = rig.connected().await;
    peer.quote("TSLA", 1.0).await;
    rig.price().await;
    peer.answer(&["TSLA"]).await;
    match rig.event().await {
        FeedEvent::Refused { symbol, stays, .. } => {
            assert_eq!((symbol.as_str(), stays), ("TSLA", true));
        }
        event => panic!("not refused, but {event:?}"),
    }
    peer.end(Status::unavailable("")).await;
    rig.lost().await;
    let mut peer = rig.connected().await;
    assert_eq!(peer.requests(2).await, ["+AAPL", "+TSLA"]);
    peer.quote("TSLA", 2.0).await;
    assert_eq!(rig.price().await, ("TSLA".to_owned(), 2.0));
}

#[tokio::test(start_paused = true)]
async fn an_original_servers_status_costs_only_the_symbol_that_was_added() {
    let mut rig = Rig::start(&["AAPL"]);
    let mut peer = rig.connected().await;
    rig.add("NONE").await;
    peer.requests(2).await;
    peer.end(Status::invalid_argument("NONE is not traded"))
        .await;
    let refused = FeedEvent::Refused {
        symbol: symbol("NONE"),
        why: "NONE is not traded".to_owned(),
        stays: false,
    };
    assert_eq!(rig.event().await, refused);
    rig.lost().await;
    let mut peer = rig.connected().await;
    rig.add("F").await;
    assert_eq!(peer.requests(2).await, ["+AAPL", "+F"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_over_what_was_asked_for_at_the_start_ends_it() {
    for status in [
        Status::invalid_argument("NONE is not traded"),
        Status::resource_exhausted("at most 1000 symbols"),
        Status::unimplemented("no such service"),
    ] {
        let mut rig = Rig::start(&["NONE"]);
        let peer = rig.connected().await;
        peer.end(status).await;
        let failure = rig
            .last_word()
            .await
            .expect("a word")
            .expect_err("a bad end");
        assert_eq!(failure.exit_code(), 4, "{failure}");
        assert!(rig.last_word().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_no_pings_gets_none_from_then_on() {
    let mut rig = Rig::start(&["AAPL"]);
    let first = rig.attempt().await;
    assert_eq!(first.keepalive, Keepalive::Pings);
    let peer = first.accept();
    rig.event().await;
    peer.end(Status::unavailable("Too many pings")).await;
    let (why, retry_in) = rig.lost().await;
    assert!(why.contains("no pings"), "{why}");
    assert_eq!(retry_in, Duration::ZERO);
    let second = rig.attempt().await;
    assert_eq!(second.keepalive, Keepalive::None);
    let peer = second.accept();
    rig.event().await;
    peer.end(Status::new(Code::Unavailable, "Too many pings"))
        .await;
    rig.lost().await;
    assert_eq!(rig.attempt().await.keepalive, Keepalive::None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_server_back_but_is_obeyed() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let mut rig = Rig::start(&["AAPL"]);
    let mut peer = rig.connected().await;
    peer.requests(1).await;
    let updates_tx = peer.updates_tx.clone();
    let sender = tokio::spawn(async move {
        for sequence in 1..=1_000 {
            let update = StockUpdate {
                ticker_symbol: "AAPL".to_owned(),
                sequence,
                ..StockUpdate::default()
            };
            if updates_tx.send(Ok(update)).await.is_err() {
                return;
            }
            SENT.fetch_add(1, Ordering::Relaxed);
        }
    });
    // An hour in which nobody reads; what is typed meanwhile is asked for all the same.
    tokio::time::sleep(LIMIT).await;
    let sent = SENT.load(Ordering::Relaxed);
    assert!((1..=8).contains(&sent), "{sent} are held somewhere");
    for text in ["A", "B", "C", "D"] {
        rig.add(text).await;
        assert_eq!(peer.requests(1).await, [format!("+{text}")]);
    }
    for sequence in 1..=1_000 {
        match rig.event().await {
            FeedEvent::Update(update) => assert_eq!(update.sequence, sequence),
            event => panic!("no quote, but {event:?}"),
        }
    }
    sender.await.expect("all was sent");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_reads_its_events_any_more() {
    let mut rig = Rig::start(&["AAPL"]);
    let peer = rig.connected().await;
    drop(rig.events_rx);
    let closed = timeout(LIMIT, peer.updates_tx.closed()).await;
    assert!(closed.is_ok(), "the stream is still open");
}
