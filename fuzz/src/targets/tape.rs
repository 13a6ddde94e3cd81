//! A tape for `--replay`: it is refused with the line that is wrong, or its trades are in order and each
//! makes sense.

use std::{fs, sync::LazyLock, time::Duration};

use server::quotes::StockTape;
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory for temporary files"));

pub(super) fn run(bytes: &[u8]) -> String {
    let file = DIRECTORY.path().join("tape.csv");
    fs::write(&file, bytes).expect("a temporary file is written");
    let tape = match StockTape::open(&file, 1.0) {
        Ok(tape) => tape,
        Err(error) => {
            let words = error.to_string();
            assert!(words.chars().count() < 1_000, "{words}");
            assert!(proto::text::is_printable(&words), "{words:?}");
            let why = words.split_once(", line ").map_or("", |(_, why)| why);
            return why
                .chars()
                .filter(char::is_ascii_lowercase)
                .take(40)
                .collect();
        }
    };
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!((1..lines).contains(&tape.trades()));
    let mut trades = 0;
    for symbol in tape.symbols() {
        let track = tape.track(symbol).expect("a symbol of the tape");
        let mut at = Duration::ZERO;
        for number in 1.. {
            let Some(trade) = track.trade(number) else {
                break;
            };
            trades += 1;
            assert_eq!(trade.sequence, number);
            assert!(trade.at >= at && trade.at <= tape.length());
            at = trade.at;
            let dollars = trade.price.dollars();
            assert!(dollars > 0.0 && dollars <= 1e7, "{dollars}");
            assert!(trade.day.low <= trade.price && trade.price <= trade.day.high);
            assert!(trade.volume > 0 && trade.previous_close.dollars() > 0.0);
            assert!(track.sequence_at(at) >= number);
        }
    }
    assert_eq!(trades, tape.trades());
    // It comes to its end.
    let mut now = Duration::ZERO;
    let mut moments = 1;
    while let Some(next) = tape.next_trade_after(now) {
        assert!(next > now);
        now = next;
        moments += 1;
    }
    assert!(moments <= 1 + trades && now == tape.length());
    format!(
        "{} trades, {} symbols, left out {}",
        trades.next_power_of_two(),
        tape.symbols().len().next_power_of_two(),
        tape.omission().is_some()
    )
}
