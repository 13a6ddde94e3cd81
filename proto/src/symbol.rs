//! What a ticker symbol may look like: the one rule, for the server and for whoever asks it.
//!
//! Pure. A message never carries more than a few characters of what was typed or sent, and none of
//! its control characters.

use std::{fmt, str::FromStr};

use crate::text::quoted;

/// The most characters that a symbol has.
pub const MAX_SYMBOL_CHARS: usize = 12;

/// A ticker symbol in upper case: 1 to 12 letters (A-Z), digits, `.` or `-`, the first a letter or
/// a digit. `AAPL`, `BRK.B`, `0700.HK`. Lower case is accepted and raised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(String);

impl Symbol {
    /// The symbol in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        let first = text.chars().next().ok_or(SymbolError::Empty)?;
        let chars = text.chars().count();
        if chars > MAX_SYMBOL_CHARS {
            let start = text.chars().take(MAX_SYMBOL_CHARS).collect();
            return Err(SymbolError::TooLong { start, chars });
        }
        let refused = |found| SymbolError::Character {
            symbol: text.to_owned(),
            found,
        };
        let accepted = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if let Some(found) = text.chars().find(|&c| !accepted(c)) {
            return Err(refused(found));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(refused(first));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
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

const RULE: &str = "a symbol is 1 to 12 letters (A-Z), digits, '.' or '-', \
                    and begins with a letter or a digit, such as AAPL or BRK.B";

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
}
