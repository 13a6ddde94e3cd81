//! Prices on the exchange's grid.
//!
//! Whole numbers, so that a price is exact and two that look alike are equal.

/// Ten-thousandths of a dollar: the finest grid.
const UNITS: f64 = 10_000.0;

/// From here up the grid is a cent.
const DOLLAR: i64 = 10_000;

/// Units in a cent.
const CENT: i64 = 100;

/// Ten million dollars: no share costs more.
const HIGHEST: f64 = 10_000_000.0;

/// A price that can be traded at: at least $0.0001 and at most $10,000,000, in steps of $0.01 from a
/// dollar up and of $0.0001 below it (as Rule 612 of the American Regulation NMS has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(i64);

impl Price {
    /// The price on the grid that is nearest to so many dollars. What is no number is the lowest.
    pub fn nearest(dollars: f64) -> Self {
        let units = dollars.clamp(1.0 / UNITS, HIGHEST) * UNITS;
        let fine = units.round() as i64; // NaN becomes 0
        if fine < DOLLAR {
            return Self(fine.max(1));
        }
        Self((units / CENT as f64).round() as i64 * CENT)
    }

    /// The price that was recorded somewhere, whose grid may have been another: to $0.0001. `None` if
    /// it is none that we can tell.
    pub fn recorded(dollars: f64) -> Option<Self> {
        let is_told = (1.0 / UNITS..=HIGHEST).contains(&dollars);
        is_told.then(|| Self((dollars * UNITS).round() as i64))
    }

    /// In dollars: the number that prints with at most four decimals.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / UNITS
    }

    /// The next price on the grid.
    pub fn above(self) -> Self {
        Self(self.0 + if self.0 < DOLLAR { 1 } else { CENT })
    }

    /// The price on the grid before it; `None` below the lowest.
    pub fn below(self) -> Option<Self> {
        let units = self.0 - if self.0 <= DOLLAR { 1 } else { CENT };
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
            assert_eq!(Price::nearest(dollars).dollars(), expected, "{dollars}");
        }
    }

    #[test]
    fn steps_go_up_and_down_the_same_grid() {
        let dollars = |price: Option<Price>| price.map(Price::dollars);
        assert_eq!(Price::nearest(0.999_9).above().dollars(), 1.0);
        assert_eq!(Price::nearest(1.0).above().dollars(), 1.01);
        assert_eq!(dollars(Price::nearest(1.0).below()), Some(0.999_9));
        assert_eq!(dollars(Price::nearest(1.01).below()), Some(1.0));
        assert_eq!(Price::nearest(0.000_1).below(), None);
        let mut price = Price::nearest(0.000_1);
        for _ in 0..20_000 {
            assert_eq!(price.above().below(), Some(price));
            price = price.above();
        }
    }

    #[test]
    fn a_recorded_price_is_told_as_it_was() {
        let told = |dollars| Price::recorded(dollars).map(Price::dollars);
        assert_eq!(told(230.555), Some(230.555));
        assert_eq!(told(0.000_1), Some(0.000_1));
        assert_eq!(told(1e7), Some(1e7));
        for none in [0.0, -1.0, 0.000_01, 1e7 + 1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(told(none), None, "{none}");
        }
    }

    #[test]
    fn changes_are_exact() {
        let (close, price) = (Price::nearest(200.0), Price::nearest(199.9));
        assert_eq!(price.less(close), -0.1);
        assert_eq!(price.percent_from(close), -0.05);
    }
}
