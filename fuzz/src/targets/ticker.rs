//! `SubscribeToStockUpdates`: any sequence of requests gets quotes that make sense, answers that can be
//! shown, or a status that is the peer's fault.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use prost::Message;
use proto::fin::{
    StockUpdate, TickerAction, TickerRequest, stock_ticker_server::StockTickerServer,
};
use server::{
    MAX_MESSAGE_BYTES,
    quotes::{MAX_SYMBOLS, Replay, StockTape, StockTickerService, TickerConfig, TradeSource},
};
use tokio::sync::watch;

use crate::{
    corpus,
    service::{call, checked_end},
};

/// Messages that are read: of some streams all that is due at once, of others not.
const MOST_READ: usize = 80;

const SYMBOLS: [&str; 8] = [
    "AAPL", "brk.b", "0700.HK", "F", "TSLA", "GOOGL", "MSFT", "ZZZZ",
];

pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Unstructured::new(bytes);
    let kind = input.int_in_range(0..=7).unwrap_or(0);
    let service = match kind {
        0 => &*LAB,
        1 => &*RECORDED,
        2 => &*LISTED,
        _ => &*SIMULATED,
    };
    let requests = requests(&mut input);
    let service =
        StockTickerServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let method = "/StockTicker/SubscribeToStockUpdates";
    let answered = call(service, method, requests, MOST_READ);
    let (mut quotes, mut answers, mut refusals) = (0_usize, 0_usize, 0_usize);
    for message in &answered.messages {
        let update = StockUpdate::decode(&message[..]).expect("an answer is an update");
        match &update.subscriptions {
            None => {
                check(&update);
                quotes += 1;
            }
            Some(subscriptions) => {
                answers += 1;
                refusals += subscriptions.refusals.len();
                assert!(subscriptions.ticker_symbols.len() <= MAX_SYMBOLS);
                for refusal in &subscriptions.refusals {
                    let words = &refusal.reason;
                    assert!(refusal.ticker_symbol.chars().count() <= 64);
                    assert!(
                        words.chars().count() < 600 && proto::text::is_printable(words),
                        "{words:?}"
                    );
                }
            }
        }
    }
    format!(
        "{}, {} quotes, {answers} answers, {} refusals",
        checked_end(&answered.end),
        quotes.next_power_of_two(),
        refusals.next_power_of_two()
    )
}

fn open(trades: TradeSource, lab: bool) -> StockTickerService {
    let config = TickerConfig {
        trades,
        lab,
        idle_timeout: Duration::from_secs(60),
    };
    let (_, never) = watch::channel(None);
    StockTickerService::new(config, never)
}

/// Trades so seldom that the time makes no difference.
fn simulated(any_symbol: bool) -> TradeSource {
    TradeSource::Simulated {
        seed: 1,
        tick: Duration::from_secs(3_600),
        any_symbol,
    }
}

static SIMULATED: LazyLock<StockTickerService> = LazyLock::new(|| open(simulated(true), false));
static LISTED: LazyLock<StockTickerService> = LazyLock::new(|| open(simulated(false), false));
static LAB: LazyLock<StockTickerService> = LazyLock::new(|| open(simulated(true), true));
static RECORDED: LazyLock<StockTickerService> = LazyLock::new(|| {
    let file = corpus::directory("tape").join("recorded");
    let tape = StockTape::open(&file, 1.0).expect("the seed is a tape");
    let replay = Replay {
        tape: Arc::new(tape),
        waits: false,
        loops: false,
    };
    open(TradeSource::Recorded(replay), false)
});

fn requests(input: &mut Unstructured<'_>) -> Vec<Bytes> {
    let mut requests = Vec::new();
    while !input.is_empty() {
        match request(input) {
            Ok((request, times)) => requests.extend(std::iter::repeat_n(request, times)),
            Err(_) => break,
        }
    }
    requests
}

/// A request, and how often it is sent.
fn request(input: &mut Unstructured<'_>) -> Result<(Bytes, usize)> {
    if input.ratio(1, 32)? {
        return Ok((input.arbitrary::<Vec<u8>>()?.into(), 1));
    }
    let symbol = match input.int_in_range(0..=5)? {
        0 => input.arbitrary()?,
        1 => format!("S{}", input.int_in_range(0..=2_000)?),
        2 if input.ratio(1, 16)? => input.arbitrary::<char>()?.to_string().repeat(20_000),
        _ => (*input.choose(&SYMBOLS)?).to_owned(),
    };
    let action = match input.int_in_range(0..=7)? {
        0 => input.arbitrary()?,
        1 | 2 => TickerAction::Unspecified.into(),
        3 => TickerAction::Unsubscribe.into(),
        _ => TickerAction::Subscribe.into(),
    };
    let request = TickerRequest {
        ticker_symbol: symbol,
        action,
    };
    let times = if input.ratio(1, 64)? { 700 } else { 1 };
    Ok((request.encode_to_vec().into(), times))
}

fn check(update: &StockUpdate) {
    let StockUpdate {
        current_price,
        price_change,
        change_percent,
        volume,
        sequence,
        bid_price,
        ask_price,
        day_high,
        day_low,
        ..
    } = *update;
    let symbol: Result<proto::Symbol, _> = update.ticker_symbol.parse();
    assert!(symbol.is_ok(), "{update:?}");
    assert!(
        current_price.is_finite() && current_price > 0.0,
        "{update:?}"
    );
    assert!(
        price_change.is_finite() && change_percent.is_finite(),
        "{update:?}"
    );
    assert!(change_percent > -100.0 && volume > 0, "{update:?}");
    assert!(bid_price >= 0.0 && ask_price >= 0.0, "{update:?}");
    if sequence > 0 {
        assert!(
            bid_price == 0.0 || ask_price == 0.0 || bid_price <= ask_price,
            "{update:?}"
        );
        assert!((day_low..=day_high).contains(&current_price), "{update:?}");
    }
}
