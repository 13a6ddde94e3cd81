//! The exchange: a market, simulated or recorded, that goes on with the clock, and what of it is told.
//!
//! Whoever asks first after a tick moves a symbol on; all others find it there. No task runs while
//! nobody listens, and nobody waits for anybody: a symbol is locked for as long as one tick of it
//! takes, or, when it was not asked for before, one day of ticks (a millisecond).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use proto::{Symbol, fin::StockUpdate};
use tokio::time::Instant;

use super::{
    nearest::nearest,
    not_traded::{MAX_EXAMPLES, NotTraded, Venue},
    playback::{Playback, Replay},
    stock_tape::Track,
    trade_clock::TradeClock,
};
use crate::quotes::market::{Directory, Market, Price, Trade, Walk};

/// The shortest tick; a shorter one is made this long.
pub(crate) const MIN_TICK: Duration = Duration::from_millis(1);

/// A recorded trade that is older than this is told only if it is the newest of its symbol.
const LATE: Duration = Duration::from_millis(250);

/// What readers are told at the end of a tape.
const TAPE_IS_OVER: &str = "the tape is over; the last prices stay";

/// Listings of symbols that nobody asks for any more are thrown away when there are so many, or
/// twice those that are left.
const MIN_LISTINGS: usize = 1_024;

/// Where trades come from.
#[derive(Debug, Clone)]
pub enum TradeSource {
    /// Made up, one a symbol and tick.
    Simulated {
        /// What the market is made from.
        seed: u64,
        /// Time between two trades of a symbol, at least 1 ms.
        tick: Duration,
        /// Whether symbols that are not listed are traded too, at prices that are made up.
        any_symbol: bool,
    },
    /// Read from a file. When it is over, the last prices stay.
    Recorded(Replay),
}

/// All symbols, from the moment at which it was opened.
#[derive(Debug)]
pub struct Exchange {
    clock: Clock,
    floor: Floor,
}

#[derive(Debug)]
enum Floor {
    Simulated {
        market: Arc<Market>,
        tick: Duration,
        any_symbol: bool,
        listings: Mutex<Listings>,
    },
    Recorded(Arc<Playback>),
}

#[derive(Debug, Default)]
struct Listings {
    by_symbol: HashMap<Symbol, Weak<Listing>>,
    sweep_at: usize,
}

impl Exchange {
    /// Opens it now.
    pub fn open(trades: TradeSource) -> Self {
        let floor = match trades {
            TradeSource::Simulated {
                seed,
                tick,
                any_symbol,
            } => Floor::Simulated {
                market: Arc::new(Market::new(seed)),
                tick: tick.max(MIN_TICK),
                any_symbol,
                listings: Mutex::default(),
            },
            TradeSource::Recorded(replay) => Floor::Recorded(Arc::new(Playback::new(replay))),
        };
        Self {
            clock: Clock::start(),
            floor,
        }
    }

    /// Time since the opening.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// A moment since the opening on the clock that timers follow; `None` if it is too far away.
    pub fn instant(&self, at: Duration) -> Option<Instant> {
        self.clock.opened.checked_add(at)
    }

