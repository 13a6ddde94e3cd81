//! What a stream is sent, and when: of the market that trades any symbol.

use super::*;

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
    let (other_tx, mut other_rx) = open(&client.service);
    other_tx.send(request("MSFT")).expect("the stream runs");
    other_tx.send(request("AAPL")).expect("the stream runs");
    client.ask("AAPL");
    for _ in 0..20 {
        let ours = client.update().await;
        let theirs = loop {
            let update = other_rx.next().await.expect("an update").expect("no error");
            if update.ticker_symbol == "AAPL" {
                break update;
            }
        };
        assert_eq!(ours, theirs);
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
async fn an_update_says_how_the_day_stands_and_comes_in_sequence() {
    let mut client = Client::start(false);
    tokio::time::advance(TICK * 100).await;
    client.ask("AAPL");
    let first = client.update().await;
    assert!(first.snapshot && first.subscriptions.is_none());
    let mut before = first;
    for _ in 0..50 {
        let update = client.update().await;
        assert!(!update.snapshot, "{update:?}");
        assert_eq!(update.sequence, before.sequence + 1);
        assert_eq!(update.trade_time_us, before.trade_time_us + 1_000_000);
        let shares = u64::from(update.volume.unsigned_abs());
        assert_eq!(update.day_volume, before.day_volume + shares);
        assert!(update.bid_price <= update.current_price, "{update:?}");
        assert!(update.ask_price >= update.current_price, "{update:?}");
        assert!(update.day_low <= update.current_price, "{update:?}");
        assert!(update.day_high >= update.current_price, "{update:?}");
        assert_eq!(update.day_open, before.day_open);
        before = update;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_of_centuries_or_of_nothing_works() {
    for tick in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let config = TickerConfig {
            trades: simulated(tick),
            lab: false,
            idle_timeout: IDLE,
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

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest_and_delays_nobody() {
    let mut client = Client::start(false);
    let (slow_tx, mut slow_rx) = open(&client.service);
    slow_tx.send(request("AAPL")).expect("the stream runs");
    client.ask("AAPL");
    let mut newest = client.update().await;
    for _ in 0..50 {
        newest = client.update().await;
    }
    assert_eq!((newest.sequence, newest.conflated), (51, 0));
    // Nothing waited for the slow one: it is told how things stand, and what it missed.
    let first = slow_rx.next().await.expect("an update").expect("no error");
    assert!(first.snapshot);
    assert_eq!(first.sequence, newest.sequence);
    for _ in 0..10 {
        client.update().await;
    }
    let second = slow_rx.next().await.expect("an update").expect("no error");
    assert_eq!((second.sequence, second.conflated), (61, 9));
    assert!(!second.snapshot);
}
