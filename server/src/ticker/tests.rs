use std::time::Duration;

use proto::fin::{StockUpdate, TickerAction};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::StreamExt;
use tonic::Code;

use super::*;
use crate::{
    playback::Replay,
    recording::Recording,
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

    fn on(tape: Tape, lab: bool) -> Self {
        let config = TickerConfig {
            tape,
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

fn simulated(tick: Duration) -> Tape {
    Tape::Simulated {
        seed: 1,
        tick,
        any_symbol: true,
    }
}

/// A market that lists what it trades.
fn listed() -> Tape {
    Tape::Simulated {
        seed: 1,
        tick: TICK,
        any_symbol: false,
    }
}

fn replay(text: &str) -> Replay {
    Replay {
        recording: Arc::new(Recording::from_text(text)),
        waits: false,
        loops: false,
    }
}

fn recorded(text: &str) -> Tape {
    Tape::Recorded(replay(text))
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
            tape: simulated(tick),
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
async fn a_flood_of_requests_ends_the_stream_and_says_the_limit() {
    for action in [TickerAction::Unspecified, TickerAction::Subscribe] {
        let mut client = Client::start(false);
        for _ in 0..=MAX_REQUESTS_AT_ONCE {
            client.act(action, "AAPL");
        }
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        let limit = format!("{MAX_REQUESTS_AT_ONCE} at once and {MAX_REQUESTS_A_SECOND} a second");
        assert!(status.message().contains(&limit), "{}", status.message());
    }
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
    let mut client = Client::on(Tape::Recorded(replay), false);
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

#[tokio::test(start_paused = true)]
async fn a_stream_that_asks_for_nothing_is_ended_and_one_that_has_asked_is_not() {
    let mut silent = Client::start(false);
    let mut asked = Client::start(false);
    asked.ask("AAPL");
    let status = loop {
        tokio::select! {
            end = silent.updates_rx.next() => break end.expect("a word").expect_err("an end"),
            update = asked.updates_rx.next() => {
                update.expect("an update").expect("no error");
            }
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("within 1m"), "{status:?}");
    // One update for each tick of ten times as long.
    asked.symbols(10 * IDLE.as_secs() as usize).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_ended_and_its_place_is_free() {
    let service = Client::start(false).service;
    tokio::time::sleep(TICK).await;
    let places = || {
        let taken = (0..MAX_STREAMS).map_while(|_| service.permits.take(None).ok());
        taken.collect::<Vec<_>>().len()
    };
    let (requests_tx, mut updates_rx) = open(&service);
    let free = places();
    requests_tx.send(request("AAPL")).expect("the stream runs");
    updates_rx
        .next()
        .await
        .expect("an update")
        .expect("no error");
    tokio::time::sleep(IDLE - TICK).await;
    assert_eq!(places(), free, "it may still read");
    tokio::time::sleep(IDLE).await;
    assert_eq!(places(), free + 1, "it keeps its place");
    let status = updates_rx
        .next()
        .await
        .expect("a word")
        .expect_err("an end");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("no update was read for 1m"),
        "{status:?}"
    );
    // And where it is its end that is not read.
    let (requests_tx, updates_rx) = open(&service);
    requests_tx.send(request("N@T")).expect("the stream runs");
    tokio::time::sleep(IDLE * 2 + TICK).await;
    assert_eq!(places(), free + 1, "it keeps its place");
    drop(updates_rx);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_the_clients_fault() {
    let mut client = Client::start(false);
    client.ask("AAPL");
    client.update().await;
    let requests_tx = client.requests_tx.as_ref().expect("not half-closed");
    // As the transport reports it.
    let unreadable = Status::internal("failed to decode Protobuf message: invalid tag value: 0");
    requests_tx.send(Err(unreadable)).expect("the stream runs");
    let end = client.next().await.expect("a last word");
    let status = end.expect_err("not an update");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("fin.proto"), "{status:?}");
}
