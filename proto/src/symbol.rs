//! What a ticker symbol may look like: the one rule, for the server and for whoever asks it.
//!
//! Pure. A message never carries more than a few characters of what was typed or sent, and none of
//! its control characters.

use std::{fmt, str::FromStr};

use crate::text::quoted;

/// The most characters that a symbol has.
pub const MAX_SYMBOL_CHARS: usize = 12;

/// A ticker symbol in upper case: 1 to 12 letters (A-Z), digits, `.`, `-` or `=`, the first a letter or
/// a digit, but for the `^` of an index. `AAPL`, `BRK.B`, `0700.HK`, `^GSPC`, `EURUSD=X`. Lower case is
/// accepted and raised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(String);

/// What a symbol stands for, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// A share, a fund, a future: whatever is bought and sold by the piece.
    Share,
    /// `^GSPC`: a number that is followed and not traded.
    Index,
    /// `EURUSD=X`: what one unit of the first currency costs in the second.
    CurrencyPair,
}

impl Symbol {
    /// The symbol in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it stands for.
    pub fn kind(&self) -> SymbolKind {
        kind(&self.0)
    }
}

fn kind(symbol: &str) -> SymbolKind {
    match symbol {
        _ if symbol.starts_with('^') => SymbolKind::Index,
        _ if symbol.ends_with("=X") => SymbolKind::CurrencyPair,
        _ => SymbolKind::Share,
    }
}

/// With how many decimals a symbol's price is written: two, four below a dollar; of a currency pair
/// five, four from ten up.
pub fn price_decimals(symbol: &str, price: f64) -> usize {
    let (bound, above, below, steps) = match kind(symbol) {
        SymbolKind::CurrencyPair => (10.0, 4, 5, 1e5),
        SymbolKind::Share | SymbolKind::Index => (1.0, 2, 4, 1e4),
    };
    // What rounds to the bound is written as it is.
    let reaches = (price * steps).round().abs() >= bound * steps;
    if reaches { above } else { below }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        let chars = text.chars().count();
        if chars > MAX_SYMBOL_CHARS {
            let start = text.chars().take(MAX_SYMBOL_CHARS).collect();
            return Err(SymbolError::TooLong { start, chars });
        }
        match misplaced(text) {
            Some(found) => Err(SymbolError::Character {
                symbol: text.to_owned(),
                found,
            }),
            None => Ok(Self(text.to_ascii_uppercase())),
        }
    }
}

/// The first character that symbols do not have, or not in its place.
fn misplaced(text: &str) -> Option<char> {
    let accepted = |c: char| c.is_ascii_alphanumeric() || ".-=^".contains(c);
    if let Some(found) = text.chars().find(|&c| !accepted(c)) {
        return Some(found);
    }
    let (is_index, name) = match text.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, text),
    };
    match name.chars().next() {
        None if is_index => return Some('^'),
        Some(first) if !first.is_ascii_alphanumeric() => return Some(first),
        _ => {}
    }
    if name.contains('^') {
        return Some('^');
    }
    // What stands behind it says of what market it is.
    let mut behind = name.split('=').skip(1);
    let is_named = |market: &str| market.starts_with(|c: char| c.is_ascii_alphabetic());
    (!behind.all(is_named)).then_some('=')
}

/// Why a text is not a symbol. Ask again with one that follows the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// There is nothing in it.
    #[error("the symbol is empty; {RULE}")]
    Empty,
    /// It has more than [`MAX_SYMBOL_CHARS`] characters.
    #[error(
        "the symbol that begins {} has {chars} characters; {RULE}",
        quoted(start)
    )]
    TooLong {
        /// Its first characters.
        start: String,
        /// How many it has in all.
        chars: usize,
    },
    /// It has a character that symbols do not have, or not in that place.
    #[error(
        "the symbol {} cannot have {found:?} in that place; {RULE}",
        quoted(symbol)
    )]
    Character {
        /// All of it; it is not long.
        symbol: String,
        /// The first character that is wrong.
        found: char,
    },
}

const RULE: &str = "a symbol is 1 to 12 letters (A-Z), digits, '.', '-' or '=', and begins with a \
                    letter, a digit or '^', such as AAPL, BRK.B, ^GSPC or EURUSD=X";

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Symbol>()
            .expect_err("not a symbol")
            .to_string()
    }

    #[test]
    fn symbols_are_raised_to_upper_case() {
        for (text, symbol) in [
            ("AAPL", "AAPL"),
            ("brk.b", "BRK.B"),
            ("0700.hk", "0700.HK"),
            ("BF-B", "BF-B"),
            ("F", "F"),
            ("ABCDEFGHIJKL", "ABCDEFGHIJKL"),
            ("^gspc", "^GSPC"),
            ("eurusd=x", "EURUSD=X"),
            ("GC=F", "GC=F"),
        ] {
            assert_eq!(text.parse::<Symbol>().expect(text).as_str(), symbol);
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_what_is_accepted() {
        for (text, wrong) in [
            ("", "the symbol is empty"),
            ("AA PL", "\"AA PL\" cannot have ' '"),
            (" AAPL", "cannot have ' '"),
            ("A\u{1b}[2J", "\"A\\u{1b}[2J\" cannot have '\\u{1b}'"),
            ("A\nB", "cannot have '\\n'"),
            ("ÄPFEL", "cannot have 'Ä'"),
            ("-AAPL", "cannot have '-'"),
            (".", "cannot have '.'"),
            ("^", "cannot have '^'"),
            ("^^GSPC", "cannot have '^'"),
            ("^-A", "cannot have '-'"),
            ("GS^PC", "cannot have '^'"),
            ("=X", "cannot have '='"),
            ("AAPL=", "cannot have '='"),
            ("EUR==X", "cannot have '='"),
            ("AAPL=250", "cannot have '='"),
            ("EUR/USD", "cannot have '/'"),
            ("ABCDEFGHIJKLM", "begins \"ABCDEFGHIJKL\" has 13 characters"),
        ] {
            let message = error(text);
            assert!(message.contains(wrong), "{text:?}: {message}");
            assert!(message.contains("1 to 12 letters"), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_huge_or_hostile_symbol_makes_a_short_clean_message() {
        for text in ["A".repeat(10_000), "\u{202e}\u{0}\r".repeat(4_000)] {
            let message = error(&text);
            assert!(message.len() < 400, "{} bytes", message.len());
            let unclean = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!message.contains(unclean), "{message:?}");
        }
    }

    #[test]
    fn decimals_are_those_of_the_market() {
        for (symbol, price, decimals) in [
            ("AAPL", 230.0, 2),
            ("AAPL", 0.999_96, 2),
            ("OPEN", 0.58, 4),
            ("OPEN", -0.58, 4),
            ("^GSPC", 6_200.0, 2),
            ("GC=F", 3_340.0, 2),
            ("EURUSD=X", 1.08, 5),
            ("EURUSD=X", -0.08, 5),
            ("USDJPY=X", 143.9, 4),
            ("EURSEK=X", 9.999_95, 5),
            ("EURSEK=X", 9.999_996, 4),
            ("AAPL", f64::NAN, 4),
            ("EURUSD=X", f64::INFINITY, 4),
        ] {
            assert_eq!(price_decimals(symbol, price), decimals, "{symbol} {price}");
        }
        let kind = |text: &str| text.parse::<Symbol>().expect(text).kind();
        assert_eq!(kind("^GSPC"), SymbolKind::Index);
        assert_eq!(kind("EURUSD=X"), SymbolKind::CurrencyPair);
        assert_eq!(kind("CL=F"), SymbolKind::Share);
    }
}
