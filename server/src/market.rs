//! The market: what every symbol costs at every tick.
//!
//! Pure: no clock, no task, no state. A quote follows from the seed, the symbol and the number of
//! the tick alone, so that everybody who asks sees one price, whoever asked first and however many
//! ticks anybody missed; and a symbol that nobody asks for costs nothing.
//!
//! The price is a random walk that can be read at any place. A trading day has two known ends, the
//! open and the close, and the walk between them is found by halving: the middle of a stretch is
//! the mean of its ends and a random step of half the stretch's own deviation (Lévy's construction
//! of the Brownian bridge). Fifteen halvings reach any tick of the day.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use proto::Symbol;

/// Ticks in a trading day, a power of two: at one a second, nine hours.
const DAY_TICKS: u64 = 1 << 15;

/// Standard deviation of one tick's step, as a part of the base price. A day's is 3.6 %.
const STEP: f64 = 0.000_2;

/// Standard deviation of a close around the base price. Two closes differ by √2 of it, which is
/// what a free walk of [`STEP`]s would have made of the day: `STEP * (DAY_TICKS / 2).sqrt()`.
const CLOSE: f64 = STEP * 128.0;

/// Standard deviation of what happens between a close and the next open.
const OVERNIGHT: f64 = 0.004;

/// Dollars, near what these were worth in 2025.
const WELL_KNOWN: [(&str, u32); 20] = [
    ("AAPL", 230),
    ("AMD", 150),
    ("AMZN", 220),
    ("AVGO", 290),
    ("BRK.B", 490),
    ("DIS", 115),
    ("GOOG", 191),
    ("GOOGL", 190),
    ("IBM", 250),
    ("INTC", 24),
    ("JPM", 280),
    ("KO", 70),
    ("META", 650),
    ("MSFT", 470),
    ("NFLX", 950),
    ("NVDA", 160),
    ("ORCL", 210),
    ("TSLA", 320),
    ("V", 345),
    ("WMT", 97),
];

/// All symbols' prices, made from one seed.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    seed: u64,
}

impl Market {
    /// The market that this seed makes; the same on every machine.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// What the symbol costs at a tick; ticks count from 0.
    pub fn quote(&self, symbol: &Symbol, tick: u64) -> Quote {
        let walk = Walk::new(self.seed, symbol);
        let base_cents = base_cents(symbol);
        let cents = |height: f64| (base_cents * (1.0 + height)).round().max(1.0) as i64;
        let day = tick / DAY_TICKS;
        Quote {
            price_cents: cents(walk.height(tick)),
            previous_close_cents: cents(walk.close_before(day)),
            volume: walk.volume(tick),
        }
    }
}

/// One symbol's price at one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// In cents; never below 1.
    pub price_cents: i64,
    /// What the trading day before ended with, in cents; never below 1.
    pub previous_close_cents: i64,
    /// Shares in the trade that made the price: round lots of 100.
    pub volume: i32,
}

impl Quote {
    /// In dollars.
    pub fn price(&self) -> f64 {
        self.price_cents as f64 / 100.0
    }

    /// Price less previous close, in dollars.
    pub fn change(&self) -> f64 {
        (self.price_cents - self.previous_close_cents) as f64 / 100.0
    }

    /// The change as a percentage of the previous close, not rounded.
    pub fn change_percent(&self) -> f64 {
        let change_cents = self.price_cents - self.previous_close_cents;
        change_cents as f64 / self.previous_close_cents as f64 * 100.0
    }
}

/// One symbol's way up and down. Heights are parts of the base price, 0 at the base; sums of
/// bounded noise, they stay within ±0.3, so that a price is always positive.
struct Walk {
    key: u64,
}

/// What a random number is for, so that no two uses share one.
#[derive(Clone, Copy)]
enum Use {
    Close = 1,
    Overnight,
    Step,
    Volume,
}

impl Walk {
    fn new(seed: u64, symbol: &Symbol) -> Self {
        Self {
            key: scramble(seed ^ scramble(fingerprint(symbol))),
        }
    }

    fn height(&self, tick: u64) -> f64 {
        let day = tick / DAY_TICKS;
        let (mut left, mut right) = (day * DAY_TICKS, day * DAY_TICKS + DAY_TICKS);
        let mut left_height = self.close_before(day) + OVERNIGHT * self.noise(Use::Overnight, day);
        let mut right_height = self.close_before(day + 1);
        while right - left > 1 {
            let stretch = right - left;
            let middle = left + stretch / 2;
            let deviation = STEP * (stretch as f64).sqrt() / 2.0;
            let height =
                (left_height + right_height) / 2.0 + deviation * self.noise(Use::Step, middle);
            if tick < middle {
                (right, right_height) = (middle, height);
            } else {
                (left, left_height) = (middle, height);
            }
        }
        left_height
    }

    fn close_before(&self, day: u64) -> f64 {
        CLOSE * self.noise(Use::Close, day)
    }

    /// Small trades are common and big ones rare: 100 to 30,000 shares.
    fn volume(&self, tick: u64) -> i32 {
        let size: f64 = self.random(Use::Volume, tick).random_range(0.0..1.0);
        100 * (1 + (size.powi(3) * 300.0) as i32)
    }

    /// Bell-shaped around 0, of deviation 1, never beyond ±3: the sum of three uniform numbers. No
    /// logarithm or cosine, whose last digit differs between machines.
    fn noise(&self, what_for: Use, index: u64) -> f64 {
        let mut random = self.random(what_for, index);
        (0..3).map(|_| random.random_range(-1.0..1.0)).sum()
    }

