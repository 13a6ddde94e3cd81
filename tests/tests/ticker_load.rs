//! Readers that stop, streams that flood, peers that vanish: the ticker's other readers get every
//! trade, and the server's memory stays as it was. Judged by counts; nothing here is timed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::fin::TickerAction;
use tests::{
    Server,
    memory::resident_bytes,
    subscriber::{HTTP2_WINDOW, Subscriber, connect},
    tally::Tally,
};
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Code, Status};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// A reader that goes on while others misbehave.
struct GoodReader {
    over: Arc<AtomicBool>,
    task: JoinHandle<Tally>,
}

impl GoodReader {
    /// Reads these symbols on a connection of its own.
    async fn start(server: &Server, symbols: &[&str]) -> Self {
        let mut subscriber = Subscriber::dial(&server.uri()).await;
        for symbol in symbols {
            subscriber.ask(symbol);
        }
        let over = Arc::<AtomicBool>::default();
        let task = tokio::spawn({
            let over = Arc::clone(&over);
            async move {
                while !over.load(Ordering::Relaxed) {
                    subscriber.update().await;
                }
                subscriber.tally().clone()
            }
        });
        Self { over, task }
    }

    /// Stops reading, and judges: all trades came or were said to be left out, and three in four
    /// came. On an idle machine that is all of them; on a busy one the reader itself may not get to
    /// run for a tick. A server that is held up by others leaves out nearly all.
    async fn got_its_trades(self) {
        self.over.store(true, Ordering::Relaxed);
        let tally = self.task.await.expect("undisturbed");
        for count in tally.counts() {
            assert_eq!(count.received + count.conflated, count.trades());
            assert!(count.conflated * 4 <= count.trades(), "{count:?}");
        }
    }
}

/// Reads on until the symbol's newest update is this or a later one.
async fn read_to(subscriber: &mut Subscriber, symbol: &str, sequence: u64) {
    let reading = async {
        while subscriber.tally().of(symbol).last < sequence {
            subscriber.update().await;
        }
    };
    timeout(LIMIT, reading)
        .await
        .expect("the newest never comes");
}

/// Reads so many updates of this one symbol: that many ticks go by.
async fn see_ticks(subscriber: &mut Subscriber, ticks: usize) {
    for _ in 0..ticks {
        subscriber.update().await;
    }
}

fn symbols(from: usize, to: usize) -> impl Iterator<Item = String> + Clone {
    (from..to).map(|n| format!("SYM{n}"))
}

