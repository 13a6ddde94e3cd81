//! How an update looks: a line for a person, a line of JSON or of comma-separated values for a
//! program. Pure.
//!
//! The only text in it is the symbol, which is one by [`proto::Symbol`]: it never begins with `=`, `+`, `-`
//! or `@`, so no spreadsheet takes a cell of CSV for a formula, and cells are written as they are.

use proto::{
    fin::StockUpdate,
    text::{one_line, words},
};
use serde::Serialize;

use crate::{
    alert::Alarm,
    format::{self, Direction, price},
};

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

/// What every update is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Columns, the change in colour if the terminal shows it.
    Columns {
        /// Whether to send the terminal's colour codes.
        colour: bool,
    },
    /// An object with the contract's own field names.
    Json,
    /// The contract's fields in their order, separated by commas.
    Csv,
}

impl Style {
    /// What comes before all updates, without its line's end.
    pub fn header(self) -> Option<String> {
        (self == Self::Csv).then(|| CSV_HEADER.join(","))
    }

    /// The update as one line, without its end. The alarms that it raised are in it only as JSON.
    pub fn line(self, update: &StockUpdate, alarms: &[Alarm]) -> String {
        match self {
            Self::Columns { colour } => columns(update, colour),
            Self::Json => json(update, alarms),
            Self::Csv => csv(update),
        }
    }
}

/// No line is wider, as long as its symbol and its numbers are those of a market.
const LINE_WIDTH: usize = 80;

/// The width of a symbol with its price. A symbol may be as long as both, and a long price has the room
/// that a short symbol leaves.
const PRICED_SYMBOL_WIDTH: usize = 18;
const PRICE_WIDTH: usize = 9;
const CHANGE_WIDTH: usize = 8;
const PERCENT_WIDTH: usize = 7;
const VOLUME_WIDTH: usize = 6;
const BOOK_WIDTH: usize = 8;

fn columns(update: &StockUpdate, colour: bool) -> String {
    let symbol = &*update.ticker_symbol;
    let direction = Direction::of(symbol, update.price_change, update.current_price);
    let change = format!(
        "{}{:>CHANGE_WIDTH$} {:>PERCENT_WIDTH$}",
        direction.mark(),
        format::change(
            symbol,
            update.price_change,
            update.current_price,
            CHANGE_WIDTH
        ),
        format::percent(update.change_percent, PERCENT_WIDTH),
    );
    let book = book(update);
    let symbol = words(symbol);
    let price = price(&update.ticker_symbol, update.current_price, PRICE_WIDTH);
    let price_width = PRICED_SYMBOL_WIDTH.saturating_sub(symbol.chars().count() + 1);
    let before = format!(
        "{} {symbol} {price:>price_width$} ",
        time_of_day(update.timestamp)
    );
    let volume = format::count(update.volume.unsigned_abs().into());
    let sign = if update.volume < 0 { "-" } else { "" };
    let volume = format!(" {:>VOLUME_WIDTH$}", sign.to_owned() + &volume);
    let width = [&*before, &*change, &*volume].map(|part| part.chars().count());
    let has_room = width.iter().sum::<usize>() + book.len() <= LINE_WIDTH;
    let change = match direction {
        Direction::Up if colour => format!("{GREEN}{change}{RESET}"),
        Direction::Down if colour => format!("{RED}{change}{RESET}"),
        _ => change,
    };
    before + &change + &volume + if has_room { &*book } else { "" }
}

/// The best bid and the best offer; nothing where they are not known.
fn book(update: &StockUpdate) -> String {
    if !knows_the_book(update) {
        return String::new();
    }
    let [bid, ask] = [update.bid_price, update.ask_price].map(|side| match side {
        0.0 => "none".to_owned(),
        side => price(&update.ticker_symbol, side, BOOK_WIDTH),
    });
    format!(" bid {bid:>BOOK_WIDTH$} ask {ask:>BOOK_WIDTH$}")
}

/// Whether the fields after the original contract's mean anything.
fn knows_the_book(update: &StockUpdate) -> bool {
    update.sequence > 0
}