    fn random(&self, what_for: Use, index: u64) -> Xoshiro256PlusPlus {
        let seed = scramble(self.key ^ scramble(index ^ ((what_for as u64) << 60)));
        Xoshiro256PlusPlus::seed_from_u64(seed)
    }
}

fn base_cents(symbol: &Symbol) -> f64 {
    let known = WELL_KNOWN.iter().find(|(name, _)| *name == symbol.as_str());
    match known {
        Some((_, dollars)) => f64::from(*dollars) * 100.0,
        // Nobody knows this one: somewhere between 20 and 500 dollars, the same for every seed.
        None => (2_000 + scramble(fingerprint(symbol)) % 48_000) as f64,
    }
}

/// FNV-1a, 64 bits: unlike the standard hasher, the same for ever.
fn fingerprint(symbol: &Symbol) -> u64 {
    symbol
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// Spreads one changed bit over all of them: the finisher of SplitMix64 (Steele, Lea, Flood 2014).
fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn prices(market: &Market, name: &str, ticks: std::ops::Range<u64>) -> Vec<f64> {
        let symbol = symbol(name);
        ticks
            .map(|tick| market.quote(&symbol, tick).price())
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_quote_follows_from_seed_symbol_and_tick_alone() {
        // Written down once: another machine or another version must make the same market.
        let quote = Market::new(7).quote(&symbol("AAPL"), 1_000);
        let expected = Quote {
            price_cents: 22_554,
            previous_close_cents: 22_349,
            volume: 1_200,
        };
        assert_eq!(quote, expected);
    }

    #[test]
    fn another_seed_or_symbol_is_another_walk() {
        let market = Market::new(1);
        let aapl = prices(&market, "AAPL", 0..50);
        assert_ne!(aapl, prices(&Market::new(2), "AAPL", 0..50));
        // The two share classes have nearly one base price, and yet walks of their own.
        let (googl, goog) = (
            prices(&market, "GOOGL", 0..500),
            prices(&market, "GOOG", 0..500),
        );
        let rises = |walk: &[f64]| walk.windows(2).map(|w| w[1] > w[0]).collect::<Vec<_>>();
        let same = rises(&googl)
            .iter()
            .zip(rises(&goog))
            .filter(|(a, b)| **a == *b)
            .count();
        assert!((170..330).contains(&same), "{same} of 499 steps agree");
    }

    #[test]
    fn steps_are_those_of_a_random_walk() {
        let prices = prices(&Market::new(3), "META", 0..DAY_TICKS - 1);
        let steps: Vec<f64> = prices.windows(2).map(|w| (w[1] - w[0]) / 650.0).collect();
        let variance = |steps: &[f64]| mean(&steps.iter().map(|s| s * s).collect::<Vec<_>>());
        let deviation = variance(&steps).sqrt();
        assert!((deviation / STEP - 1.0).abs() < 0.05, "{deviation}");
        // Steps know nothing of the step before.
        let products: Vec<f64> = steps.windows(2).map(|w| w[0] * w[1]).collect();
        let correlation = mean(&products) / variance(&steps);
        assert!(correlation.abs() < 0.03, "{correlation}");
        // So 64 of them reach 8 times as far as one.
        let far: Vec<f64> = prices.windows(65).map(|w| (w[64] - w[0]) / 650.0).collect();
        let reach = variance(&far).sqrt() / deviation;
        assert!((6.0..10.0).contains(&reach), "{reach}");
    }

    #[test]
    fn prices_are_positive_and_plausible_for_ever() {
        let names = ["AAPL", "INTC", "ZZZZ", "0700.HK", "A"];
        let far = [
            0,
            1,
            DAY_TICKS - 1,
            DAY_TICKS,
            u64::MAX / 2,
            u64::MAX - DAY_TICKS,
        ];
        let often = (0..3_000).map(|n| n * 7_919);
        for tick in far.into_iter().chain(often) {
            for name in names {
                let symbol = symbol(name);
                let quote = Market::new(tick).quote(&symbol, tick);
                let part = quote.price_cents as f64 / base_cents(&symbol);
                assert!((0.7..1.3).contains(&part), "{name} at {tick}: {quote:?}");
                assert!((100..=30_000).contains(&quote.volume), "{quote:?}");
                assert_eq!(quote.volume % 100, 0);
            }
        }
    }

    #[test]
    fn change_and_percentage_agree_with_the_price() {
        let market = Market::new(11);
        let mut changes = 0;
        for tick in (0..5 * DAY_TICKS).step_by(997) {
            let quote = market.quote(&symbol("TSLA"), tick);
            let close = quote.price() - quote.change();
            assert!((close - quote.previous_close_cents as f64 / 100.0).abs() < 1e-9);
            let percent = quote.change() / close * 100.0;
            assert!((percent - quote.change_percent()).abs() < 1e-9, "{quote:?}");
            changes += u32::from(quote.change() != 0.0);
        }
        assert!(changes > 100, "only {changes} quotes differ from the close");
    }

    #[test]
    fn a_day_ends_where_the_next_says_it_did() {
        let market = Market::new(5);
        for name in ["NVDA", "BRK.B", "NOBODY"] {
            for day in 0..20 {
                let last = market.quote(&symbol(name), (day + 1) * DAY_TICKS - 1);
                let next = market.quote(&symbol(name), (day + 1) * DAY_TICKS);
                let step = last.price() / (next.previous_close_cents as f64 / 100.0) - 1.0;
                assert!(step.abs() < 6.0 * STEP, "{name}, day {day}: {step}");
            }
        }
    }
}
