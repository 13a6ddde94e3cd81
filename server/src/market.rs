//! The simulated market: what every symbol trades at, tick by tick.
//!
//! Prices are geometric Brownian motion. The logarithm of a symbol's price is moved by the whole
//! market as far as its beta says and by a motion of its own (the single-index model, Sharpe 1963),
//! and the price is expected to grow by [`RETURN`] a year. Seed, symbol and tick decide every trade:
//! no clock, no task, and a symbol that nobody asks for costs nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::Symbol;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::StandardNormal;

use crate::{
    brownian::{DAY_TICKS, Days, NIGHT, Session, TICK},
    instrument::{Instrument, fingerprint, scramble},
    price::Price,
    trade::{Day, Trade},
};

/// Trading days in a year.
const YEAR: f64 = 252.0;

/// Standard deviation of the whole market's logarithmic return in a year.
const MARKET_VOLATILITY: f64 = 0.16;

/// What a year in the market is expected to return.
const RETURN: f64 = 0.06;

/// Standard deviation of the logarithm of a trade's size, where the price does not move.
const LOT_DEVIATION: f64 = 0.8;

/// Standard deviation of the logarithm of the spread.
const SPREAD_DEVIATION: f64 = 0.5;

/// A move of more deviations than this, as over night, makes no larger trade.
const LARGEST_MOVE: f64 = 6.0;

/// All symbols, made from one seed.
#[derive(Debug)]
pub struct Market {
    seed: u64,
    /// What moves all of them, in the newest session that anybody asked for.
    factor: Mutex<Factor>,
}

#[derive(Debug)]
struct Factor {
    days: Days,
    newest: Option<(u64, Arc<FactorDay>)>,
}

/// The whole market's motion in one session.
#[derive(Debug)]
struct FactorDay {
    close_before: f64,
    /// One a tick.
    values: Vec<f64>,
}

impl FactorDay {
    fn new(days: &mut Days, day: u64) -> Self {
        let close_before = days.close_before(day);
        let mut session = days.session(day);
        Self {
            close_before,
            values: (0..DAY_TICKS).map(|_| session.step()).collect(),
        }
    }
}

impl Market {
    /// The market that this seed makes; the same on every machine.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            factor: Mutex::new(Factor {
                days: factor_days(seed),
                newest: None,
            }),
        }
    }

    fn factor(&self, day: u64) -> Arc<FactorDay> {
        let mut factor = self.factor.lock().unwrap_or_else(PoisonError::into_inner);
        match &factor.newest {
            Some((newest, path)) if *newest == day => Arc::clone(path),
            // Somebody is behind, which happens around midnight: this is not worth keeping.
            Some((newest, _)) if *newest > day => {
                Arc::new(FactorDay::new(&mut factor_days(self.seed), day))
            }
            _ => {
                let path = Arc::new(FactorDay::new(&mut factor.days, day));
                factor.newest = Some((day, Arc::clone(&path)));
                path
            }
        }
    }
}

fn factor_days(seed: u64) -> Days {
    Days::new(scramble(seed ^ scramble(1)))
}

/// One symbol's trades, one a tick.
#[derive(Debug)]
pub struct Walk {
    market: Arc<Market>,
    instrument: Instrument,
    key: u64,
    days: Days,
    today: Today,
}

/// Where a walk is in its session.
#[derive(Debug)]
struct Today {
    day: u64,
    factor: Arc<FactorDay>,
    own: Session,
    /// For all but the price.
    random: Xoshiro256PlusPlus,
    previous_close: Price,
    /// The logarithm of the last price, before it was rounded to the grid.
    height: f64,
    /// Trades made.
    ticks: u64,
    newest: Option<Trade>,
}

impl Walk {
    /// Before the symbol's first trade.
    pub fn new(market: &Arc<Market>, symbol: &Symbol) -> Self {
        let key = scramble(market.seed ^ scramble(fingerprint(symbol)));
        let instrument = Instrument::of(symbol);
        let mut days = Days::new(key);
        let today = Today::begin(market, &instrument, key, &mut days, 0);
        Self {
            market: Arc::clone(market),
            instrument,
            key,
            days,
            today,
        }
    }