/// Seconds since 1970 as a UTC time of day.
fn time_of_day(timestamp: i64) -> String {
    let second = timestamp.rem_euclid(86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}", second % 60)
}

/// The contract's original fields, then those that mean something only with a sequence.
#[derive(Serialize)]
struct Original {
    ticker_symbol: String,
    current_price: f64,
    price_change: f64,
    change_percent: f64,
    timestamp: i64,
    volume: i32,
}

#[derive(Serialize)]
struct Extended {
    sequence: u64,
    conflated: u32,
    snapshot: bool,
    bid_price: f64,
    ask_price: f64,
    day_open: f64,
    day_high: f64,
    day_low: f64,
    day_volume: u64,
    trade_time_us: i64,
}

fn original(update: &StockUpdate) -> Original {
    Original {
        ticker_symbol: words(&update.ticker_symbol),
        current_price: update.current_price,
        price_change: update.price_change,
        change_percent: update.change_percent,
        timestamp: update.timestamp,
        volume: update.volume,
    }
}

fn extended(update: &StockUpdate) -> Option<Extended> {
    knows_the_book(update).then_some(Extended {
        sequence: update.sequence,
        conflated: update.conflated,
        snapshot: update.snapshot,
        bid_price: update.bid_price,
        ask_price: update.ask_price,
        day_open: update.day_open,
        day_high: update.day_high,
        day_low: update.day_low,
        day_volume: update.day_volume,
        trade_time_us: update.trade_time_us,
    })
}

fn json(update: &StockUpdate, alarms: &[Alarm]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        original: Original,
        #[serde(flatten)]
        extended: Option<Extended>,
        #[serde(skip_serializing_if = "str::is_empty")]
        name: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        alerts: Vec<String>,
    }
    let line = Line {
        original: original(update),
        extended: extended(update),
        name: &update.name,
        alerts: alarms.iter().map(|a| a.alert.to_string()).collect(),
    };
    serde_json::to_string(&line).expect("text and numbers are always JSON")
}

const CSV_HEADER: [&str; 16] = [
    "ticker_symbol",
    "current_price",
    "price_change",
    "change_percent",
    "timestamp",
    "volume",
    "sequence",
    "conflated",
    "snapshot",
    "bid_price",
    "ask_price",
    "day_open",
    "day_high",
    "day_low",
    "day_volume",
    "trade_time_us",
];

