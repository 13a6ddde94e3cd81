//! A recorded tape while it plays: since when, once or over and over, and whether it is over.
//!
//! Times are those of the exchange, which count from its opening. Pure, but for the notice of its end.

use std::{sync::Arc, time::Duration};

use tokio::sync::SetOnce;

use super::stock_tape::{StockTape, Track};
use crate::quotes::market::Trade;

/// The least time from the last trade of one pass to the first of the next.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// The same where a tape has one moment only.
const LONE_PAUSE: Duration = Duration::from_secs(1);

/// What is to be played, and how.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The trades.
    pub tape: Arc<StockTape>,
    /// Whether it begins when somebody subscribes to one of its symbols, not when the exchange opens.
    pub waits: bool,
    /// Whether it begins again when it is over.
    pub loops: bool,
}

/// A tape that plays, or waits for its first reader.
#[derive(Debug)]
pub(super) struct Playback {
    tape: Arc<StockTape>,
    began: SetOnce<Duration>,
    /// From the beginning of one pass to that of the next; `None`: there is one.
    period: Option<Duration>,
}

impl Playback {
    /// From the opening on, unless it waits.
    pub(super) fn new(replay: Replay) -> Self {
        let began = match replay.waits {
            true => SetOnce::new(),
            false => SetOnce::new_with(Some(Duration::ZERO)),
        };
        Self {
            period: replay.loops.then(|| period(&replay.tape)),
            tape: replay.tape,
            began,
        }
    }

    /// What is played.
    pub(super) fn tape(&self) -> &StockTape {
        &self.tape
    }

    /// Somebody reads. The first one starts a tape that waits.
    pub(super) fn has_reader(&self, now: Duration) {
        if self.began.set(now).is_ok() {
            tracing::info!("the first reader is here: the tape begins");
        }
    }

    /// When something is traded next, after a moment; `None` while it waits, and when it is over.
    pub(super) fn next_trade_after(&self, now: Duration) -> Option<Duration> {
        let (begin, within) = self.pass_at(now)?;
        let next = match (self.tape.next_trade_after(within), self.period) {
            (Some(next), _) => next,
            (None, Some(period)) => period,
            (None, None) => return None,
        };
        Some(begin.saturating_add(next))
    }

    /// How many trades a track has had until a moment, those of earlier passes included.
    pub(super) fn sequence_at(&self, track: &Track, now: Duration) -> u64 {
        let Some((_, within)) = self.pass_at(now) else {
            return 0;
        };
        self.passes_before(now) * track.trades() + track.sequence_at(within)
    }

    /// A track's trade by its number, which counts from 1 and on through all passes.
    pub(super) fn trade(&self, track: &Track, sequence: u64) -> Option<Trade> {
        let index = sequence.checked_sub(1)?;
        let (pass, number) = match self.period {
            None => (0, sequence),
            Some(_) => (index / track.trades(), index % track.trades() + 1),
        };
        let trade = track.trade(number)?;
        let began = *self.began.get()?;
        Some(Trade {
            sequence,
            at: began
                .saturating_add(times(self.period.unwrap_or_default(), pass))
                .saturating_add(trade.at),
            ..*trade
        })
    }

    /// Whether nothing will be traded any more.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let end = self.began.get().map(|began| *began + self.tape.length());
        self.period.is_none() && end.is_some_and(|end| now >= end)
    }

    /// Comes when the last trade is known to be at this moment; never for a tape that begins again.
    pub(super) async fn over_at(&self) -> Duration {
        if self.period.is_some() {
            return std::future::pending().await;
        }
        *self.began.wait().await + self.tape.length()
    }

    /// When the pass of a moment began, and how long before the moment.
    fn pass_at(&self, now: Duration) -> Option<(Duration, Duration)> {
        let began = *self.began.get()?;
        // Who asked first may have looked at the clock before.
        let since = now.saturating_sub(began);
        let passed = times(self.period.unwrap_or_default(), self.passes_before(now));
        Some((began + passed, since.saturating_sub(passed)))
    }

    fn passes_before(&self, now: Duration) -> u64 {
        let (Some(period), Some(began)) = (self.period, self.began.get()) else {
            return 0;
        };
        let passes = now.saturating_sub(*began).as_nanos() / period.as_nanos();
        u64::try_from(passes).unwrap_or(u64::MAX)
    }
}

