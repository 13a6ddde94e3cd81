//! Counts what a peer sends beside streams and data: frames that cost us time and it nothing.
//!
//! Reads the 9 bytes before each frame as they pass (RFC 9113, 4.1) and nothing else. Pure: time
//! comes in as a number.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::token_bucket::TokenBucket;

/// So many such frames may come at once, and each second for ever: far more than any client needs that
/// acknowledges its data and measures its line, far less than takes a processor.
pub(super) const MAX_FRAMES: u32 = 10_000;

/// So many of all connections of an address together. Beyond that each has a part of it only, so that
/// who floods on many connections, on each a little less than it may, is ended, and who shares its
/// address is not.
pub(super) const MAX_FRAMES_OF_ADDRESS: u32 = 80_000;
const PART_OF_FLOODING_ADDRESS: u32 = 40;

const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Too many of them came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooManyFrames {
    #[error(
        "too many control frames: a connection may send {max} at once and {max} a second after that"
    )]
    OfConnection { max: u32 },
    #[error(
        "too many control frames: this address sends more than {max_of_address} a second, and while it \
         does, a connection of it may send at most {max} a second"
    )]
    OfAddress { max_of_address: u32, max: u32 },
}

/// What the connections of one address have together.
#[derive(Debug, Clone)]
pub(super) struct AddressFrames {
    max: u32,
    began: Instant,
    bucket: Arc<Mutex<TokenBucket>>,
}

impl AddressFrames {
    /// A full budget of `max` frames at once and each second.
    pub(super) fn new(max: u32, now: Instant) -> Self {
        Self {
            max,
            began: now,
            bucket: Arc::new(Mutex::new(TokenBucket::new(max, max, Duration::ZERO))),
        }
    }

    /// What one connection has for certain, at once and each second.
    fn part(&self) -> u32 {
        self.max / PART_OF_FLOODING_ADDRESS
    }

    /// The time by which frames of this address are counted.
    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether there were as many.
    fn take(&self, count: u32, now: Duration) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(count, now)
    }
}

/// Where we are in a peer's bytes, and what is left of its budget.
#[derive(Debug)]
pub(super) struct FrameBudget {
    /// Bytes of the payload (or at first of the preface) that are still to pass.
    payload_left: usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    max: u32,
    bucket: TokenBucket,
    /// What it has for certain, whatever the others of its address send.
    certain: TokenBucket,
    of_address: AddressFrames,
}

impl FrameBudget {
    /// A full one of `max` frames at once and each second, before the `preface_bytes` that no frame
    /// has.
    pub(super) fn new(
        preface_bytes: usize,
        max: u32,
        of_address: AddressFrames,
        now: Instant,
    ) -> Self {
        let (part, now) = (of_address.part(), of_address.time(now));
        Self {
            payload_left: preface_bytes,
            header: [0; HEADER_BYTES],
            header_len: 0,
            max,
            bucket: TokenBucket::new(max, max, now),
            certain: TokenBucket::new(part, part, now),
            of_address,
        }
    }

    /// Counts the frames in what came now.
    pub(super) fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<(), TooManyFrames> {
        let count = self.count(bytes);
        if count == 0 {
            return Ok(());
        }
        let now = self.of_address.time(now);
        let has_some = self.bucket.take(count, now);
        let is_modest = self.certain.take(count, now);
        let address_has_some = self.of_address.take(count, now);
        let max = self.max;
        if !has_some {
            Err(TooManyFrames::OfConnection { max })
        } else if !address_has_some && !is_modest {
            Err(TooManyFrames::OfAddress {
                max_of_address: self.of_address.max,
                max: self.of_address.part(),
            })
        } else {
            Ok(())
        }
    }

    /// How many frames without a limit of their own begin in what came now.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
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
        count
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

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    /// The budgets of so many connections of one address, past their prefaces.
    fn connections<const COUNT: usize>(
        max: u32,
        of_address: u32,
        now: Instant,
    ) -> [FrameBudget; COUNT] {
        let of_address = AddressFrames::new(of_address, now);
        std::array::from_fn(|_| FrameBudget::new(0, max, of_address.clone(), now))
    }

    #[test]
    fn a_flood_is_counted_however_it_is_cut() {
        const MAX: u32 = 1_000;
        let now = Instant::now();
        for cut in [1, 7, 4_096] {
            let of_address = AddressFrames::new(MAX_FRAMES_OF_ADDRESS, now);
            let mut budget = FrameBudget::new(24, MAX, of_address, now);
            let mut bytes = vec![0xff; 24];
            for _ in 0..MAX {
                bytes.extend(frame(PING, 8));
            }
            for part in bytes.chunks(cut) {
                assert_eq!(budget.receive(part, now), Ok(()));
            }
            let error = TooManyFrames::OfConnection { max: MAX };
            assert_eq!(budget.receive(&frame(PING, 8), now), Err(error));
        }
    }

    #[test]
    fn data_and_requests_are_free_and_the_steady_rate_goes_on_for_ever() {
        let began = Instant::now();
        let [mut budget] = connections(MAX_FRAMES, MAX_FRAMES_OF_ADDRESS, began);
        for n in 0..100_000 {
            let now = began + Duration::from_secs(1) / MAX_FRAMES * n;
            for bytes in [frame(DATA, 300), frame(HEADERS, 3), frame(WINDOW_UPDATE, 4)] {
                assert_eq!(budget.receive(&bytes, now), Ok(()), "frame {n}");
            }
        }
        let empty = frame(DATA, 0).repeat(MAX_FRAMES as usize + 1);
        let later = began + Duration::from_secs(100);
        let error = TooManyFrames::OfConnection { max: MAX_FRAMES };
        assert_eq!(budget.receive(&empty, later), Err(error));
    }

    #[test]
    fn many_connections_just_below_the_limit_are_ended_and_a_modest_one_beside_them_is_not() {
        const MAX: u32 = 1_000;
        const OF_ADDRESS: u32 = 4_000;
        let began = Instant::now();
        let [mut modest, mut floods @ ..] = connections::<9>(MAX, OF_ADDRESS, began);
        let mut ended = [None; 8];
        // Each flood sends 900 a second, one by one; the modest one 100, after them.
        let ping = frame(PING, 8);
        for n in 0..300 {
            let now = began + Duration::from_millis(10) * n;
            for (flood, ended) in floods.iter_mut().zip(&mut ended) {
                for _ in 0..9 {
                    *ended = ended.or_else(|| flood.receive(&ping, now).err());
                }
            }
            assert_eq!(modest.receive(&ping, now), Ok(()), "frame {n}");
        }
        let error = TooManyFrames::OfAddress {
            max_of_address: OF_ADDRESS,
            max: OF_ADDRESS / PART_OF_FLOODING_ADDRESS,
        };
        // Four fit into what the address may send.
        assert!(
            ended.iter().flatten().all(|ended| *ended == error),
            "{ended:?}"
        );
        assert_eq!(ended.iter().flatten().count(), 4, "{ended:?}");
    }

    #[test]
    fn four_connections_below_their_limits_are_what_an_address_may_send() {
        let began = Instant::now();
        let mut all = connections::<4>(1_000, 4_000, began);
        for n in 0..300 {
            let now = began + Duration::from_millis(10) * n;
            for budget in &mut all {
                assert_eq!(
                    budget.receive(&frame(PING, 8).repeat(10), now),
                    Ok(()),
                    "{n}"
                );
            }
        }
    }
}
