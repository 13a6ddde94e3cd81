//! What is known of a symbol before anybody trades it: its price, how it moves, who trades it.

use proto::Symbol;

/// What the simulation needs to know of one symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instrument {
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
}

/// Symbol, dollars, beta and own volatility, near what these were in 2025.
const WELL_KNOWN: [(&str, f64, f64, f64); 24] = [
    ("AAPL", 230.0, 1.2, 0.19),
    ("AMD", 150.0, 1.7, 0.40),
    ("AMZN", 220.0, 1.3, 0.23),
    ("AVGO", 290.0, 1.5, 0.36),
    ("BAC", 45.0, 1.1, 0.18),
    ("BRK.B", 490.0, 0.6, 0.12),
    ("DIS", 115.0, 1.0, 0.21),
    ("F", 11.0, 1.2, 0.28),
    ("GOOG", 191.0, 1.1, 0.22),
    ("GOOGL", 190.0, 1.1, 0.22),
    ("IBM", 250.0, 0.7, 0.20),
    ("INTC", 24.0, 1.3, 0.44),
    ("JNJ", 165.0, 0.4, 0.14),
    ("JPM", 280.0, 1.0, 0.17),
    ("KO", 70.0, 0.4, 0.12),
    ("META", 650.0, 1.3, 0.27),
    ("MSFT", 470.0, 1.0, 0.16),
    ("NFLX", 950.0, 1.2, 0.29),
    ("NVDA", 160.0, 1.8, 0.38),
    ("ORCL", 210.0, 1.2, 0.33),
    ("TSLA", 320.0, 1.9, 0.50),
    ("V", 345.0, 0.8, 0.14),
    ("WMT", 97.0, 0.6, 0.17),
    ("XOM", 110.0, 0.7, 0.19),
];

impl Instrument {
    /// What is known of this symbol; of one that nobody knows, something plausible that is the same
    /// everywhere and always: from a few cents to a thousand dollars.
    pub fn of(symbol: &Symbol) -> Self {
        let known = WELL_KNOWN
            .iter()
            .find(|(name, ..)| *name == symbol.as_str());
        if let Some(&(_, first_close, beta, own_volatility)) = known {
            return Self {
                first_close,
                beta,
                own_volatility,
                spread: 0.000_1,
                lot: 20_000.0 / first_close,
            };
        }
        let character = scramble(fingerprint(symbol));
        let share = |bits: u32| (character >> bits & 0xffff) as f64 / 65_536.0;
        // Evenly spread over the orders of magnitude from $0.05 to $1000.
        let first_close = 0.05 * libm::pow(20_000.0, share(0));
        Self {
            first_close,
            beta: 0.3 + 1.5 * share(16),
            own_volatility: 0.15 + 0.45 * share(32),
            spread: 0.000_3 + 0.002 * share(48),
            lot: (5_000.0 / first_close).max(1.0),
        }
    }
}

/// FNV-1a, 64 bits: unlike the standard hasher, the same for ever.
pub fn fingerprint(symbol: &Symbol) -> u64 {
    symbol
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// Spreads one changed bit over all of them: the finisher of SplitMix64 (Steele, Lea, Flood 2014).
pub fn scramble(mut bits: u64) -> u64 {
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
    }
}
