//! Quotes of a tape.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_tape_is_played_at_its_times() {
    let text = "timestamp,ticker_symbol,current_price,volume\n\
                100,AAPL,10,1\n102.5,KO,70,1\n103,AAPL,11,1\n103,AAPL,12,1\n";
    let tape = recorded(text);
    let mut client = Client::on(tape, false);
    let start = Instant::now();
    client.ask("AAPL");
    client.ask("KO");
    let mut told = Vec::new();
    for _ in 0..4 {
        let update = client.update().await;
        assert_eq!(update.conflated, 0);
        let at = start.elapsed().as_millis() as u64 / 10 * 10;
        told.push((at, update.ticker_symbol, update.current_price));
    }
    let expected = [
        (0, "AAPL", 10.0),
        (2_500, "KO", 70.0),
        (3_000, "AAPL", 11.0),
        (3_000, "AAPL", 12.0),
    ];
    assert_eq!(
        told,
        expected.map(|(at, symbol, price)| (at, symbol.to_owned(), price))
    );
    // It is over: nothing comes, and nothing ends.
    client.ask("MSFT");
    let more = timeout(Duration::from_secs(600), client.updates_rx.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_tape_is_told_once_to_those_who_read_answers() {
    let text = "timestamp,ticker_symbol,current_price,volume\n100,AAPL,10,1\n103,AAPL,11,1\n";
    let mut client = Client::on(recorded(text), false);
    client.act(TickerAction::Subscribe, "AAPL");
    let start = Instant::now();
    let mut notices = Vec::new();
    while let Ok(Some(Ok(update))) = timeout(TICK * 60, client.updates_rx.next()).await {
        let price = update.current_price;
        match update.subscriptions {
            Some(answer) if !answer.notice.is_empty() => {
                assert_eq!(answer.ticker_symbols, ["AAPL"]);
                notices.push((start.elapsed().as_secs(), answer.notice));
            }
            Some(_) => {}
            None => assert!(notices.is_empty(), "{price} after the end"),
        }
    }
    assert_eq!(
        notices,
        [(3, "the tape is over; the last prices stay".to_owned())]
    );
    // Who comes later is told with the first answer.
    let mut late = Client {
        requests_tx: None,
        ..client
    };
    let (requests_tx, updates_rx) = open(&late.service);
    (late.requests_tx, late.updates_rx) = (Some(requests_tx), updates_rx);
    late.act(TickerAction::Subscribe, "AAPL");
    let answer = late.update().await.subscriptions.expect("an answer");
    assert!(answer.notice.contains("is over"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tape_that_waits_begins_with_its_first_reader_and_loops() {
    let text = "timestamp,ticker_symbol,current_price,volume\n100,AAPL,10,1\n101,AAPL,11,1\n";
    let replay = Replay {
        waits: true,
        loops: true,
        ..replay(text)
    };
    let mut client = Client::on(TradeSource::Recorded(replay), false);
    tokio::time::sleep(TICK * 50).await;
    let start = Instant::now();
    client.ask("AAPL");
    for n in 0..6_u64 {
        let update = client.update().await;
        let at = start.elapsed().as_millis() as u64 / 10 * 10;
        assert_eq!((at, update.sequence), (n * 1_000, n + 1));
        assert_eq!(update.current_price, [10.0, 11.0][n as usize % 2]);
    }
}
