//! The symbols that the simulated market lists, and what each stands for.
//!
//! Read once from `listings.csv`, which is part of the program.

use std::{collections::HashMap, sync::LazyLock};

use csv::ReaderBuilder;
use proto::Symbol;

/// A listed symbol, and how its price moves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Security {
    /// What it is asked for by.
    pub symbol: Symbol,
    /// What it stands for: a company, an index, a pair of currencies.
    pub name: String,
    /// The close before the market opens for the first time, in dollars or what else it is traded in.
    pub first_close: f64,
    /// By how much it moves when the whole market moves by 1.
    pub beta: f64,
    /// Standard deviation of a year's logarithmic return that is its own and not the market's.
    pub own_volatility: f64,
}

/// All that are listed, the better known first.
#[derive(Debug)]
pub(crate) struct Directory {
    securities: Vec<Security>,
    by_symbol: HashMap<Symbol, usize>,
}

const LISTINGS: &str = include_str!("listings.csv");

impl Directory {
    /// The one there is.
    pub(crate) fn get() -> &'static Self {
        static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| Directory::read(LISTINGS));
        &DIRECTORY
    }

    /// The lines that can be read, which a test says are all.
    fn read(text: &str) -> Self {
        let mut reader = ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let mut securities = Vec::new();
        let rows = reader.deserialize::<(String, String, f64, f64, f64)>();
        for (symbol, name, first_close, beta, own_volatility) in rows.flatten() {
            let Ok(symbol) = symbol.parse() else { continue };
            securities.push(Security {
                symbol,
                name,
                first_close,
                beta,
                own_volatility,
            });
        }
        let places = securities.iter().enumerate();
        let by_symbol = places.map(|(place, security)| (security.symbol.clone(), place));
        Self {
            by_symbol: by_symbol.collect(),
            securities,
        }
    }

    /// What is listed under a symbol.
    pub(crate) fn find(&self, symbol: &Symbol) -> Option<&Security> {
        self.securities.get(*self.by_symbol.get(symbol)?)
    }

    /// All, the better known first.
    pub(crate) fn securities(&self) -> &[Security] {
        &self.securities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotes::market::price::{Grid, Price};

    #[test]
    fn every_line_is_a_plausible_security_and_none_is_there_twice() {
        let directory = Directory::read(LISTINGS);
        let lines = LISTINGS.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(directory.securities.len(), lines.count() - 1);
        assert_eq!(directory.by_symbol.len(), directory.securities.len());
        for security in directory.securities() {
            let Security {
                symbol,
                name,
                first_close,
                beta,
                own_volatility,
            } = security;
            assert!(!name.is_empty() && name.len() <= 30, "{security:?}");
            assert_eq!(name.trim(), name);
            let on_grid = Price::nearest(*first_close, Grid::of(symbol));
            assert_eq!(on_grid.dollars(), *first_close, "{security:?}");
            assert!((-5.0..=3.0).contains(beta), "{security:?}");
            assert!((0.01..=1.0).contains(own_volatility), "{security:?}");
            assert_eq!(directory.find(symbol), Some(security));
        }
    }

    #[test]
    fn shares_indices_and_currencies_are_there() {
        let named = |text: &str| {
            let security = Directory::get().find(&text.parse().expect("a symbol"));
            security.map(|security| security.name.as_str())
        };
        assert_eq!(named("AAPL"), Some("Apple"));
        assert_eq!(named("BRK.B"), Some("Berkshire Hathaway B"));
        assert_eq!(named("^GSPC"), Some("S&P 500"));
        assert_eq!(named("EURUSD=X"), Some("Euro / US Dollar"));
        assert_eq!(named("APPL"), None);
    }
}
