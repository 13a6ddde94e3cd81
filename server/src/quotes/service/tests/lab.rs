//! The lab's quotes.

use super::*;

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
