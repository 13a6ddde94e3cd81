//! What one ticker stream asked for, and which of it is due.
//!
//! Pure: time comes in as a number. Nothing here grows beyond [`MAX_SYMBOLS`].

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use proto::Symbol;

/// How many symbols one stream may ask for.
pub const MAX_SYMBOLS: usize = 1_000;

/// How many updates the lab's ticker sends for each request.
const LAB_UPDATES: u32 = 5;

/// How long the lab's ticker waits after each update.
const LAB_PAUSE: Duration = Duration::from_secs(2);

/// The stream asked for more than [`MAX_SYMBOLS`]. Another stream has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream can ask for at most {MAX_SYMBOLS} symbols; open another stream for more")]
pub struct TooManySymbols;

/// A set of symbols in the order of their subscription, each due once per tick, and at once when
/// it is new.
///
/// A reader that is too slow for the ticks skips some, the same for all its symbols: the turn goes
/// round, and what it comes to is told for the tick that is the newest then.
#[derive(Debug, Default)]
pub struct Subscriptions {
    entries: Vec<Entry>,
    known: HashSet<Symbol>,
    turn: usize,
}

#[derive(Debug)]
struct Entry {
    symbol: Symbol,
    told: Option<u64>,
}

impl Subscriptions {
    /// Adds a symbol and returns `true`; one that is already there stays where it is.
    ///
    /// # Errors
    ///
    /// [`TooManySymbols`] when there is no room for another one.
    pub fn subscribe(&mut self, symbol: Symbol) -> Result<bool, TooManySymbols> {
        if self.known.contains(&symbol) {
            return Ok(false);
        }
        if self.entries.len() == MAX_SYMBOLS {
            return Err(TooManySymbols);
        }
        self.known.insert(symbol.clone());
        self.entries.push(Entry { symbol, told: None });
        Ok(true)
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether [`next_due`](Self::next_due) has something to tell at this tick.
    pub fn is_due(&self, tick: u64) -> bool {
        self.find_due(tick).is_some()
    }

    /// The next symbol that was not told at this tick, which thereby is.
    pub fn next_due(&mut self, tick: u64) -> Option<&Symbol> {
        let place = self.find_due(tick)?;
        self.turn = place + 1;
        let entry = &mut self.entries[place];
        entry.told = Some(tick);
        Some(&entry.symbol)
    }

    fn find_due(&self, tick: u64) -> Option<usize> {
        let count = self.entries.len();
        (self.turn..self.turn + count)
            .map(|place| place % count)
            .find(|&place| self.entries[place].told != Some(tick))
    }
}

/// The lab's order: five updates for each request, a pause after each, request after request.
#[derive(Debug, Default)]
pub struct LabRequests {
    waiting: VecDeque<Symbol>,
    sent_of_first: u32,
    not_before: Duration,
}

impl LabRequests {
    /// Adds a request; a symbol that is asked for again is sent again.
    ///
    /// # Errors
    ///
    /// [`TooManySymbols`] when as many already wait.
    pub fn request(&mut self, symbol: Symbol) -> Result<(), TooManySymbols> {
        if self.waiting.len() == MAX_SYMBOLS {
            return Err(TooManySymbols);
        }
        self.waiting.push_back(symbol);
        Ok(())
    }

    /// Whether all that was asked for has been sent.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next update is due, if one is; times count from any fixed moment.
    pub fn due_at(&self) -> Option<Duration> {
        (!self.is_empty()).then_some(self.not_before)
    }

