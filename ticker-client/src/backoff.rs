//! How long to wait before the next attempt to connect. Pure.

use std::time::Duration;

/// The longest wait before the first attempt.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait of all.
const MOST: Duration = Duration::from_secs(15);

/// The wait after `failures` attempts in a row that failed, the first being 0: exponential, and
/// anything between nothing and that ("full jitter"), so that a thousand clients that lost one
/// server do not come back in step. `random` is from 0 to 1.
pub(crate) fn wait(failures: u32, random: f64) -> Duration {
    longest(failures).mul_f64(random.clamp(0.0, 1.0))
}

fn longest(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures);
    FIRST.saturating_mul(doubled).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_half_a_second_to_fifteen_seconds() {
        let longest: Vec<_> = [0, 1, 2, 3, 4, 5, 6, 31, 32, u32::MAX]
            .map(|failures| wait(failures, 1.0).as_millis())
            .into();
        assert_eq!(
            longest,
            [
                500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000, 15_000
            ]
        );
    }

    #[test]
    fn chance_decides_how_much_of_it() {
        assert_eq!(wait(7, 0.0), Duration::ZERO);
        assert_eq!(wait(1, 0.25), Duration::from_millis(250));
    }
}
