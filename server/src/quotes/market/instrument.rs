//! What is known of a symbol before anybody trades it: its price, how it moves, who trades it.

use proto::{Symbol, SymbolKind};

use super::{directory::Directory, price::Grid};

/// What the simulation needs to know of one symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Instrument {
    /// The close before the market opens for the first time, in dollars.
    pub first_close: f64,
    /// By how much it moves when the whole market moves by 1 (the beta of the capital asset pricing
    /// model).
    pub beta: f64,
    /// Standard deviation of a year's logarithmic return that is its own and not the market's.
    pub own_volatility: f64,
    /// The usual distance from bid to ask, as a part of the price.
    pub spread: f64,
    /// The middle size of a trade in which the price does not move, in shares.
    pub lot: f64,
    /// Which prices it has.
    pub grid: Grid,
    /// Whether somebody bids for it and offers it. An index is only reckoned.
    pub has_book: bool,
}

impl Instrument {
    /// What is known of this symbol; of one that is not listed, something plausible that is the same
    /// everywhere and always: a share costs from a few cents to a thousand dollars.
    pub(super) fn of(symbol: &Symbol) -> Self {
        let kind = symbol.kind();
        let grid = Grid::of(symbol);
        let has_book = kind != SymbolKind::Index;
        if let Some(security) = Directory::get().find(symbol) {
            return Self {
                first_close: security.first_close,
                beta: security.beta,
                own_volatility: security.own_volatility,
                spread: if kind == SymbolKind::CurrencyPair {
                    0.000_05
                } else {
                    0.000_1
                },
                lot: 20_000.0 / security.first_close,
                grid,
                has_book,
            };
        }
        let character = scramble(fingerprint(symbol));
        let share = |bits: u32| (character >> bits & 0xffff) as f64 / 65_536.0;
        // Evenly spread over the orders of magnitude.
        let (lowest, times) = match kind {
            SymbolKind::Share => (0.05, 20_000.0),
            SymbolKind::Index => (500.0, 80.0),
            SymbolKind::CurrencyPair => (0.5, 4.0),
        };
        let first_close = lowest * libm::pow(times, share(0));
        let calm = if kind == SymbolKind::Share { 1.0 } else { 0.25 };
        Self {
            first_close,
            beta: 0.3 + 1.5 * share(16),
            own_volatility: calm * (0.15 + 0.45 * share(32)),
            spread: calm * (0.000_3 + 0.002 * share(48)),
            lot: (5_000.0 / first_close).max(1.0),
            grid,
            has_book,
        }
    }
}

/// FNV-1a, 64 bits: unlike the standard hasher, the same for ever.
pub(super) fn fingerprint(symbol: &Symbol) -> u64 {
    symbol
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// Spreads one changed bit over all of them: the finisher of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_symbol_is_plausible() {
        let instruments: Vec<_> = (0..2_000)
            .map(|n| Instrument::of(&format!("S{n}").parse().expect("a symbol")))
            .collect();
        for instrument in &instruments {
            assert!((0.05..1_000.0).contains(&instrument.first_close));
            assert!((0.3..1.8).contains(&instrument.beta));
            assert!((0.15..0.6).contains(&instrument.own_volatility));
        }
        let pennies = instruments.iter().filter(|i| i.first_close < 1.0).count();
        // ln(20) / ln(20000) of 2000 = 605, deviation 20.5.
        assert!((500..710).contains(&pennies), "{pennies} below a dollar");
    }

    #[test]
    fn well_known_ones_are_known() {
        let apple = Instrument::of(&"AAPL".parse().expect("a symbol"));
        assert_eq!(apple.first_close, 230.0);
        assert!(apple.has_book);
        let index = Instrument::of(&"^GSPC".parse().expect("a symbol"));
        assert!(!index.has_book, "nobody bids for an index");
    }
}