/// The tape's length, and a pause behind it that is as long as those within.
fn period(tape: &StockTape) -> Duration {
    let length = tape.length();
    let pause = match tape.moments() {
        0 | 1 => LONE_PAUSE,
        moments => length.div_f64((moments - 1) as f64).max(MIN_PAUSE),
    };
    length.saturating_add(pause)
}

fn times(duration: Duration, count: u64) -> Duration {
    let nanos = duration.as_nanos().saturating_mul(count.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAPE: &str = "timestamp,ticker_symbol,current_price,volume\n\
                        0,A,10,1\n1,B,20,1\n2,A,11,1\n4,A,12,1\n";

    fn playback(waits: bool, loops: bool) -> Playback {
        Playback::new(Replay {
            tape: Arc::new(StockTape::from_text(TAPE)),
            waits,
            loops,
        })
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn track(playback: &Playback, name: &str) -> Arc<Track> {
        let symbol = name.parse().expect("a symbol");
        let track = playback.tape().track(&symbol);
        Arc::clone(track.expect("it is on the tape"))
    }

    #[test]
    fn a_tape_that_waits_begins_with_its_first_reader() {
        let playback = playback(true, false);
        let a = track(&playback, "A");
        assert_eq!(playback.next_trade_after(ms(5_000)), None);
        assert_eq!(playback.sequence_at(&a, ms(5_000)), 0);
        assert_eq!(playback.trade(&a, 1), None);
        assert!(!playback.is_over(ms(60_000)));
        playback.has_reader(ms(60_000));
        playback.has_reader(ms(61_000)); // not the first
        assert_eq!(playback.next_trade_after(ms(59_999)), Some(ms(61_000)));
        assert_eq!(playback.next_trade_after(ms(61_000)), Some(ms(62_000)));
        assert_eq!(playback.sequence_at(&a, ms(60_000)), 1);
        assert_eq!(playback.sequence_at(&a, ms(62_000)), 2);
        let second = playback.trade(&a, 2).expect("a trade");
        assert_eq!((second.at, second.sequence), (ms(62_000), 2));
        assert!(!playback.is_over(ms(63_999)));
        assert!(playback.is_over(ms(64_000)));
        assert_eq!(playback.next_trade_after(ms(64_000)), None);
        assert_eq!(playback.trade(&a, 4), None);
    }

    #[test]
    fn a_tape_that_loops_begins_again_and_its_numbers_go_on() {
        let playback = playback(false, true);
        let (a, b) = (track(&playback, "A"), track(&playback, "B"));
        // Four moments in 4 s, and a pause of 4/3 s.
        let period = ms(4_000) + ms(4_000) / 3;
        assert_eq!(playback.next_trade_after(ms(4_000)), Some(period));
        assert_eq!(playback.next_trade_after(period), Some(period + ms(1_000)));
        for (passes, at) in [0_u32, 1, 1_000_000].map(|passes| (passes, period * passes)) {
            let before = u64::from(passes);
            assert_eq!(playback.sequence_at(&a, at), 3 * before + 1);
            // Of this pass there is none yet: the newest is of the pass before.
            assert_eq!(playback.sequence_at(&b, at), before);
            assert_eq!(playback.sequence_at(&b, at + ms(1_000)), before + 1);
            let third = playback.trade(&a, 3 * before + 3).expect("a trade");
            assert_eq!(third.at, at + ms(4_000));
            assert_eq!(third.price.dollars(), 12.0);
            assert_eq!(third.day.open.dollars(), 10.0, "each pass is a day");
            assert!(!playback.is_over(at));
        }
    }

    #[tokio::test]
    async fn one_moment_alone_comes_again_after_a_second() {
        let text = "timestamp,ticker_symbol,current_price,volume\n7,A,10,1\n";
        let playback = Playback::new(Replay {
            tape: Arc::new(StockTape::from_text(text)),
            waits: false,
            loops: true,
        });
        assert_eq!(playback.next_trade_after(ms(0)), Some(ms(1_000)));
        assert_eq!(playback.sequence_at(&track(&playback, "A"), ms(3_500)), 4);
    }
}