    /// When something may be traded next, after a moment; `None` when nothing will be.
    pub fn next_trade_after(&self, now: Duration) -> Option<Duration> {
        match &self.floor {
            Floor::Simulated { tick, .. } => {
                // The remainder is less than a tick; a tick of more than 584 years may be cut short.
                let since = now.as_nanos() % tick.as_nanos();
                let since = Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX));
                Some(now.saturating_add(*tick - since))
            }
            Floor::Recorded(playback) => playback.next_trade_after(now),
        }
    }

    /// What readers are to be told of the whole market at a moment, if anything.
    pub fn notice(&self, now: Duration) -> Option<&'static str> {
        match &self.floor {
            Floor::Recorded(playback) if playback.is_over(now) => Some(TAPE_IS_OVER),
            _ => None,
        }
    }

    /// Comes with the end of a tape; never where there is none.
    pub async fn tape_over(&self) {
        match &self.floor {
            Floor::Simulated { .. } => std::future::pending().await,
            Floor::Recorded(playback) => match self.instant(playback.over_at().await) {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            },
        }
    }

    /// Where a symbol's trades can be asked for, for as long as somebody holds it. The first that is on
    /// a tape that waits for a reader starts it.
    ///
    /// # Errors
    ///
    /// [`NotTraded`] when it is neither listed nor on the tape; [`explained`](Self::explained) makes it
    /// fit to be told.
    pub fn listing(&self, symbol: &Symbol) -> Result<Arc<Listing>, NotTraded> {
        let security = Directory::get().find(symbol);
        let new = |source| {
            Arc::new(Listing {
                symbol: symbol.clone(),
                name: security.map_or("", |security| security.name.as_str()),
                clock: self.clock.clone(),
                source,
            })
        };
        match &self.floor {
            Floor::Simulated {
                market,
                tick,
                any_symbol,
                listings,
            } => {
                if security.is_none() && !any_symbol {
                    return Err(NotTraded::new(symbol, Venue::Market));
                }
                let mut listings = listings.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(listings.find_or_add(symbol, || {
                    new(Source::Walk {
                        tick: *tick,
                        walk: Box::new(Mutex::new(Walk::new(market, symbol))),
                        newest: ArcSwapOption::empty(),
                    })
                }))
            }
            Floor::Recorded(playback) => match playback.tape().track(symbol) {
                Some(track) => {
                    playback.has_reader(self.now());
                    Ok(new(Source::Track {
                        track: Arc::clone(track),
                        playback: Arc::clone(playback),
                    }))
                }
                None => Err(NotTraded::new(symbol, Venue::TradeSource)),
            },
        }
    }

    /// The refusal with what is traded here and may have been meant. Takes some 50 µs.
    pub fn explained(&self, refusal: NotTraded) -> NotTraded {
        let directory = Directory::get();
        match &self.floor {
            Floor::Simulated { .. } => {
                let securities = directory.securities().iter();
                let known = securities.map(|security| (&security.symbol, security.name.as_str()));
                let near = nearest(refusal.symbol(), known);
                let examples = directory.securities().iter();
                refusal
                    .with_near(near)
                    .with_examples(examples.map(|security| &security.symbol))
            }
            Floor::Recorded(playback) => {
                let symbols = playback.tape().symbols();
                let near = match symbols.len() {
                    // All of them are told.
                    0..=MAX_EXAMPLES => Vec::new(),
                    _ => {
                        let name = |symbol| directory.find(symbol).map_or("", |s| s.name.as_str());
                        let known = symbols.iter().map(|symbol| (*symbol, name(symbol)));
                        nearest(refusal.symbol(), known)
                    }
                };
                refusal.with_near(near).with_examples(symbols.into_iter())
            }
        }
    }
}

impl Listings {
    fn find_or_add(&mut self, symbol: &Symbol, new: impl FnOnce() -> Arc<Listing>) -> Arc<Listing> {
        if let Some(listing) = self.by_symbol.get(symbol).and_then(Weak::upgrade) {
            return listing;
        }
        if self.by_symbol.len() >= self.sweep_at {
            self.by_symbol
                .retain(|_, listing| listing.strong_count() > 0);
            self.sweep_at = MIN_LISTINGS.max(2 * self.by_symbol.len());
        }
        let listing = new();
        self.by_symbol
            .insert(symbol.clone(), Arc::downgrade(&listing));
        listing
    }
}

/// One symbol's trades as they are told.
#[derive(Debug)]
pub struct Listing {
    symbol: Symbol,
    /// What it stands for; empty if nobody knows.
    name: &'static str,
    clock: Clock,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Walk {
        tick: Duration,
        walk: Box<Mutex<Walk>>,
        /// The newest trade as everybody is told it; read without a lock, by all threads at once.
        newest: ArcSwapOption<StockUpdate>,
    },
    Track {
        track: Arc<Track>,
        playback: Arc<Playback>,
    },
}

impl Listing {
    /// Which symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// How many trades there have been until a moment.
    pub fn sequence_at(&self, now: Duration) -> u64 {
        match &self.source {
            Source::Walk { tick, .. } => tick_at(*tick, now) + 1,
            Source::Track { track, playback } => playback.sequence_at(track, now),
        }
    }

