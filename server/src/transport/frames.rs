//! Counts what a peer sends beside streams and data: frames that cost us time and it nothing.
//!
//! Reads the 9 bytes before each frame as they pass (RFC 9113, 4.1) and nothing else. Pure: time
//! comes in as a number.

use std::time::Duration;

/// So many such frames may come at once, and each second for ever: far more than any client needs that
/// acknowledges its data and measures its line, far less than takes a processor.
pub(super) const MAX_FRAMES: u32 = 10_000;

const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Too many of them came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many control frames: a connection may send {max} at once and {max} a second after that"
)]
pub(super) struct TooManyFrames {
    max: u32,
}

/// Where we are in a peer's bytes, and what is left of its budget.
#[derive(Debug)]
pub(super) struct FrameBudget {
    /// Bytes of the payload (or at first of the preface) that are still to pass.
    payload_left: usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    max: u32,
    tokens: f64,
    filled_at: Duration,
}

impl FrameBudget {
    /// A full one of `max` frames at once and each second, before the `preface_bytes` that no frame
    /// has.
    pub(super) fn new(preface_bytes: usize, max: u32) -> Self {
        Self {
            payload_left: preface_bytes,
            header: [0; HEADER_BYTES],
            header_len: 0,
            max,
            tokens: max.into(),
            filled_at: Duration::ZERO,
        }
    }

    /// Counts the frames in what came now.
    pub(super) fn receive(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), TooManyFrames> {
        let mut count = 0_u32;
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let (passing, rest) = bytes.split_at(self.payload_left.min(bytes.len()));
                self.payload_left -= passing.len();
                bytes = rest;
                continue;
            }
            let missing = self.header.iter_mut().skip(self.header_len);
            let came = missing.zip(bytes).map(|(slot, byte)| *slot = *byte).count();
            self.header_len += came;
            bytes = bytes.get(came..).unwrap_or_default();
            if self.header_len == HEADER_BYTES {
                self.header_len = 0;
                let [high, mid, low, kind, ..] = self.header;
                self.payload_left = u32::from_be_bytes([0, high, mid, low]) as usize;
                // Data and requests have limits of their own; but data without data has none.
                let is_limited = kind == HEADERS || (kind == DATA && self.payload_left > 0);
                count += u32::from(!is_limited);
            }
        }
        if count == 0 {
            return Ok(());
        }
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = now;
        let max = self.max;
        let filled = self.tokens + since * f64::from(max);
        self.tokens = filled.min(max.into()) - f64::from(count);
        match self.tokens < 0.0 {
            true => Err(TooManyFrames { max }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER_BYTES + length, 0xff);
        frame
    }

    #[test]
    fn a_flood_is_counted_however_it_is_cut() {
        const PING: u8 = 6;
        const MAX: u32 = 1_000;
        for cut in [1, 7, 4_096] {
            let mut budget = FrameBudget::new(24, MAX);
            let mut bytes = vec![0xff; 24];
            for _ in 0..MAX {
                bytes.extend(frame(PING, 8));
            }
            for part in bytes.chunks(cut) {
                assert_eq!(budget.receive(part, Duration::ZERO), Ok(()));
            }
            let one_more = frame(PING, 8);
            assert_eq!(
                budget.receive(&one_more, Duration::ZERO),
                Err(TooManyFrames { max: MAX })
            );
        }
    }

    #[test]
    fn data_and_requests_are_free_and_the_steady_rate_goes_on_for_ever() {
        const WINDOW_UPDATE: u8 = 8;
        let mut budget = FrameBudget::new(0, MAX_FRAMES);
        for n in 0..100_000 {
            let now = Duration::from_secs(1) / MAX_FRAMES * n;
            for bytes in [frame(DATA, 300), frame(HEADERS, 3), frame(WINDOW_UPDATE, 4)] {
                assert_eq!(budget.receive(&bytes, now), Ok(()), "frame {n}");
            }
        }
        let empty = frame(DATA, 0).repeat(MAX_FRAMES as usize + 1);
        let later = Duration::from_secs(100);
        let error = TooManyFrames { max: MAX_FRAMES };
        assert_eq!(budget.receive(&empty, later), Err(error));
    }
}
