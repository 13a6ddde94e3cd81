//! One trade of one symbol, and how the trading day stands after it.

use std::time::Duration;

use super::price::Price;

/// A trade, wherever it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    /// How many trades of the symbol there have been, this one included.
    pub sequence: u64,
    /// When, counted from the opening of the market.
    pub at: Duration,
    /// What it was made at.
    pub price: Price,
    /// Shares, at least 1.
    pub volume: i32,
    /// The best offer to buy after it, if there is one. In a simulated market at most the price.
    pub bid: Option<Price>,
    /// The best offer to sell after it, if there is one. In a simulated market at least the price.
    pub ask: Option<Price>,
    /// What the trading day before ended with.
    pub previous_close: Price,
    /// The trading day so far.
    pub day: Day,
}

/// A trading day until its newest trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The first price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// Shares traded.
    pub volume: u64,
}

impl Day {
    /// A day with one trade.
    pub fn new(price: Price, volume: i32) -> Self {
        Self {
            open: price,
            high: price,
            low: price,
            volume: volume.unsigned_abs().into(),
        }
    }

    /// The same day after another trade.
    pub fn and(self, price: Price, volume: i32) -> Self {
        Self {
            open: self.open,
            high: self.high.max(price),
            low: self.low.min(price),
            volume: self.volume.saturating_add(volume.unsigned_abs().into()),
        }
    }
}