fn csv(update: &StockUpdate) -> String {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    let original = original(update);
    let row = match extended(update) {
        Some(extended) => writer.serialize((original, extended)),
        // What is not known is left empty.
        None => writer.serialize((original, [""; CSV_HEADER.len() - 6])),
    };
    row.expect("text and numbers are always a row");
    let line = writer.into_inner().expect("memory takes all");
    one_line(String::from_utf8_lossy(&line).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Alert, Alerts};

    const PLAIN: Style = Style::Columns { colour: false };
    const COLOURED: Style = Style::Columns { colour: true };

    fn update(symbol: &str, price: f64, change: f64) -> StockUpdate {
        StockUpdate {
            ticker_symbol: symbol.to_owned(),
            current_price: price,
            price_change: change,
            change_percent: change / (price - change) * 100.0,
            timestamp: 1_700_000_000,
            volume: 12_300,
            ..StockUpdate::default()
        }
    }

    #[test]
    fn a_line_says_all_of_it() {
        assert_eq!(
            PLAIN.line(&update("AAPL", 225.54, 2.05), &[]),
            "22:13:20 AAPL        225.54 ▲   +2.05  +0.92% 12,300"
        );
    }

    #[test]
    fn columns_stay_in_their_places() {
        let width = |update| PLAIN.line(&update, &[]).chars().count();
        let expected = width(update("F", 1.0, -0.5));
        assert_eq!(expected, width(update("EURUSD=X", 1.084, -0.001)));
        assert_eq!(expected, width(update("BRK.A", 735_000.5, 1_234.5)));
        assert_eq!(expected, width(update("ABCDEFGHIJKL", 90.5, 1.5)));
        assert_eq!(expected, width(update("BRK.B", 490.0, 0.0)));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let prices = [
            0.0001,
            0.5,
            1.08432,
            12.34,
            225.54,
            5_790.0,
            44_100.12,
            735_000.25,
            9_999_999.99,
        ];
        for symbol in ["F", "BRK.A", "EURUSD=X", "^STOXX50E", "ABCDEFGHIJKL"] {
            for price in prices {
                for volume in [1, 12_300, i32::MAX] {
                    let update = StockUpdate {
                        change_percent: -12.34,
                        volume,
                        sequence: 7,
                        bid_price: price,
                        ask_price: price,
                        ..update(symbol, price, -price / 8.0)
                    };
                    let line = PLAIN.line(&update, &[]);
                    let width = line.chars().count();
                    assert!(width <= 80, "{width}: {line}");
                    let shown = line.split_whitespace().nth(2).expect("a price");
                    // Two columns beyond what a symbol and its price usually take.
                    let has_room = symbol.len() + 1 + shown.len() <= PRICED_SYMBOL_WIDTH + 2;
                    assert_eq!(line.contains("bid"), has_room, "{line}");
                }
            }
        }
    }

    #[test]
    fn below_a_dollar_a_move_of_less_than_a_cent_is_one() {
        let cheap = PLAIN.line(&update("PENNY", 0.1234, 0.0012), &[]);
        assert!(cheap.contains(" 0.1234 ▲ +0.0012  +0.98%"), "{cheap}");
        let fell = PLAIN.line(&update("PENNY", 0.1234, -0.0012), &[]);
        assert!(fell.contains("▼ -0.0012"), "{fell}");
        let width = |line: &str| line.chars().count();
        let dear = PLAIN.line(&update("AAPL", 225.54, 2.05), &[]);
        assert_eq!(width(&cheap), width(&dear));
    }

    #[test]
    fn colour_follows_the_change() {
        assert!(COLOURED.line(&update("A", 2.0, 1.0), &[]).contains(GREEN));
        assert!(COLOURED.line(&update("A", 2.0, -1.0), &[]).contains(RED));
        let unchanged = COLOURED.line(&update("A", 2.0, 0.001), &[]);
        assert!(!unchanged.contains('\u{1b}'), "{unchanged:?}");
        assert!(unchanged.contains('='), "{unchanged}");
        assert!(!PLAIN.line(&update("A", 2.0, 1.0), &[]).contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_contracts_names_and_exact_numbers() {
        assert_eq!(
            Style::Json.line(&update("AAPL", 2.0, 1.0), &[]),
            r#"{"ticker_symbol":"AAPL","current_price":2.0,"price_change":1.0,"change_percent":100.0,"timestamp":1700000000,"volume":12300}"#
        );
    }

    /// What a server that knows more than the original contract sends.
    fn extended_update() -> StockUpdate {
        StockUpdate {
            sequence: 7,
            conflated: 3,
            snapshot: true,
            bid_price: 225.53,
            ask_price: 0.0,
            day_open: 223.0,
            day_high: 226.5,
            day_low: 222.25,
            day_volume: 5_000_000_000,
            trade_time_us: 1_700_000_000_123_456,
            ..update("AAPL", 225.54, 2.0)
        }
    }

    #[test]
    fn a_newer_servers_book_stands_behind() {
        assert_eq!(
            PLAIN.line(&extended_update(), &[]),
            "22:13:20 AAPL        225.54 ▲   +2.00  +0.89% 12,300 bid   225.53 ask     none"
        );
        let cheap = StockUpdate {
            current_price: 0.1234,
            bid_price: 0.1233,
            ask_price: 0.1235,
            ..extended_update()
        };
        let line = PLAIN.line(&cheap, &[]);
        assert!(line.contains("     0.1234 ▲"), "{line}");
        assert!(line.ends_with("bid   0.1233 ask   0.1235"), "{line}");
    }

    #[test]
    fn a_newer_servers_json_has_all_of_the_contract() {
        assert_eq!(
            Style::Json.line(
                &StockUpdate {
                    change_percent: 0.5,
                    ..extended_update()
                },
                &[]
            ),
            r#"{"ticker_symbol":"AAPL","current_price":225.54,"price_change":2.0,"change_percent":0.5,"timestamp":1700000000,"volume":12300,"sequence":7,"conflated":3,"snapshot":true,"bid_price":225.53,"ask_price":0.0,"day_open":223.0,"day_high":226.5,"day_low":222.25,"day_volume":5000000000,"trade_time_us":1700000000123456}"#
        );
    }

    #[test]
    fn a_snapshot_says_the_name_as_json() {
        let update = StockUpdate {
            name: "Apple".to_owned(),
            ..update("AAPL", 2.0, 1.0)
        };
        let line = Style::Json.line(&update, &[]);
        assert!(line.ends_with(r#","name":"Apple"}"#), "{line}");
    }

    #[test]
    fn an_alarm_stands_in_the_update_that_raised_it() {
        let alert: Alert = "AAPL>225".parse().expect("an alert");
        let update = update("AAPL", 226.0, 1.0);
        let alarms = Alerts::new(vec![alert]).check(&update);
        let line = Style::Json.line(&update, &alarms);
        assert!(line.ends_with(r#","alerts":["AAPL>225"]}"#), "{line}");
        assert_eq!(PLAIN.line(&update, &alarms), PLAIN.line(&update, &[]));
        assert_eq!(
            Style::Csv.line(&update, &alarms),
            Style::Csv.line(&update, &[])
        );
    }

    #[test]
    fn csv_has_every_field_of_the_contract_in_its_order() {
        let proto = include_str!("../../proto/fin.proto");
        let (_, message) = proto
            .split_once("message StockUpdate {")
            .expect("it is there");
        let (message, _) = message.split_once("\n}").expect("its end");
        let fields: Vec<_> = message
            .lines()
            .filter_map(|line| line.split_once(" = ")?.0.split_whitespace().nth(1))
            // Neither is part of a tape.
            .filter(|field| !["subscriptions", "name"].contains(field))
            .collect();
        assert_eq!(Style::Csv.header().expect("a header"), fields.join(","));
        assert_eq!(
            Style::Csv.line(
                &StockUpdate {
                    change_percent: 0.5,
                    ..extended_update()
                },
                &[]
            ),
            "AAPL,225.54,2.0,0.5,1700000000,12300,7,3,true,225.53,0.0,223.0,226.5,222.25,\
             5000000000,1700000000123456"
        );
        assert_eq!(
            Style::Csv.line(&update("AAPL", 2.0, 1.0), &[]),
            "AAPL,2.0,1.0,100.0,1700000000,12300,,,,,,,,,,"
        );
    }

    #[test]
    fn only_csv_has_a_header() {
        assert_eq!(PLAIN.header(), None);
        assert_eq!(Style::Json.header(), None);
    }

    #[test]
    fn a_strange_server_makes_neither_panic_nor_mess() {
        let strange = StockUpdate {
            ticker_symbol: "\u{1b}[2J\n\u{202e}A".to_owned(),
            current_price: f64::NAN,
            price_change: f64::NEG_INFINITY,
            change_percent: f64::NAN,
            timestamp: i64::MIN,
            volume: i32::MIN,
            ..StockUpdate::default()
        };
        for style in [PLAIN, Style::Json, Style::Csv] {
            let line = style.line(&strange, &[]);
            assert!(proto::text::is_printable(&line), "{line:?}");
        }
        let line = PLAIN.line(&strange, &[]);
        assert!(line.contains("-2.15B"), "{line}");
    }

    #[test]
    fn no_cell_begins_as_a_formula_does() {
        for text in ["=1+1", "+1", "-A", "@SUM", "\tA", "\rA", "|cmd"] {
            assert!(text.parse::<proto::Symbol>().is_err(), "{text:?}");
        }
    }
}
