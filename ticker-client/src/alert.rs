//! Alerts: conditions on a quote. How people type them is in `text`, when one fires in `watch`. Pure.

mod text;
mod watch;

use std::fmt;

use proto::{Symbol, fin::StockUpdate};

pub use text::AlertError;
pub(crate) use text::{Subject, alerts_of_line};
pub use watch::{Alarm, Alerts};

/// How far a figure must be back before its alert can fire again: a part of a price, and points of a
/// percentage. Otherwise each tick around a bound is an alarm.
const PRICE_HYSTERESIS: f64 = 0.001;
const PERCENT_HYSTERESIS: f64 = 0.1;

/// `AAPL>250`: a condition on a symbol's price, or with `AAPL%>3` on its change in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    symbol: Symbol,
    of: Figure,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Price,
    ChangePercent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Above,
    AtOrAbove,
    Below,
    AtOrBelow,
}

impl Alert {
    /// Whose quotes it is about.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// Whether it is true of these; `None` when nothing can be said, because there is no number.
    /// One that `held` is true until the figure is clearly back.
    fn is_true(&self, update: &StockUpdate, held: bool) -> Option<bool> {
        let figure = self.of.in_update(update);
        let back = match (held, self.of) {
            (false, _) => 0.0,
            (true, Figure::Price) => self.bound.abs() * PRICE_HYSTERESIS,
            (true, Figure::ChangePercent) => PERCENT_HYSTERESIS,
        };
        figure.is_finite().then_some(match self.comparison {
            Comparison::Above => figure > self.bound - back,
            Comparison::AtOrAbove if held => figure > self.bound - back,
            Comparison::AtOrAbove => figure >= self.bound,
            Comparison::Below => figure < self.bound + back,
            Comparison::AtOrBelow if held => figure < self.bound + back,
            Comparison::AtOrBelow => figure <= self.bound,
        })
    }
}

impl Figure {
    fn in_update(self, update: &StockUpdate) -> f64 {
        match self {
            Self::Price => update.current_price,
            Self::ChangePercent => update.change_percent,
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = match self.of {
            Figure::Price => "",
            Figure::ChangePercent => "%",
        };
        let sign = match self.comparison {
            Comparison::Above => ">",
            Comparison::AtOrAbove => ">=",
            Comparison::Below => "<",
            Comparison::AtOrBelow => "<=",
        };
        write!(f, "{}{percent}{sign}{}", self.symbol, self.bound)
    }
}
