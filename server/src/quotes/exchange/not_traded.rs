//! What somebody is told who asks for a symbol that is not traded here.

use std::fmt;

use proto::Symbol;

use super::nearest::Known;

/// How many symbols a message names where none is near.
pub(super) const MAX_EXAMPLES: usize = 10;

/// The symbol is not traded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTraded {
    symbol: Symbol,
    venue: Venue,
    near: Vec<(Symbol, String)>,
    examples: Vec<Symbol>,
    more: usize,
}

/// Where it is not traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Venue {
    /// In the simulated market, which lists what it trades.
    Market,
    /// On a recorded tape.
    TradeSource,
}

impl NotTraded {
    /// Without a word yet of what is.
    pub fn new(symbol: &Symbol, venue: Venue) -> Self {
        Self {
            symbol: symbol.clone(),
            venue,
            near: Vec::new(),
            examples: Vec::new(),
            more: 0,
        }
    }

    /// With what may have been meant.
    #[must_use]
    pub fn with_near(mut self, near: Vec<Known<'_>>) -> Self {
        let owned = |(symbol, name): Known<'_>| (symbol.clone(), name.to_owned());
        self.near = near.into_iter().map(owned).collect();
        self
    }

    /// With all that is traded, of which some are named.
    #[must_use]
    pub fn with_examples<'a>(mut self, traded: impl ExactSizeIterator<Item = &'a Symbol>) -> Self {
        self.more = traded.len().saturating_sub(MAX_EXAMPLES);
        self.examples = traded.take(MAX_EXAMPLES).cloned().collect();
        self
    }

    /// Which symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }
}

impl std::error::Error for NotTraded {}

impl fmt::Display for NotTraded {
    /// `APPL is not listed here; did you mean AAPL (Apple) or APP (AppLovin)?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, more, .. } = self;
        match self.venue {
            Venue::Market => write!(f, "{symbol} is not listed here")?,
            Venue::TradeSource => write!(f, "{symbol} is not on the tape that is played here")?,
        }
        if !self.near.is_empty() {
            f.write_str("; did you mean")?;
            for (n, (symbol, name)) in self.near.iter().enumerate() {
                let before = match n {
                    0 => "",
                    n if n + 1 == self.near.len() => " or",
                    _ => ",",
                };
                write!(f, "{before} {symbol}")?;
                if !name.is_empty() {
                    write!(f, " ({name})")?;
                }
            }
            return f.write_str("?");
        }
        for (n, symbol) in self.examples.iter().enumerate() {
            write!(f, "{} {symbol}", if n == 0 { "; there is" } else { "," })?;
        }
        match more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    #[test]
    fn what_may_have_been_meant_goes_before_what_there_is() {
        let typo = NotTraded::new(&symbol("APPL"), Venue::Market);
        assert_eq!(typo.to_string(), "APPL is not listed here");
        let (apple, app, one) = (symbol("AAPL"), symbol("APP"), [symbol("KO")]);
        let typo = typo.with_examples(one.iter());
        assert_eq!(typo.to_string(), "APPL is not listed here; there is KO");
        let typo = typo.with_near(vec![(&apple, "Apple"), (&app, "")]);
        assert_eq!(
            typo.to_string(),
            "APPL is not listed here; did you mean AAPL (Apple) or APP?"
        );
    }

    #[test]
    fn of_many_some_are_named() {
        let many: Vec<_> = (0..12).map(|n| symbol(&format!("S{n}"))).collect();
        let text = NotTraded::new(&symbol("X"), Venue::TradeSource).with_examples(many.iter());
        let text = text.to_string();
        assert!(text.ends_with("S8, S9 and 2 more"), "{text}");
    }
}