    /// What is to be told at a moment to one who was told the trade `told`, or nothing yet (0): the
    /// newest trade, or of a recorded tape the next, unless that is old.
    pub fn update_after(self: &Arc<Self>, told: u64, now: Duration) -> Option<StockUpdate> {
        let update = match &self.source {
            Source::Walk { tick, walk, newest } => {
                let tick_now = tick_at(*tick, now);
                let known = newest.load();
                match known.as_deref() {
                    Some(update) if update.sequence > tick_now => {
                        (update.sequence > told).then(|| update.clone())
                    }
                    _ => {
                        let mut walk = walk.lock().unwrap_or_else(PoisonError::into_inner);
                        let update = self.update(&walk.trade_at(tick_now, *tick));
                        // Where nobody else listens, nobody else will ask for it.
                        if Arc::strong_count(self) > 1 {
                            newest.store(Some(Arc::new(update.clone())));
                        }
                        (update.sequence > told).then_some(update)
                    }
                }
            }
            Source::Track { track, playback } => {
                let newest = playback.sequence_at(track, now);
                let next = playback.trade(track, newest.min(told + 1))?;
                let is_late = now.saturating_sub(next.at) > LATE;
                let trade = match told == 0 || is_late {
                    true => playback.trade(track, newest)?,
                    false => next,
                };
                (trade.sequence > told).then(|| self.update(&trade))
            }
        };
        update.map(|update| StockUpdate {
            snapshot: told == 0,
            name: match told {
                0 => self.name.to_owned(),
                _ => String::new(),
            },
            conflated: match told {
                0 => 0,
                told => u32::try_from(update.sequence - told - 1).unwrap_or(u32::MAX),
            },
            ..update
        })
    }

    fn update(&self, trade: &Trade) -> StockUpdate {
        let time_us = self.clock.trades.unix_us(trade.at);
        StockUpdate {
            ticker_symbol: self.symbol.to_string(),
            current_price: trade.price.dollars(),
            price_change: trade.price.less(trade.previous_close),
            change_percent: trade.price.percent_from(trade.previous_close),
            timestamp: time_us.div_euclid(1_000_000),
            volume: trade.volume,
            sequence: trade.sequence,
            bid_price: trade.bid.map_or(0.0, Price::dollars),
            ask_price: trade.ask.map_or(0.0, Price::dollars),
            day_open: trade.day.open.dollars(),
            day_high: trade.day.high.dollars(),
            day_low: trade.day.low.dollars(),
            day_volume: trade.day.volume,
            trade_time_us: time_us,
            ..StockUpdate::default()
        }
    }
}

fn tick_at(tick: Duration, now: Duration) -> u64 {
    // 584 years of nanoseconds: more than anything runs.
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    nanos(now) / nanos(tick)
}

/// When the exchange was opened, on the clocks that it goes by. All clones are one.
#[derive(Debug, Clone)]
struct Clock {
    /// For the market, and for timers.
    opened: Instant,
    /// The same on a clock that goes on as the machine's own does, also where a test moves the other.
    opened_by_system: SystemInstant,
    trades: Arc<TradeClock>,
}

impl Clock {
    fn start() -> Self {
        Self {
            opened: Instant::now(),
            opened_by_system: SystemInstant::now(),
            trades: Arc::new(TradeClock::open(unix_time())),
        }
    }

    /// Time since the opening; looks also whether the machine's clock was set.
    fn now(&self) -> Duration {
        self.trades
            .observe(self.opened_by_system.elapsed(), unix_time());
        self.opened.elapsed()
    }
}