    /// The symbol's trade at a tick; ticks count from 0 and take the time `tick_time`. Goes on from
    /// the tick that was asked for last, over at most a day's ticks; of one before it, it answers
    /// with the newest trade.
    pub fn trade_at(&mut self, tick: u64, tick_time: Duration) -> Trade {
        let day = tick / DAY_TICKS;
        if day > self.today.day {
            let (instrument, days) = (&self.instrument, &mut self.days);
            self.today = Today::begin(&self.market, instrument, self.key, days, day);
        }
        let wanted = if day == self.today.day {
            tick % DAY_TICKS + 1
        } else {
            0
        };
        loop {
            match self.today.newest {
                Some(newest) if self.today.ticks >= wanted => return newest,
                _ => self.today.trade(&self.instrument, tick_time),
            }
        }
    }
}

impl Today {
    fn begin(
        market: &Market,
        instrument: &Instrument,
        key: u64,
        days: &mut Days,
        day: u64,
    ) -> Self {
        let factor = market.factor(day);
        let close = close(instrument, factor.close_before, days.close_before(day), day);
        Self {
            day,
            factor,
            own: days.session(day),
            random: Xoshiro256PlusPlus::seed_from_u64(scramble(key ^ scramble(!day))),
            previous_close: Price::nearest(libm::exp(close)),
            height: close,
            ticks: 0,
            newest: None,
        }
    }

    fn trade(&mut self, instrument: &Instrument, tick_time: Duration) {
        let factor = self.factor.values[self.ticks as usize];
        self.ticks += 1;
        let days = self.day as f64 + NIGHT + TICK * self.ticks as f64;
        let height = height(instrument, factor, self.own.step(), days);
        let deviation = volatility(instrument) * TICK.sqrt();
        let moved = ((height - self.height) / deviation).clamp(-LARGEST_MOVE, LARGEST_MOVE);
        self.height = height;

        let price = Price::nearest(libm::exp(height));
        let volume = self.volume(instrument, moved);
        let (bid, ask) = self.book(instrument, price);
        let day = match self.newest {
            Some(before) => before.day.and(price, volume),
            None => Day::new(price, volume),
        };
        let sequence = self.day * DAY_TICKS + self.ticks;
        self.newest = Some(Trade {
            sequence,
            at: times(tick_time, sequence - 1),
            price,
            volume,
            bid,
            ask: Some(ask),
            previous_close: self.previous_close,
            day,
        });
    }

    /// Log-normal, and larger by the square of the move.
    fn volume(&mut self, instrument: &Instrument, moved: f64) -> i32 {
        let noise: f64 = self.random.sample(StandardNormal);
        let shares = instrument.lot * libm::exp(LOT_DEVIATION * noise) * (1.0 + moved * moved);
        shares.round().max(1.0) as i32 // one that is too large for it becomes the largest
    }

    /// The trade took the best offer, from whichever side; the other side is a spread away.
    fn book(&mut self, instrument: &Instrument, price: Price) -> (Option<Price>, Price) {
        let noise: f64 = self.random.sample(StandardNormal);
        let spread = price.dollars() * instrument.spread * libm::exp(SPREAD_DEVIATION * noise);
        if self.random.random() {
            let bid = Price::nearest(price.dollars() - spread);
            (price.below().map(|below| bid.min(below)), price)
        } else {
            let ask = Price::nearest(price.dollars() + spread).max(price.above());
            (Some(price), ask)
        }
    }
}

/// The logarithm of the price with which the day before ended.
fn close(instrument: &Instrument, factor: f64, own: f64, day: u64) -> f64 {
    height(instrument, factor, own, day as f64)
}

/// The logarithm of a price after so many days, before it is rounded to the grid.
fn height(instrument: &Instrument, factor: f64, own: f64, days: f64) -> f64 {
    let market = instrument.beta * MARKET_VOLATILITY / YEAR.sqrt() * factor;
    let own = instrument.own_volatility / YEAR.sqrt() * own;
    let growth = RETURN / YEAR - volatility(instrument).powi(2) / 2.0;
    libm::log(instrument.first_close) + market + own + growth * days
}

/// Standard deviation of the logarithm of the price over a day.
fn volatility(instrument: &Instrument) -> f64 {
    let market = instrument.beta * MARKET_VOLATILITY;
    libm::hypot(market, instrument.own_volatility) / YEAR.sqrt()
}

/// A moment so far away that it cannot be told is the last that can.
fn times(tick_time: Duration, count: u64) -> Duration {
    let nanos = tick_time.as_nanos().saturating_mul(count.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
