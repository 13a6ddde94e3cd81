//! How an update looks: a line for a person, or a line of JSON for a program.

use proto::{fin::StockUpdate, text::one_line};
use serde::Serialize;

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
}

impl Style {
    /// The update as one line, without its end.
    pub fn line(self, update: &StockUpdate) -> String {
        match self {
            Self::Columns { colour } => columns(update, colour),
            Self::Json => json(update),
        }
    }
}

fn columns(update: &StockUpdate, colour: bool) -> String {
    // Judged by what is printed: a change that rounds to nothing is none.
    let cents = (update.price_change * 100.0).round();
    let (arrow, code) = match cents {
        cents if cents > 0.0 => ('▲', GREEN),
        cents if cents < 0.0 => ('▼', RED),
        _ => ('=', ""),
    };
    let change = format!(
        "{arrow} {:>+9.2} {:>+8.2}%",
        update.price_change, update.change_percent
    );
    let change = match code {
        "" => change,
        _ if !colour => change,
        code => format!("{code}{change}{RESET}"),
    };
    format!(
        "{}  {:<12} {:>10.2}  {change}  {:>9} shares",
        time_of_day(update.timestamp),
        one_line(&update.ticker_symbol),
        update.current_price,
        grouped(update.volume),
    )
}

/// `1234567` as `1,234,567`.
fn grouped(number: i32) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds since 1970 as a UTC time of day.
fn time_of_day(timestamp: i64) -> String {
    let second = timestamp.rem_euclid(86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}", second % 60)
}

fn json(update: &StockUpdate) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        ticker_symbol: &'a str,
        current_price: f64,
        price_change: f64,
        change_percent: f64,
        timestamp: i64,
        volume: i32,
    }
    let line = Line {
        ticker_symbol: &update.ticker_symbol,
        current_price: update.current_price,
        price_change: update.price_change,
        change_percent: update.change_percent,
        timestamp: update.timestamp,
        volume: update.volume,
    };
    serde_json::to_string(&line).expect("text and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            PLAIN.line(&update("AAPL", 225.54, 2.05)),
            "22:13:20  AAPL             225.54  ▲     +2.05    +0.92%     12,300 shares"
        );
    }

    #[test]
    fn columns_stay_in_their_places() {
        let width = |update| PLAIN.line(&update).chars().count();
        let expected = width(update("F", 1.0, -0.5));
        assert_eq!(expected, width(update("ABCDEFGHIJKL", 123_456.78, 1_234.5)));
        assert_eq!(expected, width(update("BRK.B", 490.0, 0.0)));
    }

    #[test]
    fn colour_follows_the_change() {
        assert!(COLOURED.line(&update("A", 2.0, 1.0)).contains(GREEN));
        assert!(COLOURED.line(&update("A", 2.0, -1.0)).contains(RED));
        let unchanged = COLOURED.line(&update("A", 2.0, 0.001));
        assert!(!unchanged.contains('\u{1b}'), "{unchanged:?}");
        assert!(unchanged.contains('='), "{unchanged}");
        assert!(!PLAIN.line(&update("A", 2.0, 1.0)).contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_contracts_names_and_exact_numbers() {
        assert_eq!(
            Style::Json.line(&update("AAPL", 2.0, 1.0)),
            r#"{"ticker_symbol":"AAPL","current_price":2.0,"price_change":1.0,"change_percent":100.0,"timestamp":1700000000,"volume":12300}"#
        );
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
        for style in [PLAIN, Style::Json] {
            let line = style.line(&strange);
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        let line = PLAIN.line(&strange);
        assert!(line.contains("-2,147,483,648"), "{line}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
    }
}