fn unix_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotes::exchange::stock_tape::StockTape;

    const TICK: Duration = Duration::from_secs(1);

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn simulated(any_symbol: bool) -> Exchange {
        Exchange::open(TradeSource::Simulated {
            seed: 1,
            tick: TICK,
            any_symbol,
        })
    }

    fn recorded(text: &str) -> Exchange {
        Exchange::open(TradeSource::Recorded(Replay {
            tape: Arc::new(StockTape::from_text(text)),
            waits: false,
            loops: false,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_subscriber_gets_a_snapshot_and_then_each_trade() {
        let exchange = simulated(false);
        let listing = exchange.listing(&symbol("AAPL")).expect("it is listed");
        let at = |ticks: u32| TICK * ticks + TICK / 2;
        let first = listing.update_after(0, at(500)).expect("a snapshot");
        assert!(first.snapshot);
        assert_eq!(first.name, "Apple");
        assert_eq!((first.sequence, first.conflated), (501, 0));
        assert_eq!(listing.sequence_at(at(500)), 501);
        assert!(
            first.day_volume > 500,
            "the day was there before: {first:?}"
        );
        assert!(first.day_low < first.day_high, "{first:?}");
        assert_eq!(listing.update_after(501, at(500)), None);
        let second = listing.update_after(501, at(501)).expect("a trade");
        assert_eq!(
            (second.sequence, second.conflated, second.snapshot),
            (502, 0, false)
        );
        assert_eq!(second.trade_time_us - first.trade_time_us, 1_000_000);
        assert_eq!(second.timestamp, second.trade_time_us / 1_000_000);
        assert_eq!(second.name, "", "once is enough");
        let late = listing.update_after(502, at(601)).expect("a trade");
        assert_eq!((late.sequence, late.conflated), (602, 99));
    }

    #[tokio::test(start_paused = true)]
    async fn forgotten_symbols_leave_no_trace() {
        let exchange = simulated(true);
        let kept = exchange.listing(&symbol("AAPL")).expect("traded");
        for n in 0..10_000 {
            exchange.listing(&symbol(&format!("S{n}"))).expect("traded");
        }
        let Floor::Simulated { listings, .. } = &exchange.floor else {
            unreachable!()
        };
        let left = listings.lock().expect("nobody panicked").by_symbol.len();
        assert!(left <= MIN_LISTINGS, "{left}");
        let again = exchange.listing(&symbol("AAPL")).expect("traded");
        assert!(Arc::ptr_eq(&kept, &again));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tape_is_told_trade_by_trade_until_the_reader_is_late() {
        let rows: String = (0..100)
            .map(|n| format!("{},AAPL,{},1\n", n as f64 / 10.0, 100 + n))
            .collect();
        let text = format!("timestamp,ticker_symbol,current_price,volume\n{rows}");
        let exchange = recorded(&text);
        let listing = exchange.listing(&symbol("AAPL")).expect("on the tape");
        let told = |told, at: u64| {
            let update = listing.update_after(told, Duration::from_millis(at))?;
            Some((update.sequence, update.conflated, update.snapshot))
        };
        assert_eq!(told(0, 50), Some((1, 0, true)));
        assert_eq!(told(1, 50), None);
        // Two trades behind and 250 ms: in order. Three, and older: the newest.
        assert_eq!(told(1, 300), Some((2, 0, false)));
        assert_eq!(told(2, 300), Some((3, 0, false)));
        assert_eq!(told(1, 450), Some((5, 3, false)));
        // Long after its end the last price stands, for new ones too.
        assert_eq!(told(100, 1_000_000), None);
        assert_eq!(told(0, 1_000_000), Some((100, 0, true)));
        assert_eq!(
            exchange.next_trade_after(Duration::from_millis(9_900)),
            None
        );
        assert_eq!(
            refusal(&exchange, "MSFT"),
            "MSFT is not on the tape that is played here; there is AAPL"
        );
    }

    fn refusal(exchange: &Exchange, name: &str) -> String {
        let refusal = exchange.listing(&symbol(name)).expect_err(name);
        exchange.explained(refusal).to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_listed_is_refused_with_what_was_perhaps_meant() {
        let exchange = simulated(false);
        let typo = refusal(&exchange, "APPL");
        assert!(
            typo.starts_with(
                "APPL is not listed here; did you mean AAPL (Apple), APP (AppLovin) or "
            ),
            "{typo}"
        );
        let nothing = refusal(&exchange, "QQQQQQQQ");
        assert!(nothing.contains("there is AAPL, MSFT,"), "{nothing}");
        assert!(nothing.ends_with(" more"), "{nothing}");
        for listed in ["AAPL", "BRK.B", "^GSPC", "EURUSD=X"] {
            assert!(exchange.listing(&symbol(listed)).is_ok(), "{listed}");
        }
        assert!(simulated(true).listing(&symbol("APPL")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_long_tape_what_is_near_is_told() {
        let rows: String = (b'A'..=b'Z')
            .map(|letter| format!("1,{0}{0}{0}{0}1,10,1\n", letter as char))
            .collect();
        let exchange = recorded(&format!(
            "timestamp,ticker_symbol,current_price,volume\n{rows}1,AAPL,10,1\n"
        ));
        assert_eq!(
            refusal(&exchange, "APPL"),
            "APPL is not on the tape that is played here; did you mean AAPL (Apple)?"
        );
        let nothing = refusal(&exchange, "12345678");
        assert!(nothing.ends_with("and 17 more"), "{nothing}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_index_has_no_book_and_a_currency_five_decimals() {
        let exchange = simulated(false);
        let snapshot = |name: &str| {
            let listing = exchange.listing(&symbol(name)).expect("it is listed");
            listing.update_after(0, TICK * 1_000).expect("a snapshot")
        };
        let index = snapshot("^GSPC");
        assert_eq!((index.bid_price, index.ask_price), (0.0, 0.0));
        assert!((5_000.0..7_500.0).contains(&index.current_price));
        let euro = snapshot("EURUSD=X");
        assert!((1.0..1.4).contains(&euro.current_price), "{euro:?}");
        assert!(euro.ask_price - euro.bid_price < 0.001, "{euro:?}");
        assert!(euro.bid_price < euro.ask_price, "{euro:?}");
        let pips = euro.current_price * 1e5;
        assert!((pips - pips.round()).abs() < 1e-6, "{euro:?}");
    }
}
