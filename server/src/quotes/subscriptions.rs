//! What one ticker stream is subscribed to, and which of it is due.
//!
//! Pure: time comes in as a number. Nothing here grows beyond [`MAX_SYMBOLS`].

use std::{collections::HashSet, sync::Arc, time::Duration};

use proto::{Symbol, fin::StockUpdate};

use super::exchange::Listing;

/// How many symbols one stream may be subscribed to.
pub const MAX_SYMBOLS: usize = 1_000;

/// The stream asked for more than [`MAX_SYMBOLS`]. Another stream has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream can be subscribed to at most {MAX_SYMBOLS} symbols; unsubscribe from one, or open \
     another stream for more"
)]
pub(crate) struct TooManySymbols;

/// A set of symbols in the order of their subscription; each is due when it was traded, and at once
/// when it is new.
///
/// A reader that is too slow for the trades misses some, of all its symbols alike: the turn goes
/// round, and what it comes to is told as it stands then.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    entries: Vec<Entry>,
    known: HashSet<Symbol>,
    turn: usize,
}

#[derive(Debug)]
struct Entry {
    listing: Arc<Listing>,
    /// The newest trade that was told; 0: nothing yet.
    told: u64,
}

impl Subscriptions {
    /// Adds a symbol and returns `true`; one that is already there stays where it is.
    ///
    /// # Errors
    ///
    /// [`TooManySymbols`] when there is no room for another one.
    pub(super) fn subscribe(&mut self, listing: Arc<Listing>) -> Result<bool, TooManySymbols> {
        if self.known.contains(listing.symbol()) {
            return Ok(false);
        }
        if self.entries.len() == MAX_SYMBOLS {
            return Err(TooManySymbols);
        }
        self.known.insert(listing.symbol().clone());
        self.entries.push(Entry { listing, told: 0 });
        Ok(true)
    }

    /// Removes a symbol; one that is not there changes nothing.
    pub(super) fn unsubscribe(&mut self, symbol: &Symbol) {
        if !self.known.remove(symbol) {
            return;
        }
        if let Some(place) = self
            .entries
            .iter()
            .position(|e| e.listing.symbol() == symbol)
        {
            self.entries.remove(place);
            if place < self.turn {
                self.turn -= 1;
            }
        }
    }

    /// The symbols, in the order of their subscription.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.entries.iter().map(|entry| entry.listing.symbol())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is to be told next at a moment, which thereby is.
    pub(super) fn next_due(&mut self, now: Duration) -> Option<StockUpdate> {
        let count = self.entries.len();
        for place in self.turn..self.turn + count {
            let place = if place < count { place } else { place - count };
            let entry = self.entries.get_mut(place)?;
            if entry.listing.sequence_at(now) <= entry.told {
                continue;
            }
            if let Some(update) = entry.listing.update_after(entry.told, now) {
                #[cfg(test)]
                crate::transport::forced::at(
                    crate::transport::forced::IN_QUOTE,
                    &update.ticker_symbol,
                );
                entry.told = update.sequence;
                self.turn = place + 1;
                return Some(update);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotes::exchange::{Exchange, TradeSource};

    const TICK: Duration = Duration::from_secs(1);

    struct Stream {
        exchange: Exchange,
        subscriptions: Subscriptions,
    }

    impl Stream {
        fn of(names: &[&str]) -> Self {
            let mut stream = Self {
                exchange: Exchange::open(TradeSource::Simulated {
                    seed: 1,
                    tick: TICK,
                    any_symbol: true,
                }),
                subscriptions: Subscriptions::default(),
            };
            for name in names {
                assert_eq!(stream.subscribe(name), Ok(true));
            }
            stream
        }

        fn subscribe(&mut self, name: &str) -> Result<bool, TooManySymbols> {
            let listing = self.exchange.listing(&symbol(name)).expect("traded");
            self.subscriptions.subscribe(listing)
        }

        /// All that is due at a tick, at most `limit` of it.
        fn due(&mut self, tick: u32, limit: usize) -> Vec<String> {
            let next = || self.subscriptions.next_due(TICK * tick);
            let updates = std::iter::repeat_with(next).take(limit).map_while(|u| u);
            updates.map(|update| update.ticker_symbol).collect()
        }
    }

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_told_once_per_trade_in_the_order_of_subscription() {
        let mut stream = Stream::of(&["TSLA", "AAPL", "MSFT"]);
        for tick in 0..3 {
            assert_eq!(stream.due(tick, 9), ["TSLA", "AAPL", "MSFT"]);
            assert!(stream.due(tick, 9).is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_symbol_is_due_at_once_and_a_duplicate_never() {
        let mut stream = Stream::of(&["TSLA", "AAPL"]);
        assert_eq!(stream.due(4, 9).len(), 2);
        assert_eq!(stream.subscribe("aapl"), Ok(false));
        assert!(stream.due(4, 9).is_empty());
        assert_eq!(stream.subscribe("NVDA"), Ok(true));
        assert_eq!(stream.due(4, 9), ["NVDA"]);
        assert_eq!(stream.due(5, 9), ["TSLA", "AAPL", "NVDA"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_the_newest_of_each_and_none_starves() {
        let mut stream = Stream::of(&["A", "B", "C", "D", "E"]);
        assert_eq!(stream.due(0, 2), ["A", "B"]);
        assert_eq!(stream.due(7, 2), ["C", "D"]);
        assert_eq!(stream.due(9, 2), ["E", "A"]);
        assert_eq!(stream.due(9, 9), ["B", "C", "D"]);
    }

    #[tokio::test(start_paused = true)]
    async fn unsubscribing_loses_no_turn() {
        let mut stream = Stream::of(&["A", "B", "C", "D"]);
        assert_eq!(stream.due(0, 2), ["A", "B"]);
        stream.subscriptions.unsubscribe(&symbol("A"));
        stream.subscriptions.unsubscribe(&symbol("NEVER"));
        assert_eq!(stream.due(0, 1), ["C"]);
        stream.subscriptions.unsubscribe(&symbol("D"));
        assert!(stream.due(0, 9).is_empty());
        let left: Vec<_> = stream.subscriptions.symbols().map(Symbol::as_str).collect();
        assert_eq!(left, ["B", "C"]);
        // Who comes back is new.
        assert_eq!(stream.subscribe("A"), Ok(true));
        let update = stream.subscriptions.next_due(TICK * 7).expect("due");
        assert!(update.ticker_symbol == "A" || update.ticker_symbol == "B");
        assert_eq!(stream.due(7, 9).len(), 2);
        for name in ["A", "B", "C"] {
            stream.subscriptions.unsubscribe(&symbol(name));
        }
        assert!(stream.subscriptions.is_empty());
        assert!(stream.due(8, 9).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_said_and_duplicates_do_not_count() {
        let mut stream = Stream::of(&[]);
        for n in 0..MAX_SYMBOLS {
            assert_eq!(stream.subscribe(&format!("S{n}")), Ok(true));
        }
        assert_eq!(stream.subscribe("S5"), Ok(false));
        let error = stream.subscribe("ONEMORE").expect_err("full");
        assert!(
            error.to_string().contains("at most 1000 symbols"),
            "{error}"
        );
        stream.subscriptions.unsubscribe(&symbol("S5"));
        assert_eq!(stream.subscribe("ONEMORE"), Ok(true));
    }
}
