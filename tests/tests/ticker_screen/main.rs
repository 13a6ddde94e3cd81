//! The full-screen view of `ticker-client` in a real terminal: what it shows, what keys do, and that
//! the terminal is as before when it has ended, however it ended.

mod giving_back;
mod keeping;
mod keys;
mod table;

use std::time::Duration;

use proto::fin::StockUpdate;
use tests::{
    bin,
    scripted_ticker::{ScriptedTicker, TickerStream},
    terminal::{Screen, Terminal, line_of},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// What a terminal sends for keys that are no characters.
const DOWN: &str = "\u{1b}[B";
const END: &str = "\u{1b}[F";
const CONTROL_C: &str = "\u{3}";

const USUAL: (u16, u16) = (80, 24);

/// Starts `ticker-client --mode tui` with the settings of nobody.
fn start(server: &ScriptedTicker, args: &[&str], env: &[(&str, &str)]) -> Terminal {
    let server = server.addr().to_string();
    let args = [&["--mode", "tui", "--server", &server], args].concat();
    let env = [&NO_SETTINGS[..], env].concat();
    Terminal::start(bin("ticker-client"), &args, &env, USUAL)
}

/// The same with a server of its own, whose stream the test plays on after the first quotes.
fn client(args: &[&str]) -> (ScriptedTicker, TickerStream, Terminal) {
    let server = ScriptedTicker::start();
    let terminal = start(&server, args, &[]);
    let stream = server.stream();
    open(&stream);
    (server, stream, terminal)
}

/// A quote of each symbol; what was not asked for is not shown.
fn open(stream: &TickerStream) {
    stream.send(quote("AAPL", 225.54, 223.49));
    stream.send(quote("TSLA", 240.0, 248.5));
    stream.send(quote("F", 11.2, 11.2));
}

const NO_SETTINGS: [(&str, &str); 6] = [
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("TICKER_CLIENT_CONFIG", ""),
    ("TICKER_CLIENT_SERVER", ""),
    ("TICKER_CLIENT_SYMBOLS", ""),
    ("TICKER_CLIENT_ALERTS", ""),
    ("TICKER_CLIENT_SORT", ""),
];

fn quote(symbol: &str, price: f64, close: f64) -> StockUpdate {
    StockUpdate {
        ticker_symbol: symbol.to_owned(),
        current_price: price,
        price_change: price - close,
        change_percent: (price - close) / close * 100.0,
        timestamp: 1_700_000_000,
        volume: 100,
        sequence: 1,
        bid_price: price - 0.01,
        ask_price: price + 0.01,
        day_volume: 4_200_000,
        trade_time_us: 1_700_000_000_000_000,
        ..StockUpdate::default()
    }
}

fn is_dim(screen: &Screen, symbol: &str) -> bool {
    let line = line_of(screen, symbol);
    let cell = line.and_then(|line| screen.cell(line, 2));
    cell.is_some_and(vt100::Cell::dim)
}

/// Waits for its end, which must leave a usable terminal and this exit code.
fn ends_well(mut terminal: Terminal, code: u32) -> String {
    assert_eq!(terminal.wait(LIMIT), code, "{terminal}");
    assert!(terminal.is_usable(), "{terminal}");
    terminal.text()
}
