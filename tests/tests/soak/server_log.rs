//! What the server's log says of the streams that it had. Pure.

use std::collections::BTreeSet;

/// Every leg and every ticker stream has ended, and nothing went wrong inside.
///
/// # Panics
/// Not so.
pub(crate) fn judge(log: &str) {
    for words in ["panicked", "a fault ended", "ERROR", "did not end with"] {
        let said: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
        assert!(said.is_empty(), "{said:#?}");
    }
    assert!(!log.contains("lines of log"), "the log has all lines");
    assert!(log.contains("stopped"), "{log}");
    let (begun, ended) = (
        numbers(log, "leg=\"leg-", "call started"),
        numbers(log, "leg=\"leg-", "call ended"),
    );
    assert!(!begun.is_empty() && begun.is_subset(&ended), "legs");
    // One that never sent a chunk has no beginning in the log, but all are numbered.
    assert_eq!(ended, up_to(&ended), "legs that ended");
    let (begun, ended) = (
        numbers(log, "ticker stream ", " started"),
        numbers(log, "ticker stream ", " ended"),
    );
    assert!(!begun.is_empty());
    assert_eq!(begun, up_to(&begun), "ticker streams that began");
    assert_eq!(begun, ended, "ticker streams that ended");
}

fn up_to(numbers: &BTreeSet<u64>) -> BTreeSet<u64> {
    (1..=numbers.last().copied().unwrap_or(0)).collect()
}

/// The numbers behind `name` in the lines that contain `words`, each of which is there once.
fn numbers(log: &str, name: &str, words: &str) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    for line in log.lines().filter(|line| line.contains(words)) {
        let Some((_, rest)) = line.split_once(name) else {
            continue;
        };
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        let number = digits.and_then(|digits| digits.parse().ok());
        let number = number.unwrap_or_else(|| panic!("no number: {line}"));
        assert!(numbers.insert(number), "twice: {line}");
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
INFO call started leg="leg-2" call="a"
INFO ticker stream 1 started peer="127.0.0.1:1"
INFO call ended leg="leg-2" call="a"
INFO ticker stream 1 goes on without "X": it is not traded
INFO ticker stream 1 ended: the client left peer="127.0.0.1:1"
INFO call ended leg="leg-1" call=none
INFO stopped"#;

    #[test]
    fn all_that_began_has_ended() {
        judge(GOOD);
    }

    #[test]
    #[should_panic(expected = "legs that ended")]
    fn a_leg_that_never_ended_is_missed() {
        judge(&GOOD.replace("ended leg=\"leg-1\"", "goes on"));
    }

    #[test]
    #[should_panic(expected = "ticker streams that ended")]
    fn a_ticker_stream_that_never_ended_is_missed() {
        judge(&GOOD.replace(" ended: the client left", ""));
    }
}