fn assert_flat(server: &Server, before: u64, most_growth_mib: u64) {
    let grown = resident_bytes(server.id()).saturating_sub(before);
    println!("memory grew by {} KiB", grown >> 10);
    assert!(grown < most_growth_mib << 20, "{} KiB more", grown >> 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_delays_nobody_and_is_given_the_newest_again() {
    let server = Server::start(&["--tick", "100ms", "--log", "error", "--any-symbol"]);
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(GoodReader::start(&server, &["SYM0", "SYM1"]).await);
    }
    let mut clock = Subscriber::dial(&server.uri()).await;
    clock.ask("SYM0");
    let channel = connect(&server.uri(), Some(HTTP2_WINDOW)).await;
    let mut stopped = Subscriber::on(&channel).await;
    for symbol in symbols(0, 100) {
        stopped.ask(&symbol);
    }
    while stopped.tally().symbols() < 100 {
        stopped.update().await;
    }

    // It reads no more. After seven ticks of 10,000 bytes its window is full.
    see_ticks(&mut clock, 20).await;
    let before = resident_bytes(server.id());
    see_ticks(&mut clock, 40).await;
    assert_flat(&server, before, 4);

    // And again. What was on its way comes first: no more than the window and the socket hold.
    let newest = clock.tally().of("SYM0").last;
    let stood_at = stopped.tally().clone();
    for symbol in symbols(0, 100) {
        read_to(&mut stopped, &symbol, newest).await;
    }
    let received = stopped.tally().received() - stood_at.received();
    let conflated = stopped.tally().conflated() - stood_at.conflated();
    println!("until it had the newest: {received} updates, {conflated} left out");
    assert!(conflated > 3_000, "{conflated} of 6,000 left out");
    // Then trade after trade, as before.
    read_to(&mut stopped, "SYM0", newest + 10).await;
    for count in stopped.tally().counts() {
        assert_eq!(count.received + count.conflated, count.trades());
    }
    for other in others {
        other.got_its_trades().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_never_read_hold_no_memory_and_nobody_up() {
    let server = Server::start(&["--tick", "50ms", "--log", "error", "--any-symbol"]);
    let good = GoodReader::start(&server, &["SYM0"]).await;
    let mut clock = Subscriber::dial(&server.uri()).await;
    clock.ask("SYM0");
    let mut silent = Vec::new();
    for _ in 0..10 {
        let channel = connect(&server.uri(), Some(HTTP2_WINDOW)).await;
        for _ in 0..20 {
            let subscriber = Subscriber::on(&channel).await;
            for symbol in symbols(0, 50) {
                subscriber.ask(&symbol);
            }
            silent.push(subscriber);
        }
    }
    // The windows are full after 13 ticks of 5,000 bytes.
    see_ticks(&mut clock, 40).await;
    let before = resident_bytes(server.id());
    see_ticks(&mut clock, 100).await;
    assert_flat(&server, before, 4);
    println!("{} KiB in all", resident_bytes(server.id()) >> 10);
    assert!(resident_bytes(server.id()) < 100 << 20);
    good.got_its_trades().await;
    drop(silent);
}

/// Sends these on a stream of their own and returns the status that it ends with.
async fn refusal_of(server: &Server, symbols: impl Iterator<Item = String>) -> Status {
    let mut subscriber = Subscriber::dial(&server.uri()).await;
    for symbol in symbols {
        subscriber.ask(&symbol);
    }
    subscriber.refusal().await
}

/// One of each kind of peer that a server should not meet.
async fn misbehave(server: &Server) {
    let flood = refusal_of(server, symbols(0, 100).cycle().take(20_000)).await;
    assert_eq!(flood.code(), Code::ResourceExhausted, "{flood:?}");
    assert!(flood.message().contains("a second"), "{flood:?}");
    assert!(flood.message().contains(char::is_numeric), "{flood:?}");

    let many = refusal_of(server, symbols(0, 1_001)).await;
    assert_eq!(many.code(), Code::ResourceExhausted, "{many:?}");
    assert!(many.message().contains("1000"), "{many:?}");

    for (length, words) in [(10_000, "10000"), (1 << 20, "131072 bytes")] {
        let long = refusal_of(server, ["A".repeat(length)].into_iter()).await;
        assert_eq!(long.code(), Code::InvalidArgument, "{long:?}");
        assert!(long.message().contains(words), "{long:?}");
    }

    for index in 0..300 {
        let mut subscriber = Subscriber::dial(&server.uri()).await;
        subscriber.ask(&format!("GONE{index}"));
        if index % 2 == 0 {
            subscriber.update().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_misbehave_leave_nothing_behind() {
    let server = Server::start(&["--tick", "100ms", "--log", "error", "--any-symbol"]);
    let good = GoodReader::start(&server, &["SYM0", "SYM1"]).await;
    misbehave(&server).await;
    let before = resident_bytes(server.id());
    for _ in 0..4 {
        misbehave(&server).await;
    }
    assert_flat(&server, before, 4);
    good.got_its_trades().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn symbols_of_peers_that_vanish_are_forgotten() {
    const STREAMS: usize = 50;
    const SYMBOLS: usize = 1_000;
    let server = Server::start(&["--tick", "1s", "--log", "error", "--any-symbol"]);
    let good = GoodReader::start(&server, &["SYM0", "SYM1"]).await;
    let mut before = 0;
    for round in 0..4 {
        for stream in 0..STREAMS {
            let first = (round * STREAMS + stream) * SYMBOLS;
            let mut subscriber = Subscriber::dial(&server.uri()).await;
            for symbol in symbols(first, first + SYMBOLS) {
                subscriber.send(&symbol, TickerAction::Subscribe);
            }
            told(&mut subscriber, |symbols| symbols.len() == SYMBOLS).await;
        }
        if round == 0 {
            before = resident_bytes(server.id());
        }
    }
    // 150,000 symbols since, none of which anybody reads any more.
    assert_flat(&server, before, 4);
    good.got_its_trades().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn symbols_that_were_unsubscribed_are_forgotten() {
    const STREAMS: usize = 110;
    const SYMBOLS: usize = 190;
    let server = Server::start(&["--tick", "1s", "--log", "error", "--any-symbol"]);
    let good = GoodReader::start(&server, &["SYM0", "SYM1"]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Subscriber::dial(&server.uri()).await);
    }
    let mut before = 0;
    // 20,000 symbols each that nobody had before. The streams stay, so that only the requests can
    // be what makes the server forget.
    for round in 0..5 {
        for (stream, subscriber) in streams.iter().enumerate() {
            let first = (round * STREAMS + stream) * SYMBOLS;
            for symbol in symbols(first, first + SYMBOLS) {
                subscriber.send(&symbol, TickerAction::Subscribe);
                subscriber.send(&symbol, TickerAction::Unsubscribe);
            }
            // Who is told of this one has been told of all.
            subscriber.send("LAST", TickerAction::Subscribe);
        }
        for subscriber in &mut streams {
            told(subscriber, |symbols| symbols == ["LAST"]).await;
            subscriber.send("LAST", TickerAction::Unsubscribe);
            told(subscriber, <[String]>::is_empty).await;
        }
        if round == 0 {
            before = resident_bytes(server.id());
        }
    }
    assert_flat(&server, before, 4);
    good.got_its_trades().await;
    drop(streams);
}

/// Reads until the stream is told that it has these symbols, and nothing was refused.
async fn told(subscriber: &mut Subscriber, wanted: impl Fn(&[String]) -> bool) {
    let answered = async {
        loop {
            if let Some(answer) = subscriber.update().await.subscriptions {
                assert_eq!(answer.refusals, []);
                if wanted(&answer.ticker_symbols) {
                    return;
                }
            }
        }
    };
    timeout(LIMIT, answered)
        .await
        .expect("the answer never comes");
}
