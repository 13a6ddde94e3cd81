//! Symbols that the market does not list.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_typo_costs_an_original_client_none_of_its_other_symbols() {
    for symbols in [["AAPL", "APPL", "KO"], ["APPL", "AAPL", "KO"]] {
        let mut client = Client::on(listed(), false);
        for symbol in symbols {
            client.ask(symbol);
        }
        let symbols = client.symbols(20).await;
        assert!(
            symbols
                .iter()
                .all(|symbol| symbol == "AAPL" || symbol == "KO")
        );
        client.half_close();
        client.symbols(20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_original_client_of_nothing_but_typos_is_told_in_a_second_or_at_its_half_close() {
    for half_closes in [false, true] {
        let mut client = Client::on(listed(), false);
        let start = Instant::now();
        client.ask("APPL");
        client.ask("MFST");
        if half_closes {
            client.half_close();
        }
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status
                .message()
                .starts_with("APPL is not listed here; did you mean AAPL (Apple)"),
            "{}",
            status.message()
        );
        let waited = start.elapsed().as_millis() / 10 * 10;
        assert_eq!(waited, if half_closes { 0 } else { 1_000 });
    }
}

#[tokio::test(start_paused = true)]
async fn who_uses_actions_is_told_what_was_perhaps_meant() {
    let mut client = Client::on(listed(), false);
    // Also of what it asked for before its first action.
    client.ask("MFST");
    client.act(TickerAction::Subscribe, "APPL");
    client.act(TickerAction::Subscribe, "AAPL");
    let mut refused = Vec::new();
    let symbols = loop {
        let (symbols, refusals) = client.answer().await;
        refused.extend(refusals);
        if refused.len() == 2 {
            break symbols;
        }
    };
    assert!(symbols.is_empty() || symbols == ["AAPL"], "{symbols:?}");
    let [(first, microsoft), (second, apple)] = &refused[..] else {
        panic!("{refused:?}")
    };
    assert_eq!((first.as_str(), second.as_str()), ("MFST", "APPL"));
    assert!(microsoft.contains("MSFT (Microsoft)"), "{microsoft}");
    assert!(apple.contains("AAPL (Apple)"), "{apple}");
    while client.update().await.ticker_symbol != "AAPL" {}
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_stream_that_reads_answers_is_told_why_it_has_nothing() {
    let mut client = Client::on(listed(), false);
    client.act(TickerAction::Subscribe, "APPL");
    client.half_close();
    let (symbols, refusals) = client.answer().await;
    assert_eq!((symbols.len(), refusals.len()), (0, 1));
    let status = client.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
}
