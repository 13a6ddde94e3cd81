//! What one stream of the ticker received, counted symbol by symbol: whether every trade came, or
//! was said to be left out.
//!
//! Pure: no clock, no network.

use std::collections::HashMap;

use proto::fin::StockUpdate;

/// The count of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    symbols: HashMap<String, Count>,
}

/// The count of one symbol, since its last snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// The sequence number that it began with.
    pub first: u64,
    /// The newest.
    pub last: u64,
    /// Updates that came.
    pub received: u64,
    /// Trades that were said to be left out.
    pub conflated: u64,
}

impl Count {
    /// Trades that happened since the first.
    pub fn trades(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Tally {
    /// Counts an update; one that only tells the subscriptions counts for nothing. A snapshot begins
    /// its symbol anew.
    ///
    /// # Errors
    ///
    /// What is wrong with it: a trade that is missing and was not said to be left out, one that came
    /// twice or late, an update without a number, a snapshot that leaves something out.
    pub fn take(&mut self, update: &StockUpdate) -> Result<(), String> {
        if update.subscriptions.is_some() {
            return Ok(());
        }
        let name = &update.ticker_symbol;
        let (sequence, left_out) = (update.sequence, u64::from(update.conflated));
        if sequence == 0 {
            return Err(format!("an update of {name:?} without a sequence number"));
        }
        // Nothing else is looked up by the name again, so that a bench may count millions.
        let known = self.symbols.get_mut(name.as_str());
        match known {
            Some(count) if !update.snapshot => {
                let expected = count.last + 1 + left_out;
                if sequence != expected {
                    return Err(format!(
                        "{name}: {sequence} after {}, with {left_out} said to be left out",
                        count.last
                    ));
                }
                count.last = sequence;
                count.received += 1;
                count.conflated += left_out;
            }
            _ if left_out > 0 => {
                return Err(format!(
                    "{name}: {left_out} left out before the first, {sequence}"
                ));
            }
            _ => {
                let first = Count {
                    first: sequence,
                    last: sequence,
                    received: 1,
                    conflated: 0,
                };
                self.symbols.insert(name.clone(), first);
            }
        }
        Ok(())
    }

    /// The count of a symbol; nothing but zeros when none of it came.
    pub fn of(&self, symbol: &str) -> Count {
        self.symbols.get(symbol).copied().unwrap_or_default()
    }

    /// How many symbols came.
    pub fn symbols(&self) -> usize {
        self.symbols.len()
    }

    /// The counts of all symbols, in no order.
    pub fn counts(&self) -> impl Iterator<Item = Count> {
        self.symbols.values().copied()
    }

    /// Updates of all symbols.
    pub fn received(&self) -> u64 {
        self.counts().map(|count| count.received).sum()
    }

    /// Trades of all symbols that were left out.
    pub fn conflated(&self) -> u64 {
        self.counts().map(|count| count.conflated).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(symbol: &str, sequence: u64, conflated: u32) -> StockUpdate {
        StockUpdate {
            ticker_symbol: symbol.to_owned(),
            sequence,
            conflated,
            ..StockUpdate::default()
        }
    }

    fn snapshot(symbol: &str, sequence: u64) -> StockUpdate {
        StockUpdate {
            snapshot: true,
            ..update(symbol, sequence, 0)
        }
    }

    fn tally(updates: &[StockUpdate]) -> Result<Tally, String> {
        let mut tally = Tally::default();
        for update in updates {
            tally.take(update)?;
        }
        Ok(tally)
    }

    #[test]
    fn what_came_and_what_was_left_out_adds_up() {
        let updates = [
            snapshot("A", 5),
            update("A", 6, 0),
            snapshot("B", 2),
            update("A", 9, 2),
            update("B", 3, 0),
        ];
        let tally = tally(&updates).expect("all is explained");
        let count = tally.of("A");
        assert_eq!((count.first, count.last, count.trades()), (5, 9, 5));
        assert_eq!((count.received, count.conflated), (3, 2));
        assert_eq!((tally.received(), tally.conflated()), (5, 2));
        assert_eq!(tally.symbols(), 2);
        assert_eq!(tally.of("C"), Count::default());
    }

    #[test]
    fn a_new_snapshot_begins_anew() {
        let tally = tally(&[snapshot("A", 5), snapshot("A", 90), update("A", 91, 0)]);
        let count = tally.expect("all is explained").of("A");
        assert_eq!((count.first, count.last, count.received), (90, 91, 2));
    }

    #[test]
    fn what_is_not_explained_is_said() {
        let refused = |updates: &[StockUpdate]| tally(updates).expect_err("a fault");
        let gap = refused(&[snapshot("A", 5), update("A", 7, 0)]);
        assert!(gap.contains("7 after 5"), "{gap}");
        refused(&[snapshot("A", 5), update("A", 5, 0)]);
        refused(&[snapshot("A", 5), update("A", 7, 2)]);
        refused(&[snapshot("A", 5), update("A", 4, 0)]);
        refused(&[update("A", 5, 1)]);
        refused(&[update("A", 0, 0)]);
    }
}