    /// The symbol whose update is due at `now`, which thereby is sent.
    pub fn next_due(&mut self, now: Duration) -> Option<Symbol> {
        let symbol = self.waiting.front().filter(|_| self.not_before <= now)?;
        let symbol = symbol.clone();
        self.not_before = now + LAB_PAUSE;
        self.sent_of_first += 1;
        if self.sent_of_first == LAB_UPDATES {
            self.sent_of_first = 0;
            self.waiting.pop_front();
        }
        Some(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn subscriptions(names: &[&str]) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        for name in names {
            subscriptions.subscribe(symbol(name)).expect("room");
        }
        subscriptions
    }

    /// All that is due at a tick, at most `limit` of it.
    fn due(subscriptions: &mut Subscriptions, tick: u64, limit: usize) -> Vec<String> {
        (0..limit)
            .map_while(|_| subscriptions.next_due(tick).map(ToString::to_string))
            .collect()
    }

    #[test]
    fn all_are_told_once_per_tick_in_the_order_of_subscription() {
        let mut subscriptions = subscriptions(&["TSLA", "AAPL", "MSFT"]);
        for tick in 0..3 {
            assert_eq!(due(&mut subscriptions, tick, 9), ["TSLA", "AAPL", "MSFT"]);
            assert!(!subscriptions.is_due(tick));
        }
    }

    #[test]
    fn a_new_symbol_is_due_at_once_and_a_duplicate_never() {
        let mut subscriptions = subscriptions(&["TSLA", "AAPL"]);
        assert_eq!(due(&mut subscriptions, 4, 9).len(), 2);
        subscriptions.subscribe(symbol("aapl")).expect("known");
        assert!(!subscriptions.is_due(4));
        subscriptions.subscribe(symbol("NVDA")).expect("room");
        assert_eq!(due(&mut subscriptions, 4, 9), ["NVDA"]);
        assert_eq!(due(&mut subscriptions, 5, 9), ["TSLA", "AAPL", "NVDA"]);
    }

    #[test]
    fn a_slow_reader_gets_the_newest_of_each_and_none_starves() {
        let mut subscriptions = subscriptions(&["A", "B", "C", "D", "E"]);
        assert_eq!(due(&mut subscriptions, 0, 2), ["A", "B"]);
        assert_eq!(due(&mut subscriptions, 7, 2), ["C", "D"]);
        assert_eq!(due(&mut subscriptions, 9, 2), ["E", "A"]);
        assert_eq!(due(&mut subscriptions, 9, 9), ["B", "C", "D"]);
    }

    #[test]
    fn the_limit_is_said_and_duplicates_do_not_count() {
        let mut subscriptions = Subscriptions::default();
        for n in 0..MAX_SYMBOLS {
            subscriptions
                .subscribe(symbol(&format!("S{n}")))
                .expect("room");
        }
        assert_eq!(subscriptions.subscribe(symbol("S5")), Ok(false));
        let error = subscriptions
            .subscribe(symbol("ONEMORE"))
            .expect_err("full");
        assert!(
            error.to_string().contains("at most 1000 symbols"),
            "{error}"
        );
        assert_eq!(subscriptions.len(), MAX_SYMBOLS);
    }

    #[test]
    fn the_lab_sends_five_of_each_with_pauses() {
        let mut requests = LabRequests::default();
        requests.request(symbol("AAPL")).expect("room");
        requests.request(symbol("TSLA")).expect("room");
        let mut now = Duration::from_secs(100);
        let mut sent = Vec::new();
        while let Some(at) = requests.due_at() {
            assert!(now + LAB_PAUSE >= at);
            now = now.max(at);
            sent.extend(
                requests
                    .next_due(now)
                    .map(|s| (s.to_string(), now.as_secs())),
            );
            assert_eq!(requests.next_due(now), None, "the pause is kept");
        }
        let times = (0..10).map(|n| 100 + 2 * n);
        let names = ["AAPL"; 5].into_iter().chain(["TSLA"; 5]);
        assert!(
            sent.iter()
                .map(|(s, t)| (s.as_str(), *t))
                .eq(names.zip(times))
        );
    }

    #[test]
    fn the_lab_has_a_limit_too() {
        let mut requests = LabRequests::default();
        for _ in 0..MAX_SYMBOLS {
            requests.request(symbol("AAPL")).expect("room");
        }
        assert_eq!(requests.request(symbol("AAPL")), Err(TooManySymbols));
    }
}
