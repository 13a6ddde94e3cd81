//! Requests with an action: answers to them, refusals that cost no stream.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_uses_actions_is_told_the_set() {
    let mut client = Client::start(false);
    client.act(TickerAction::Subscribe, "AAPL");
    assert_eq!(client.answer().await, (vec!["AAPL".to_owned()], vec![]));
    // From then on also without one.
    client.ask("tsla");
    client.ask("KO");
    let (symbols, _) = client.answer().await;
    assert_eq!(symbols.last().map(String::as_str), Some("KO"));
    client.act(TickerAction::Unsubscribe, "aapl");
    client.act(TickerAction::Unsubscribe, "NEVER-THERE");
    let mut last = client.answer().await;
    while last.0 != ["TSLA", "KO"] {
        last = client.answer().await;
    }
    assert!(last.1.is_empty(), "{last:?}");
    // No update of what was dropped comes any more, and the others go on.
    let mut symbols = Vec::new();
    for _ in 0..12 {
        let update = client.update().await;
        if update.subscriptions.is_none() {
            symbols.push(update.ticker_symbol);
        }
    }
    assert!(symbols.contains(&"KO".to_owned()) && !symbols.contains(&"AAPL".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_uses_actions_is_refused_in_words_and_keeps_the_stream() {
    let mut client = Client::start(false);
    client.act(TickerAction::Subscribe, "AAPL");
    client.act(TickerAction::Subscribe, "B@D");
    client.ask(&"LONG".repeat(1_000));
    let requests_tx = client.requests_tx.as_ref().expect("not half-closed");
    let unknown = TickerRequest {
        ticker_symbol: "KO".to_owned(),
        action: 77,
    };
    requests_tx.send(Ok(unknown)).expect("the stream runs");
    let mut refusals = Vec::new();
    while refusals.len() < 3 {
        let (symbols, more) = client.answer().await;
        assert_eq!(symbols, ["AAPL"]);
        refusals.extend(more);
    }
    let [(bad, why), (long, too_long), (action, unknown)] = &refusals[..] else {
        panic!("{refusals:?}")
    };
    assert!(bad == "B@D" && why.contains("'@'"), "{why}");
    assert!(
        long.len() == 64 && too_long.contains("4000 characters"),
        "{too_long}"
    );
    assert!(
        action == "KO" && unknown.contains("action 77 is unknown"),
        "{unknown}"
    );
    assert_eq!(client.update().await.ticker_symbol, "AAPL");
}

#[tokio::test(start_paused = true)]
async fn refusals_that_nobody_reads_hold_no_memory() {
    let mut client = Client::start(false);
    for n in 0..1_000 {
        client.act(TickerAction::Subscribe, &format!("B@D{n}"));
    }
    tokio::task::yield_now().await;
    tokio::time::advance(TICK).await;
    let (symbols, refusals) = client.answer().await;
    assert!(symbols.is_empty());
    assert!(refusals.len() <= 64, "{}", refusals.len());
    client.act(TickerAction::Subscribe, "KO");
    while client.answer().await.0 != ["KO"] {}
}

#[tokio::test(start_paused = true)]
async fn an_unsubscription_leaves_room_for_another_symbol() {
    let mut client = Client::start(false);
    for n in 0..MAX_SYMBOLS {
        client.act(TickerAction::Subscribe, &format!("S{n}"));
    }
    client.act(TickerAction::Subscribe, "ONEMORE");
    client.act(TickerAction::Unsubscribe, "S7");
    client.act(TickerAction::Subscribe, "ANOTHER");
    let mut refused = Vec::new();
    loop {
        let (symbols, refusals) = client.answer().await;
        refused.extend(refusals);
        if symbols.iter().any(|symbol| symbol == "ANOTHER") {
            assert_eq!(symbols.len(), MAX_SYMBOLS);
            assert!(!symbols.contains(&"S7".to_owned()));
            break;
        }
    }
    assert_eq!(refused.len(), 1);
    assert!(refused[0].0 == "ONEMORE" && refused[0].1.contains("at most 1000"));
}

#[tokio::test(start_paused = true)]
async fn with_nothing_left_a_half_closed_stream_ends() {
    let mut client = Client::start(false);
    client.act(TickerAction::Subscribe, "AAPL");
    client.act(TickerAction::Unsubscribe, "AAPL");
    client.half_close();
    while let Some(update) = client.next().await {
        assert!(update.expect("no error").subscriptions.is_some());
    }
}
