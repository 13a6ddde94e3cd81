//! The simulated market: what every symbol trades at, tick by tick.
//!
//! Prices are geometric Brownian motion. The logarithm of a symbol's price is moved by the whole
//! market as far as its beta says and by a motion of its own (the single-index model, Sharpe 1963),
//! and the price is expected to grow by 6 % a year. Seed, symbol and tick decide every trade:
//! no clock, no task, and a symbol that nobody asks for costs nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::Symbol;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::StandardNormal;

use super::{
    brownian::{DAY_TICKS, Days, NIGHT, Session, TICK},
    instrument::{Instrument, fingerprint, scramble},
    price::{Grid, Price},
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
pub(crate) struct Market {
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

    /// At one of the day's ticks.
    fn at(&self, tick: u64) -> f64 {
        let value = self.values.get(tick as usize);
        value.copied().unwrap_or(self.close_before)
    }
}

impl Market {
    /// The market that this seed makes; the same on every machine.
    pub(crate) fn new(seed: u64) -> Self {
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
pub(crate) struct Walk {
    market: Arc<Market>,
    motion: Motion,
    key: u64,
    days: Days,
    /// Nothing before the first trade that is asked for: to begin a day costs the whole market's.
    today: Option<Today>,
}

/// How a symbol moves and is traded; heights are logarithms of prices that are not rounded yet.
#[derive(Debug)]
struct Motion {
    first_height: f64,
    /// What the whole market's motion and the symbol's own are multiplied by.
    market: f64,
    own: f64,
    /// A day.
    growth: f64,
    /// Standard deviation of one tick's step.
    tick: f64,
    spread: f64,
    lot: f64,
    grid: Grid,
    has_book: bool,
}

/// Where a walk is in its session. What a trade needs, but not the next, is worked out when it is
/// asked for.
#[derive(Debug)]
struct Today {
    day: u64,
    factor: Arc<FactorDay>,
    own: Session,
    /// For all but the price.
    random: Xoshiro256PlusPlus,
    previous_close: Price,
    /// Trades made.
    ticks: u64,
    open: Price,
    /// The session's highest and lowest point, each with its height.
    high: (f64, Price),
    low: (f64, Price),
    last: f64,
    day_volume: u64,
    volume: i32,
    spread_noise: f64,
    took_ask: bool,
}

impl Walk {
    /// Before the symbol's first trade.
    pub(crate) fn new(market: &Arc<Market>, symbol: &Symbol) -> Self {
        let key = scramble(market.seed ^ scramble(fingerprint(symbol)));
        Self {
            market: Arc::clone(market),
            motion: Motion::of(&Instrument::of(symbol)),
            key,
            days: Days::new(key),
            today: None,
        }
    }

    /// The symbol's trade at a tick; ticks count from 0 and take the time `tick_time`. Goes on from
    /// the tick that was asked for last, over at most a day's ticks; of one before it, it answers
    /// with the newest trade.
    pub(crate) fn trade_at(&mut self, tick: u64, tick_time: Duration) -> Trade {
        let day = tick / DAY_TICKS;
        let (motion, days) = (&self.motion, &mut self.days);
        let today = match &mut self.today {
            Some(today) if today.day >= day => today,
            today => today.insert(Today::begin(&self.market, motion, self.key, days, day)),
        };
        if today.day == day {
            while today.ticks <= tick % DAY_TICKS {
                today.step(motion);
            }
        }
        today.trade(motion, tick_time)
    }
}

impl Motion {
    fn of(instrument: &Instrument) -> Self {
        let market = instrument.beta * MARKET_VOLATILITY / YEAR.sqrt();
        let own = instrument.own_volatility / YEAR.sqrt();
        let variance = market * market + own * own;
        Self {
            first_height: libm::log(instrument.first_close),
            market,
            own,
            // The mean of a log-normal price grows by half the variance by itself.
            growth: RETURN / YEAR - variance / 2.0,
            tick: (variance * TICK).sqrt(),
            spread: instrument.spread,
            lot: instrument.lot,
            grid: instrument.grid,
            has_book: instrument.has_book,
        }
    }

    /// The price at a height.
    fn price(&self, height: f64) -> Price {
        Price::nearest(libm::exp(height), self.grid)
    }

    fn height(&self, factor: f64, own: f64, days: f64) -> f64 {
        self.first_height + self.market * factor + self.own * own + self.growth * days
    }
}

impl Today {
    fn begin(market: &Market, motion: &Motion, key: u64, days: &mut Days, day: u64) -> Self {
        let factor = market.factor(day);
        let own_close = days.close_before(day);
        let close_before = motion.height(factor.close_before, own_close, day as f64);
        let previous_close = motion.price(close_before);
        let mut today = Self {
            day,
            factor,
            own: days.session(day),
            random: Xoshiro256PlusPlus::seed_from_u64(scramble(key ^ scramble(!day))),
            previous_close,
            ticks: 0,
            open: previous_close,
            high: (f64::NEG_INFINITY, previous_close),
            low: (f64::INFINITY, previous_close),
            last: close_before,
            day_volume: 0,
            volume: 0,
            spread_noise: 0.0,
            took_ask: false,
        };
        today.step(motion);
        today.open = motion.price(today.last);
        today
    }

    fn step(&mut self, motion: &Motion) {
        let factor = self.factor.at(self.ticks);
        self.ticks += 1;
        let days = self.day as f64 + NIGHT + TICK * self.ticks as f64;
        let height = motion.height(factor, self.own.step(), days);
        let moved = ((height - self.last) / motion.tick).clamp(-LARGEST_MOVE, LARGEST_MOVE);
        self.last = height;
        if height > self.high.0 {
            self.high = (height, motion.price(height));
        }
        if height < self.low.0 {
            self.low = (height, motion.price(height));
        }

        // Log-normal, and larger by the square of the move.
        let noise: f64 = self.random.sample(StandardNormal);
        let shares = motion.lot * libm::exp(LOT_DEVIATION * noise) * (1.0 + moved * moved);
        self.volume = shares.round().max(1.0) as i32; // one too large for it becomes the largest
        self.day_volume += u64::from(self.volume.unsigned_abs());
        self.spread_noise = self.random.sample(StandardNormal);
        self.took_ask = self.random.random();
    }

    /// The newest trade.
    fn trade(&self, motion: &Motion, tick_time: Duration) -> Trade {
        let sequence = self.day * DAY_TICKS + self.ticks;
        let last = motion.price(self.last);
        let (bid, ask) = self.book(motion, last);
        Trade {
            sequence,
            at: times(tick_time, sequence - 1),
            price: last,
            volume: self.volume,
            bid,
            ask,
            previous_close: self.previous_close,
            day: Day {
                open: self.open,
                high: self.high.1,
                low: self.low.1,
                volume: self.day_volume,
            },
        }
    }

    /// The trade took the best offer, from whichever side; the other side is a spread away.
    fn book(&self, motion: &Motion, last: Price) -> (Option<Price>, Option<Price>) {
        if !motion.has_book {
            return (None, None);
        }
        let noise = libm::exp(SPREAD_DEVIATION * self.spread_noise);
        let spread = last.dollars() * motion.spread * noise;
        if self.took_ask {
            let bid = Price::nearest(last.dollars() - spread, motion.grid);
            (
                last.below(motion.grid).map(|below| bid.min(below)),
                Some(last),
            )
        } else {
            let ask = Price::nearest(last.dollars() + spread, motion.grid);
            (Some(last), Some(ask.max(last.above(motion.grid))))
        }
    }
}

/// A moment so far away that it cannot be told is the last that can.
fn times(tick_time: Duration, count: u64) -> Duration {
    let nanos = tick_time.as_nanos().saturating_mul(count.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
