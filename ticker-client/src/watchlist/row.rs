//! One symbol's row: its newest quote, how old that is, and where the price was before.

use std::{collections::VecDeque, time::Duration};

use proto::{Symbol, fin::StockUpdate};

/// How far back the price is remembered, in intervals of five seconds.
pub const HISTORY_POINTS: usize = 30;

/// The time that one point of the history stands for: its last price.
const POINT_EVERY: Duration = Duration::from_secs(5);

/// A point in time, on a clock that nobody can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Since the program started; never falls.
    pub since_start: Duration,
}

/// How old a quote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The trade had just happened when it came.
    Exactly(Duration),
    /// It told how things stood: the trade may have been long before.
    AtLeast(Duration),
}

/// A symbol, and what is known of it.
#[derive(Debug, Clone)]
pub struct Row {
    symbol: Symbol,
    name: String,
    quote: Option<Quote>,
    history: History,
}

impl Row {
    pub(super) fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            name: String::new(),
            quote: None,
            history: History::default(),
        }
    }

    /// Whose row it is.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// What the symbol stands for; empty while nobody has said it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The newest quote, once there is one.
    pub fn quote(&self) -> Option<&Quote> {
        self.quote.as_ref()
    }

    /// The last price of each of the last five-second intervals in which there was one, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator {
        self.history.points.iter().copied()
    }

    pub(super) fn take(&mut self, mut update: StockUpdate, now: Moment) {
        // It comes once for each connection.
        if !update.name.is_empty() {
            self.name = std::mem::take(&mut update.name);
        }
        self.history.take(update.current_price, now.since_start);
        self.quote = Some(Quote::new(update, now));
    }

    pub(super) fn out_of_date(&mut self) {
        if let Some(quote) = &mut self.quote {
            quote.current = false;
        }
    }
}

/// An update, and when it came.
#[derive(Debug, Clone)]
pub struct Quote {
    update: StockUpdate,
    received: Moment,
    current: bool,
}

impl Quote {
    fn new(update: StockUpdate, received: Moment) -> Self {
        Self {
            update,
            received,
            current: true,
        }
    }

    /// What the server said.
    pub fn update(&self) -> &StockUpdate {
        &self.update
    }

    /// Whether the connection it came over is still there.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// Shares traded in this day, or in the last trade where the day's are not known.
    pub fn volume(&self) -> u64 {
        match (self.update.sequence, self.update.day_volume) {
            (0, _) | (_, 0) => u64::try_from(self.update.volume).unwrap_or(0),
            (_, day_volume) => day_volume,
        }
    }

    /// The best bid and the best offer, where they are known.
    pub fn bid(&self) -> Option<f64> {
        (self.update.sequence > 0 && self.update.bid_price != 0.0).then_some(self.update.bid_price)
    }

    /// See [`bid`](Self::bid).
    pub fn ask(&self) -> Option<f64> {
        (self.update.sequence > 0 && self.update.ask_price != 0.0).then_some(self.update.ask_price)
    }

    /// How long it has been known here. The time that the server says is of another machine's clock,
    /// from which nothing can be subtracted.
    pub fn age(&self, now: Moment) -> Age {
        let known = now.since_start.saturating_sub(self.received.since_start);
        match self.update.snapshot {
            true => Age::AtLeast(known),
            false => Age::Exactly(known),
        }
    }
}

/// Where the price was: one point for each five seconds in which there was a quote.
#[derive(Debug, Clone, Default)]
struct History {
    points: VecDeque<f64>,
    /// When the newest point began.
    began: Duration,
}

impl History {
    fn take(&mut self, price: f64, now: Duration) {
        if !price.is_finite() {
            return;
        }
        let same_point = now.saturating_sub(self.began) < POINT_EVERY;
        match self.points.back_mut() {
            Some(newest) if same_point => *newest = price,
            _ => {
                if self.points.len() == HISTORY_POINTS {
                    self.points.pop_front();
                }
                self.points.push_back(price);
                self.began = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment {
            since_start: Duration::from_millis(ms),
        }
    }

    #[test]
    fn age_is_the_time_since_it_came_whatever_the_servers_clock_says() {
        const HOURS_US: i64 = 5 * 3_600 * 1_000_000;
        let now_us = 1_700_000_000_000_000;
        for time_us in [
            now_us,
            now_us - HOURS_US,
            now_us + HOURS_US,
            0,
            -1,
            i64::MIN,
            i64::MAX,
        ] {
            for sequence in [0, 1] {
                let update = StockUpdate {
                    sequence,
                    timestamp: time_us.div_euclid(1_000_000),
                    trade_time_us: time_us,
                    ..StockUpdate::default()
                };
                let quote = Quote::new(update, at(1_000));
                for ms in [0, 400, 3_600_000] {
                    let expected = Age::Exactly(Duration::from_millis(ms));
                    assert_eq!(quote.age(at(1_000 + ms)), expected, "{time_us}");
                }
                assert_eq!(quote.age(at(0)), Age::Exactly(Duration::ZERO));
            }
        }
    }

    #[test]
    fn how_things_stood_may_be_older_than_is_known() {
        let update = StockUpdate {
            sequence: 1,
            snapshot: true,
            ..StockUpdate::default()
        };
        let quote = Quote::new(update, at(0));
        assert_eq!(quote.age(at(5_000)), Age::AtLeast(Duration::from_secs(5)));
    }

    #[test]
    fn an_interval_has_one_point_and_so_many_are_remembered() {
        let mut row = Row::new("AAPL".parse().expect("a symbol"));
        for ms in (0..200_000).step_by(100) {
            let update = StockUpdate {
                current_price: ms as f64,
                ..StockUpdate::default()
            };
            row.take(update, at(ms));
        }
        assert_eq!(row.history().len(), HISTORY_POINTS);
        let newest: Vec<_> = row.history().rev().take(3).collect();
        assert_eq!(newest, [199_900.0, 194_900.0, 189_900.0]);
    }

    #[test]
    fn what_is_no_number_leaves_no_point() {
        let mut row = Row::new("AAPL".parse().expect("a symbol"));
        for price in [f64::NAN, f64::INFINITY] {
            let update = StockUpdate {
                current_price: price,
                ..StockUpdate::default()
            };
            row.take(update, at(0));
        }
        assert_eq!(row.history().len(), 0);
    }

    #[test]
    fn the_book_and_the_day_mean_nothing_from_an_original_server() {
        let update = StockUpdate {
            volume: 12,
            day_volume: 99,
            bid_price: 1.0,
            ask_price: 2.0,
            ..StockUpdate::default()
        };
        let original = Quote::new(update.clone(), at(0));
        let known = (original.volume(), original.bid(), original.ask());
        assert_eq!(known, (12, None, None));
        let extended = StockUpdate {
            sequence: 1,
            ..update
        };
        let extended = Quote::new(extended, at(0));
        let known = (extended.volume(), extended.bid(), extended.ask());
        assert_eq!(known, (99, Some(1.0), Some(2.0)));
    }
}
