//! Numbers, ages and trends as text of a limited width. Pure; no value is too strange for it.

use std::time::Duration;

use proto::price_decimals;

/// What stands for something that is not a number.
const NO_NUMBER: &str = "?";

/// The levels of a trend, from its lowest price to its highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A symbol's price, with as many decimals as it is traded in.
pub(crate) fn price(symbol: &str, price: f64, width: usize) -> String {
    number(price, price_decimals(symbol, price), false, width)
}

/// A change of a symbol's price, with its sign; as many decimals as the price has.
pub(crate) fn change(symbol: &str, change: f64, price: f64, width: usize) -> String {
    number(change, price_decimals(symbol, price), true, width)
}

/// A change in percent, with its sign.
pub(crate) fn percent(percent: f64, width: usize) -> String {
    number(percent, 2, true, width.saturating_sub(1)) + "%"
}

/// Which way the price went, judged by what is shown: a change that rounds to nothing is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
    Level,
}

impl Direction {
    /// Of a change of a symbol's price, shown beside this price.
    pub(crate) fn of(symbol: &str, change: f64, price: f64) -> Self {
        let shown = rounded(change, price_decimals(symbol, price));
        match shown {
            _ if shown > 0.0 => Self::Up,
            _ if shown < 0.0 => Self::Down,
            _ => Self::Level,
        }
    }

    /// The mark that says it without colour.
    pub(crate) fn mark(self) -> char {
        match self {
            Self::Up => '▲',
            Self::Down => '▼',
            Self::Level => '=',
        }
    }
}

fn rounded(value: f64, decimals: usize) -> f64 {
    let steps = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5][decimals.min(5)];
    (value * steps).round() / steps
}

/// With fewer decimals where it does not fit, and in powers of ten where even that does not.
fn number(value: f64, decimals: usize, signed: bool, width: usize) -> String {
    if !value.is_finite() {
        return NO_NUMBER.to_owned();
    }
    let exact = |decimals: usize| {
        let text = match signed {
            true => format!("{value:+.decimals$}"),
            false => format!("{value:.decimals$}"),
        };
        // Nothing has no sign.
        match text.trim_start_matches(['+', '-']) {
            digits if digits.contains(|c: char| c.is_ascii_digit() && c != '0') => text,
            digits => digits.to_owned(),
        }
    };
    let rough = || match signed {
        true => format!("{value:+.0e}"),
        false => format!("{value:.1e}"),
    };
    let mut forms = [decimals, decimals.min(4), decimals.min(2), 0]
        .map(exact)
        .into_iter();
    forms.find(|text| text.len() <= width).unwrap_or_else(rough)
}

/// A count in at most six characters.
pub(crate) fn count(count: u64) -> String {
    if count < 100_000 {
        return grouped(count);
    }
    let mut scaled = count as f64;
    for unit in ["", "k", "M", "B", "T"] {
        // 999.95 would be written as a thousand.
        if scaled < 999.5 {
            let decimals = match scaled {
                _ if scaled < 9.995 => 2,
                _ if scaled < 99.95 => 1,
                _ => 0,
            };
            return format!("{scaled:.decimals$}{unit}");
        }
        scaled /= 1_000.0;
    }
    ">999T".to_owned()
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An age in at most four characters: `0.4s`, `12s`, `3m`, `5h`, `9d`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        // Cut, not rounded: nothing is older than it is.
        0..10 => format!("{seconds}.{}s", age.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..8_640_000 => format!("{}d", seconds / 86_400),
        _ => ">99d".to_owned(),
    }
}

/// An age that may be greater, likewise: `>2s`, `>12m`.
pub(crate) fn least_age(least: Duration) -> String {
    let text = match least.as_secs() {
        seconds @ 0..10 => format!("{seconds}s"),
        _ => age(least),
    };
    match text.starts_with('>') {
        true => text,
        false => format!(">{text}"),
    }
}

