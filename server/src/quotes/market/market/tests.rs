use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn walk(seed: u64, name: &str) -> Walk {
    Walk::new(&Arc::new(Market::new(seed)), &symbol(name))
}

fn day_of(seed: u64, name: &str, day: u64) -> Vec<Trade> {
    let mut walk = walk(seed, name);
    let ticks = day * DAY_TICKS..(day + 1) * DAY_TICKS;
    ticks.map(|tick| walk.trade_at(tick, SECOND)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean and variance of normal numbers are within `5` deviations of the estimates' own.
fn assert_normal(values: &[f64], expected_mean: f64, expected_deviation: f64) {
    let count = values.len() as f64;
    let found = mean(values);
    let bound = 5.0 * expected_deviation / count.sqrt();
    assert!(
        (found - expected_mean).abs() < bound,
        "mean {found}, expected {expected_mean} ± {bound}"
    );
    let squares: Vec<f64> = values.iter().map(|v| (v - found).powi(2)).collect();
    let ratio = mean(&squares) / expected_deviation.powi(2);
    let bound = 5.0 * (2.0 / count).sqrt();
    assert!(
        (ratio - 1.0).abs() < bound,
        "variance {ratio} ± {bound} of what it should be"
    );
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let pairs = || a.iter().zip(b).map(|(a, b)| (a - mean_a, b - mean_b));
    let both: f64 = pairs().map(|(a, b)| a * b).sum();
    let (of_a, of_b): (f64, f64) = pairs().fold((0.0, 0.0), |(sum_a, sum_b), (a, b)| {
        (sum_a + a * a, sum_b + b * b)
    });
    both / (of_a * of_b).sqrt()
}

/// Logarithmic returns from close to close.
fn daily_returns(market: &Arc<Market>, name: &str, days: u64) -> Vec<f64> {
    let mut walk = Walk::new(market, &symbol(name));
    let mut factor = factor_days(market.seed);
    // Without the ticks between, which other tests look at.
    let closes: Vec<f64> = (0..=days)
        .map(|day| {
            let (factor, own) = (factor.close_before(day), walk.days.close_before(day));
            walk.motion.height(factor, own, day as f64)
        })
        .collect();
    closes.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn seed_symbol_and_tick_decide_a_trade() {
    // Written down once: another machine or another version must make the same market.
    let trade = walk(7, "AAPL").trade_at(DAY_TICKS + 1_000, SECOND);
    assert_eq!(trade.sequence, DAY_TICKS + 1_001);
    assert_eq!(trade.at, SECOND * (DAY_TICKS as u32 + 1_000));
    let dollars = [
        trade.price,
        trade.previous_close,
        trade.bid.expect("a bid"),
        trade.ask.expect("an ask"),
        trade.day.open,
        trade.day.high,
        trade.day.low,
    ]
    .map(Price::dollars);
    assert_eq!(
        dollars,
        [233.27, 233.06, 233.25, 233.27, 232.87, 233.72, 232.7]
    );
    assert_eq!((trade.volume, trade.day.volume), (181, 247_908));
}

#[test]
fn it_does_not_matter_which_ticks_were_asked_for_before() {
    let (mut every, mut late) = (walk(3, "NVDA"), walk(3, "NVDA"));
    let mut last = None;
    for tick in 0..DAY_TICKS + 500 {
        last = Some(every.trade_at(tick, SECOND));
    }
    assert_eq!(last, Some(late.trade_at(DAY_TICKS + 499, SECOND)));
    // What is past is past.
    assert_eq!(last, Some(late.trade_at(DAY_TICKS + 3, SECOND)));
    assert_eq!(last, Some(late.trade_at(5, SECOND)));
}

#[test]
fn one_market_moves_for_those_who_are_a_day_apart() {
    let market = Arc::new(Market::new(9));
    let ahead = Walk::new(&market, &symbol("KO")).trade_at(5 * DAY_TICKS, SECOND);
    let behind = Walk::new(&market, &symbol("KO")).trade_at(4 * DAY_TICKS + 7, SECOND);
    assert_eq!(ahead, walk(9, "KO").trade_at(5 * DAY_TICKS, SECOND));
    assert_eq!(behind, walk(9, "KO").trade_at(4 * DAY_TICKS + 7, SECOND));
}

#[test]
fn all_symbols_share_one_copy_of_the_days_factor() {
    let market = Arc::new(Market::new(1));
    let day = 3;
    let walks: Vec<_> = (0..100)
        .map(|n| {
            let mut walk = Walk::new(&market, &symbol(&format!("S{n}")));
            // Not the first day, which would be another copy for each.
            assert!(walk.today.is_none());
            walk.trade_at(day * DAY_TICKS + n, SECOND);
            walk
        })
        .collect();
    let shared = market.factor(day);
    for walk in &walks {
        let today = walk.today.as_ref().expect("a day was begun");
        assert!(Arc::ptr_eq(&today.factor, &shared));
    }
}

#[test]
fn another_seed_or_symbol_is_another_walk() {
    let prices = |seed, name| -> Vec<_> { day_of(seed, name, 0).iter().map(|t| t.price).collect() };
    assert_eq!(prices(1, "AAPL"), prices(1, "AAPL"));
    assert_ne!(prices(1, "AAPL"), prices(2, "AAPL"));
    assert_ne!(prices(1, "GOOG"), prices(1, "GOOGL"));
}

#[test]
fn ticks_move_as_far_as_the_volatility_says() {
    // TSLA: 1.9 x 16 % and 50 % in a year; $320, so that a cent's rounding is a fifth of a move.
    let trades = day_of(3, "TSLA", 4);
    let steps: Vec<f64> = trades
        .windows(2)
        .map(|pair| (pair[1].price.dollars() / pair[0].price.dollars()).ln())
        .collect();
    let year = 0.16_f64.mul_add(1.9, 0.0).hypot(0.5);
    let tick = year * (0.8_f64 / (252.0 * 23_400.0)).sqrt();
    // The grid adds the variance of two roundings, a twelfth of a step's square each.
    let cent = 0.01 / trades[0].price.dollars();
    let deviation = (tick * tick + cent * cent / 6.0).sqrt();
    let squares: Vec<f64> = steps.iter().map(|s| s * s).collect();
    let ratio = mean(&squares) / deviation.powi(2);
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}"); // 5 x sqrt(2 / 23399)
    // 64 steps reach eight times as far as one: a walk, not noise around a price.
    let far: Vec<f64> = trades
        .chunks(64)
        .collect::<Vec<_>>()
        .windows(2)
        .map(|pair| (pair[1][0].price.dollars() / pair[0][0].price.dollars()).ln())
        .collect();
    assert_normal(&far, 0.0, 8.0 * tick);
}

#[test]
fn days_return_what_drift_and_volatility_say() {
    let market = Arc::new(Market::new(21));
    let days = 4_000;
    for (name, beta, own) in [("AAPL", 1.2, 0.19), ("KO", 0.4, 0.12)] {
        let year = (0.16_f64 * beta).hypot(own);
        let mean = (0.06 - year * year / 2.0) / 252.0;
        let returns = daily_returns(&market, name, days);
        assert_normal(&returns, mean, year / 252.0_f64.sqrt());
    }
}

#[test]
fn the_drift_is_there() {
    // One symbol's drift drowns in its noise; the mean over many markets shows it, of a calm symbol
    // the return, of a wild one what half its variance takes from the logarithm.
    let (years, markets) = (4.0_f64, 400);
    for (name, beta, own) in [("BRK.B", 0.6, 0.12), ("TSLA", 1.9, 0.50)] {
        let returns: Vec<f64> = (0..markets)
            .map(|seed| {
                let market = Arc::new(Market::new(seed));
                daily_returns(&market, name, 1_008).iter().sum::<f64>()
            })
            .collect();
        let variance = (0.16_f64 * beta).powi(2) + own * own;
        let (earned, taken) = (years * 0.06, years * variance / 2.0);
        let deviation = (variance * years).sqrt();
        assert_normal(&returns, earned - taken, deviation);
        let bound = 5.0 * deviation / f64::from(markets as u32).sqrt();
        assert!(
            bound < earned.max(taken),
            "without it the test would not fail"
        );
    }
}

#[test]
fn the_market_moves_all_and_each_moves_alone() {
    let market = Arc::new(Market::new(2));
    let days = 4_000;
    let (apple, coke) = (
        daily_returns(&market, "AAPL", days),
        daily_returns(&market, "KO", days),
    );
    let share = |beta: f64, own: f64| beta * 0.16 / (beta * 0.16).hypot(own);
    let expected = share(1.2, 0.19) * share(0.4, 0.12);
    let bound = 5.0 * (1.0 - expected * expected) / (days as f64).sqrt();
    let found = correlation(&apple, &coke);
    assert!(
        (found - expected).abs() < bound,
        "{found}, expected {expected} ± {bound}"
    );
    let other = Arc::new(Market::new(3));
    let elsewhere = correlation(&apple, &daily_returns(&other, "AAPL", days));
    assert!(elsewhere.abs() < 5.0 / (days as f64).sqrt(), "{elsewhere}");
}

#[test]
fn volume_rises_with_the_move() {
    let trades = day_of(4, "MSFT", 0);
    let mut moves: Vec<(f64, f64)> = trades
        .windows(2)
        .map(|pair| {
            (
                pair[1].price.less(pair[0].price).abs(),
                f64::from(pair[1].volume),
            )
        })
        .collect();
    moves.sort_by(|a, b| a.0.total_cmp(&b.0));
    let quarter = moves.len() / 4;
    let volumes = |part: &[(f64, f64)]| mean(&part.iter().map(|(_, v)| *v).collect::<Vec<_>>());
    let (calm, wild) = (volumes(&moves[..quarter]), volumes(&moves[3 * quarter..]));
    // E[1 + z²] is 1.03 in the calmest quarter of normal moves and 3.5 in the wildest.
    assert!((2.5..4.5).contains(&(wild / calm)), "{wild} against {calm}");
}

#[test]
fn every_trade_agrees_with_itself_and_with_the_day() {
    for name in ["AAPL", "F", "S3", "S11", "ZZZZ", "0700.HK", "A", "PENNY"] {
        let (yesterday, today) = (day_of(8, name, 1), day_of(8, name, 2));
        let close = yesterday.last().expect("trades").price;
        let mut day: Option<Day> = None;
        let mut before: Option<Trade> = None;
        for trade in &today {
            let so_far = match day {
                Some(day) => day.and(trade.price, trade.volume),
                None => Day::new(trade.price, trade.volume),
            };
            assert_eq!(trade.day, so_far, "{name}");
            day = Some(so_far);
            assert!(trade.day.low <= trade.price && trade.price <= trade.day.high);
            assert_eq!(trade.previous_close, close, "{name}");
            assert!(trade.volume >= 1);
            let ask = trade.ask.expect("an ask");
            assert!(
                trade.price <= ask && trade.bid.is_none_or(|bid| bid <= trade.price && bid < ask)
            );
            if let Some(before) = before {
                assert_eq!(trade.sequence, before.sequence + 1);
                assert_eq!(trade.at, before.at + SECOND);
            }
            before = Some(*trade);
        }
    }
}

#[test]
fn prices_are_on_the_grid_on_both_sides_of_a_dollar() {
    let mut below = 0;
    for n in 0..200 {
        for trade in walk(1, &format!("S{n}")).market_sample() {
            for price in [Some(trade.price), trade.bid, trade.ask]
                .into_iter()
                .flatten()
            {
                let tick = if price.dollars() < 1.0 { 1e-4 } else { 1e-2 };
                let ticks = price.dollars() / tick;
                assert!((ticks - ticks.round()).abs() < 1e-6, "{price:?}");
                below += usize::from(price.dollars() < 1.0);
            }
        }
    }
    assert!(below > 1_000, "{below} prices below a dollar");
}

impl Walk {
    fn market_sample(mut self) -> Vec<Trade> {
        (0..100).map(|tick| self.trade_at(tick, SECOND)).collect()
    }
}

#[test]
fn prices_stay_prices_for_ever() {
    for seed in 0..20 {
        let mut walk = walk(seed, "SHORT-TICKS");
        for day in [0, 1, 1_000, 100_000] {
            let trade = walk.trade_at(day * DAY_TICKS, Duration::from_millis(1));
            assert!((1e-4..=1e7).contains(&trade.price.dollars()), "{trade:?}");
        }
    }
    let far = walk(1, "AAPL").trade_at(3, Duration::MAX);
    assert_eq!(far.at, Duration::from_nanos(u64::MAX));
}
