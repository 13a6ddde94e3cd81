//! Which known symbols a person may have meant who typed one that is not known. Pure.

use proto::Symbol;
use strsim::osa_distance;

/// No more are named.
const MAX_NEAR: usize = 3;

/// From this length on, what was typed may also be the beginning of a name: APPLE, GOOGL.
const MIN_NAME_CHARS: usize = 4;

/// A known symbol with the name that it stands for, or none.
pub(super) type Known<'a> = (&'a Symbol, &'a str);

/// The known symbols that differ from `typed` by few letters, or whose names hold it, the nearest
/// first and at most three; of equals, those that come first.
pub(super) fn nearest<'a>(
    typed: &Symbol,
    known: impl Iterator<Item = Known<'a>>,
) -> Vec<Known<'a>> {
    let typed = typed.as_str();
    // One letter of two, two of three.
    let max_distance = if typed.len() < 3 { 1 } else { 2 };
    let mut near: Vec<_> = known
        .filter_map(|(symbol, name)| {
            let distance = distance(typed, symbol.as_str(), max_distance);
            let by_symbol = distance.filter(|distance| *distance < typed.len());
            let by_name = is_in_name(typed, name).then_some(0);
            let score = by_name.or(by_symbol)?;
            Some((
                (score, by_symbol.unwrap_or(max_distance + 1)),
                (symbol, name),
            ))
        })
        .collect();
    near.sort_by_key(|(score, _)| *score);
    near.truncate(MAX_NEAR);
    near.into_iter().map(|(_, known)| known).collect()
}

/// By how many letters that are missing, wrong or exchanged they differ; `None` beyond the limit.
fn distance(typed: &str, symbol: &str, limit: usize) -> Option<usize> {
    // Most are told apart by their lengths alone.
    if typed.len().abs_diff(symbol.len()) > limit {
        return None;
    }
    Some(osa_distance(typed, symbol)).filter(|distance| *distance <= limit)
}

/// Whether a word of the name begins with what was typed.
fn is_in_name(typed: &str, name: &str) -> bool {
    if typed.len() < MIN_NAME_CHARS {
        return false;
    }
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        let start = word.get(..typed.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(typed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotes::market::Directory;

    fn near(typed: &str) -> Vec<&'static str> {
        let securities = Directory::get().securities().iter();
        let known = securities.map(|security| (&security.symbol, security.name.as_str()));
        let near = nearest(&typed.parse().expect("a symbol"), known);
        near.into_iter()
            .map(|(symbol, _)| symbol.as_str())
            .collect()
    }

    #[test]
    fn a_typo_finds_what_was_meant_first() {
        for (typed, meant) in [
            ("APPL", "AAPL"),
            ("APLA", "AAPL"),
            ("MFST", "MSFT"),
            ("GOGL", "GOOGL"),
            ("NVDIA", "NVDA"),
            ("TSLAA", "TSLA"),
            ("TSAL", "TSLA"),
            ("BRK-B", "BRK.B"),
            ("BRKB", "BRK.B"),
            ("GSPC", "^GSPC"),
            ("EURUSD", "EURUSD=X"),
            ("EURUDS=X", "EURUSD=X"),
            ("BTCUSD", "BTC-USD"),
            ("NFLIX", "NFLX"),
        ] {
            assert_eq!(near(typed).first(), Some(&meant), "{typed}");
        }
    }

    #[test]
    fn a_companys_name_finds_its_symbol() {
        for (typed, meant) in [
            ("APPLE", "AAPL"),
            ("TESLA", "TSLA"),
            ("GOOGLE", "GOOGL"),
            ("MICROSOFT", "MSFT"),
            ("NVIDIA", "NVDA"),
            ("BITCOIN", "BTC-USD"),
            ("FACEBOOK", "META"),
        ] {
            assert!(near(typed).contains(&meant), "{typed}: {:?}", near(typed));
        }
    }

    #[test]
    fn what_is_like_nothing_finds_nothing() {
        for typed in ["QQQQQQQQ", "X1X2X3X4", "ZZZZZZZZZZZZ"] {
            assert_eq!(near(typed), [""; 0], "{typed}");
        }
        assert!(near("AB").len() <= MAX_NEAR);
    }
}
