//! Prices on the exchange's grids.
//!
//! Whole numbers, so that a price is exact and two that look alike are equal.

use proto::{Symbol, SymbolKind};

/// Hundred-thousandths of a dollar: the finest step of all grids.
const UNITS: f64 = 100_000.0;

/// Ten million dollars: nothing costs more.
const HIGHEST: f64 = 10_000_000.0;

/// The lowest price that a tape may hold.
const LOWEST_RECORDED: f64 = 0.000_1;

/// Which prices a symbol can be traded at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// In steps of $0.01 from a dollar up and of $0.0001 below it (as Rule 612 of the American
    /// Regulation NMS has it).
    Share,
    /// In steps of 0.00001 below ten and of 0.0001 from there up.
    CurrencyPair,
}

/// A price that can be traded at: more than nothing and at most $10,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(i64);

impl Grid {
    /// The grid of a symbol.
    pub fn of(symbol: &Symbol) -> Self {
        match symbol.kind() {
            SymbolKind::CurrencyPair => Self::CurrencyPair,
            SymbolKind::Share | SymbolKind::Index => Self::Share,
        }
    }

    /// In units: the fine step, the coarse one, and from where the coarse one holds.
    fn steps(self) -> (i64, i64, i64) {
        match self {
            Self::Share => (10, 1_000, 100_000),
            Self::CurrencyPair => (1, 10, 1_000_000),
        }
    }
}

impl Price {
    /// The price on the grid that is nearest to so many dollars. What is no number is the lowest.
    pub fn nearest(dollars: f64, grid: Grid) -> Self {
        let (fine, coarse, border) = grid.steps();
        let units = dollars.clamp(1.0 / UNITS, HIGHEST) * UNITS;
        // NaN becomes 0.
        let in_steps_of = |step: i64| (units / step as f64).round() as i64 * step;
        match in_steps_of(fine) {
            price if price < border => Self(price.max(fine)),
            _ => Self(in_steps_of(coarse)),
        }
    }

    /// The price that was recorded somewhere, whose grid may have been another: to $0.00001. `None` if
    /// it is none that we can tell.
    pub fn recorded(dollars: f64) -> Option<Self> {
        let is_told = (LOWEST_RECORDED..=HIGHEST).contains(&dollars);
        is_told.then(|| Self((dollars * UNITS).round() as i64))
    }

    /// In dollars: the number that prints with at most five decimals.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / UNITS
    }

    /// The next price on the grid.
    pub fn above(self, grid: Grid) -> Self {
        let (fine, coarse, border) = grid.steps();
        Self(self.0 + if self.0 < border { fine } else { coarse })
    }

    /// The price on the grid before it; `None` below the lowest.
    pub fn below(self, grid: Grid) -> Option<Self> {
        let (fine, coarse, border) = grid.steps();
        let units = self.0 - if self.0 <= border { fine } else { coarse };
        (units > 0).then_some(Self(units))
    }

    /// This price less the other, in dollars.
    pub fn less(self, other: Self) -> f64 {
        (self.0 - other.0) as f64 / UNITS
    }

    /// The change from the other price to this one as a percentage of the other, not rounded.
    pub fn percent_from(self, other: Self) -> f64 {
        (self.0 - other.0) as f64 / other.0 as f64 * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(dollars: f64) -> Price {
        Price::nearest(dollars, Grid::Share)
    }

    fn pair(price: f64) -> Price {
        Price::nearest(price, Grid::CurrencyPair)
    }

    #[test]
    fn the_grid_is_a_cent_from_a_dollar_up_and_a_hundredth_of_it_below() {
        for (dollars, expected) in [
            (230.123_4, 230.12),
            (1.004_9, 1.0),
            (1.006, 1.01),
            (0.999_96, 1.0),
            (0.999_94, 0.999_9),
            (0.123_449, 0.123_4),
            (0.0, 0.000_1),
            (-5.0, 0.000_1),
            (f64::NAN, 0.000_1),
            (f64::NEG_INFINITY, 0.000_1),
            (f64::INFINITY, 10_000_000.0),
        ] {
            assert_eq!(share(dollars).dollars(), expected, "{dollars}");
        }
    }

    #[test]
    fn a_currency_has_five_decimals_and_from_ten_up_four() {
        for (price, expected) in [
            (1.084_326, 1.084_33),
            (0.000_004, 0.000_01),
            (9.999_999, 10.0),
            (143.954_24, 143.954_2),
            (f64::NAN, 0.000_01),
        ] {
            assert_eq!(pair(price).dollars(), expected, "{price}");
        }
        let grid = Grid::CurrencyPair;
        assert_eq!(pair(9.999_99).above(grid), pair(10.0));
        assert_eq!(pair(10.0).above(grid).dollars(), 10.000_1);
        assert_eq!(pair(10.0).below(grid), Some(pair(9.999_99)));
    }

    #[test]
    fn a_price_is_written_exactly_with_the_decimals_that_clients_write() {
        for (symbol, start) in [
            ("AAPL", 0.999),
            ("AAPL", 0.000_1),
            ("EURUSD=X", 9.999),
            ("EURUSD=X", 0.000_01),
        ] {
            let grid = Grid::of(&symbol.parse().expect("a symbol"));
            let mut price = Price::nearest(start, grid);
            for _ in 0..3_000 {
                let dollars = price.dollars();
                let decimals = proto::price_decimals(symbol, dollars);
                let text = format!("{dollars:.decimals$}");
                assert_eq!(text.parse(), Ok(dollars), "{symbol}");
                price = price.above(grid);
            }
        }
    }

    #[test]
    fn steps_go_up_and_down_the_same_grid() {
        let grid = Grid::Share;
        let dollars = |price: Option<Price>| price.map(Price::dollars);
        assert_eq!(share(0.999_9).above(grid).dollars(), 1.0);
        assert_eq!(share(1.0).above(grid).dollars(), 1.01);
        assert_eq!(dollars(share(1.0).below(grid)), Some(0.999_9));
        assert_eq!(dollars(share(1.01).below(grid)), Some(1.0));
        assert_eq!(share(0.000_1).below(grid), None);
        let mut price = share(0.000_1);
        for _ in 0..20_000 {
            assert_eq!(price.above(grid).below(grid), Some(price));
            price = price.above(grid);
        }
    }

    #[test]
    fn a_recorded_price_is_told_as_it_was() {
        let told = |dollars| Price::recorded(dollars).map(Price::dollars);
        assert_eq!(told(230.555), Some(230.555));
        assert_eq!(told(1.084_33), Some(1.084_33));
        assert_eq!(told(0.000_1), Some(0.000_1));
        assert_eq!(told(1e7), Some(1e7));
        for none in [0.0, -1.0, 0.000_01, 1e7 + 1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(told(none), None, "{none}");
        }
    }

    #[test]
    fn changes_are_exact() {
        let (close, price) = (share(200.0), share(199.9));
        assert_eq!(price.less(close), -0.1);
        assert_eq!(price.percent_from(close), -0.05);
    }
}
