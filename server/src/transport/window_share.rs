//! How much of an address's memory a new connection gets. Pure.
//!
//! What waits unread is bounded by the window of its connection. A window that was given cannot be
//! taken back, so the first connections do not get it all: each gets a share of what is left, and a
//! little is kept for every one that may come.

/// The most that one connection gets. HTTP/2 allows it half of this in small unread frames, each
/// charged as 256 bytes less its own, which is what it costs, and ends the connection beyond that.
/// Legs that number their chunks are always read; a leg that is held because its peer does not read
/// can leave a window full: in frames of 60 bytes (usual Opus) charged 190 KiB, of 20 bytes 560 KiB.
const MAX_WINDOW: u64 = 64 * 1_024 * 1_024;

/// What is kept for each: a few streams.
const MIN_WINDOW: u64 = 256 * 1_024;

/// A new connection gets this part of what is left.
const PART: u64 = 16;

/// Shares out the memory of an address; of each the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowShare {
    pool: u64,
}

impl WindowShare {
    /// Of `memory` bytes, for at most `connections`; and how many there may be: half of the memory is
    /// enough for the least of each.
    pub(super) fn new(memory: u64, connections: usize) -> (Self, usize) {
        let most = usize::try_from(memory / 2 / MIN_WINDOW).unwrap_or(usize::MAX);
        let connections = connections.min(most).max(1);
        let pool = memory.saturating_sub(connections as u64 * MIN_WINDOW);
        (Self { pool }, connections)
    }

    /// The window of one more connection beside `connections` that have `taken` bytes.
    pub(super) fn next(self, connections: usize, taken: u64) -> u64 {
        let beyond_the_least = taken.saturating_sub(connections as u64 * MIN_WINDOW);
        let left = self.pool.saturating_sub(beyond_the_least);
        (MIN_WINDOW + left / PART).min(MAX_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn windows(memory: u64, max: usize) -> Vec<u64> {
        let (share, connections) = WindowShare::new(memory, max);
        let mut taken = 0;
        (0..connections)
            .map(|count| {
                let window = share.next(count, taken);
                taken += window;
                window
            })
            .collect()
    }

    #[test]
    fn all_connections_of_an_address_have_no_more_than_its_memory_and_each_has_some() {
        for memory in [1, 2, 64, 1_024, 16_384] {
            for max in [1, 2, 100, 1_024] {
                let windows = windows(memory * MIB, max);
                let sum: u64 = windows.iter().sum();
                assert!(sum <= memory * MIB, "{memory} MiB, {max}: {sum}");
                let least = windows.iter().min().copied();
                assert!(least >= Some(MIN_WINDOW), "{memory} MiB, {max}: {least:?}");
                assert!(windows.first() <= Some(&MAX_WINDOW));
            }
        }
    }

    #[test]
    fn a_proxy_with_all_legs_has_all_streams_on_its_connections() {
        // 4,096 legs, 128 on each, a window of 64 KiB for each.
        let windows = windows(1_024 * MIB, 1_024);
        let streams = windows.iter().map(|window| (window >> 16).min(128));
        let streams: Vec<_> = streams.collect();
        assert_eq!(windows.len(), 1_024);
        assert_eq!(streams.iter().position(|&streams| streams < 128), Some(29));
        assert!(streams.iter().take(36).sum::<u64>() >= 4_096, "{streams:?}");
        assert_eq!(streams.last(), Some(&4));
    }

    #[test]
    fn little_memory_is_for_few_connections() {
        assert_eq!(windows(64 * MIB, 1_024).len(), 128);
        assert_eq!(windows(1, 1_024), [MIN_WINDOW]);
    }
}
