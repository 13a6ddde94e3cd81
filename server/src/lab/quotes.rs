//! The lab's order of quotes (`--lab`): five updates for each request, a pause after each, request
//! after request.
//!
//! Pure: time comes in as a number. Nothing here grows beyond [`MAX_SYMBOLS`].

use std::{collections::VecDeque, sync::Arc, time::Duration};

use proto::fin::StockUpdate;

use crate::quotes::{Listing, MAX_SYMBOLS, TooManySymbols};

/// How many updates follow each request.
const UPDATES: u32 = 5;

/// How long the lab's ticker waits after each update.
const PAUSE: Duration = Duration::from_secs(2);

/// Requests that were not answered to their end.
#[derive(Debug, Default)]
pub(crate) struct LabQuotes {
    waiting: VecDeque<Arc<Listing>>,
    sent_of_first: u32,
    not_before: Duration,
}

impl LabQuotes {
    /// Adds a request; a symbol that is asked for again is sent again.
    ///
    /// # Errors
    ///
    /// [`TooManySymbols`] when as many already wait.
    pub(crate) fn request(&mut self, listing: Arc<Listing>) -> Result<(), TooManySymbols> {
        if self.waiting.len() == MAX_SYMBOLS {
            return Err(TooManySymbols);
        }
        self.waiting.push_back(listing);
        Ok(())
    }

    /// Whether all that was asked for has been sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next update is due, if one is; times count from any fixed moment.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        (!self.is_empty()).then_some(self.not_before)
    }

    /// What is to be sent at a moment, which thereby is: the six fields that the lab's ticker knows.
    pub(crate) fn next_due(&mut self, now: Duration) -> Option<StockUpdate> {
        let listing = self.waiting.front().filter(|_| self.not_before <= now)?;
        let update = listing.update_after(0, now)?;
        self.not_before = now + PAUSE;
        self.sent_of_first += 1;
        if self.sent_of_first == UPDATES {
            self.sent_of_first = 0;
            self.waiting.pop_front();
        }
        Some(StockUpdate {
            ticker_symbol: update.ticker_symbol,
            current_price: update.current_price,
            price_change: update.price_change,
            change_percent: update.change_percent,
            timestamp: update.timestamp,
            volume: update.volume,
            ..StockUpdate::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotes::{Exchange, TradeSource};

    fn listing(name: &str) -> Arc<Listing> {
        let tick = Duration::from_secs(1);
        let exchange = Exchange::open(TradeSource::Simulated {
            seed: 1,
            tick,
            any_symbol: true,
        });
        let symbol = name.parse().expect("a symbol");
        exchange.listing(&symbol).expect("all are traded")
    }

    #[tokio::test]
    async fn five_of_each_are_sent_with_pauses() {
        let mut quotes = LabQuotes::default();
        quotes.request(listing("AAPL")).expect("room");
        quotes.request(listing("TSLA")).expect("room");
        let mut now = Duration::from_secs(100);
        let mut sent = Vec::new();
        while let Some(at) = quotes.due_at() {
            assert!(now + PAUSE >= at);
            now = now.max(at);
            let update = quotes.next_due(now).expect("due");
            assert_eq!((update.sequence, update.ask_price), (0, 0.0));
            sent.push((update.ticker_symbol, now.as_secs()));
            assert_eq!(quotes.next_due(now), None, "the pause is kept");
        }
        let times = (0..10).map(|n| 100 + 2 * n);
        let names = ["AAPL"; 5].into_iter().chain(["TSLA"; 5]);
        let sent = sent.iter().map(|(name, at)| (name.as_str(), *at));
        assert!(sent.eq(names.zip(times)));
    }

    #[tokio::test]
    async fn there_is_a_limit_too() {
        let (mut quotes, apple) = (LabQuotes::default(), listing("AAPL"));
        for _ in 0..MAX_SYMBOLS {
            quotes.request(Arc::clone(&apple)).expect("room");
        }
        assert_eq!(quotes.request(apple), Err(TooManySymbols));
    }
}