/// The newest `width` prices as a line of bars, oldest first, between their lowest and highest.
pub(crate) fn trend(
    prices: impl DoubleEndedIterator<Item = f64> + ExactSizeIterator,
    width: usize,
) -> String {
    let left_out = prices.len().saturating_sub(width);
    let prices: Vec<f64> = prices.skip(left_out).collect();
    let lowest = prices.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = prices.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |&price: &f64| {
        // Halved: the range of prices may be greater than the greatest number.
        let share = (price / 2.0 - lowest / 2.0) / (highest / 2.0 - lowest / 2.0);
        match share.is_finite() {
            true => LEVELS[(share * 7.0).round() as usize],
            false => LEVELS[3], // it never moved
        }
    };
    prices.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_two_decimals_and_below_a_dollar_four() {
        for (dollars, text) in [
            (225.5, "225.50"),
            (1.0, "1.00"),
            (0.99996, "1.00"),
            (0.5, "0.5000"),
            (0.00004, "0.0000"),
            (700_000.25, "700000.25"),
            (12_345_678.9, "12345679"),
            (1e300, "1.0e300"),
            (f64::NAN, "?"),
            (f64::NEG_INFINITY, "?"),
        ] {
            assert_eq!(price("AAPL", dollars, 9), text);
        }
        assert_eq!(price("EURUSD=X", 1.084, 9), "1.08400");
        assert_eq!(price("USDJPY=X", 143.9542, 9), "143.9542");
        assert_eq!(change("EURUSD=X", 0.00123, 1.084, 8), "+0.00123");
        assert_eq!(change("EURUSD=X", -10.00123, 1.084, 8), "-10.0012");
    }

    #[test]
    fn changes_have_signs_except_nothing() {
        assert_eq!(change("AAPL", 1.5, 225.0, 8), "+1.50");
        assert_eq!(change("AAPL", -0.012, 0.5, 8), "-0.0120");
        assert_eq!(change("AAPL", -0.001, 225.0, 8), "0.00");
        assert_eq!(change("AAPL", -123_456.789, 1e6, 8), "-123457");
        assert_eq!(percent(0.0, 8), "0.00%");
        assert_eq!(percent(-12.345, 8), "-12.35%");
        assert_eq!(percent(1e9, 8), "+1e9%");
        assert_eq!(percent(f64::NAN, 8), "?%");
    }

    #[test]
    fn the_direction_is_that_of_the_shown_change() {
        for (change, price, mark) in [
            (0.01, 225.0, '▲'),
            (-0.01, 225.0, '▼'),
            (0.001, 225.0, '='),
            (0.001, 0.5, '▲'),
            (f64::NAN, 225.0, '='),
            (f64::NEG_INFINITY, 225.0, '▼'),
        ] {
            assert_eq!(
                Direction::of("AAPL", change, price).mark(),
                mark,
                "{change}"
            );
        }
    }

    #[test]
    fn no_number_is_wider_than_its_column() {
        for exponent in -308..=308 {
            for value in [1.0, -1.0, 9.999_999, -9.999_999] {
                let value = value * 10f64.powi(exponent);
                assert!(
                    price("AAPL", value, 9).len() <= 9,
                    "{}",
                    price("AAPL", value, 9)
                );
                assert!(change("AAPL", value, value, 8).len() <= 8);
                assert!(percent(value, 8).len() <= 8, "{}", percent(value, 8));
            }
        }
        for bits in 0..64 {
            for count_of in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                assert!(count(count_of).len() <= 6, "{}", count(count_of));
            }
        }
    }

    #[test]
    fn counts_are_short() {
        for (number, text) in [
            (0, "0"),
            (12_300, "12,300"),
            (99_999, "99,999"),
            (100_000, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (12_340_000, "12.3M"),
            (5_000_000_000, "5.00B"),
            (u64::MAX, ">999T"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn ages_are_cut_to_their_unit() {
        for (ms, text) in [
            (0, "0.0s"),
            (499, "0.4s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (180_000, "3m"),
            (3_600_000, "1h"),
            (86_400_000, "1d"),
            (u64::MAX, ">99d"),
        ] {
            assert_eq!(age(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn an_age_that_may_be_greater_says_so_in_the_same_width() {
        for (ms, text) in [
            (0, ">0s"),
            (9_990, ">9s"),
            (59_000, ">59s"),
            (3_599_000, ">59m"),
            (86_399_000, ">23h"),
            (u64::MAX, ">99d"),
        ] {
            assert_eq!(least_age(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_trend_reaches_from_its_lowest_to_its_highest() {
        assert_eq!(trend([1.0, 2.0, 8.0].into_iter(), 10), "▁▂█");
        assert_eq!(trend([9.0, 1.0, 2.0].into_iter(), 2), "▁█");
        assert_eq!(trend([5.0, 5.0].into_iter(), 10), "▄▄");
        assert_eq!(trend([f64::MIN, f64::MAX].into_iter(), 10), "▁█");
        assert_eq!(trend([].into_iter(), 10), "");
    }
}
