//! What runs on the hosts' callback threads: copies samples to or from a ring, and bumps atomics.
//!
//! No allocation, no lock, no channel, no log, nothing that waits: a callback that is late is a gap
//! that somebody hears. Clippy refuses here what clippy.toml lists (it is allowed elsewhere), and
//! the tests run every callback under an allocator that counts.

#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod capture;
mod format;
mod health;
mod render;
mod tally;

pub(super) use capture::CaptureCallback;
pub(super) use format::DeviceSample;
pub(super) use health::{Health, decode, encode};
pub(super) use render::RenderCallback;
pub(super) use tally::{RECORDS, Record};

/// Runs the body of a callback; in tests, under an allocator that counts what it must not do.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn guarded<T>(body: impl FnOnce() -> T) -> T {
    body()
}

#[cfg(test)]
pub(super) use allocations::guarded;

/// The allocator of the test build: counts, per thread, what is allocated or freed in a callback.
#[cfg(test)]
mod allocations {
    use std::sync::atomic::{AtomicU32, Ordering};

    use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};

    #[global_allocator]
    static ALLOCATOR: AllocDisabler = AllocDisabler;

    /// Those of all threads, since a host's callback thread asserts nothing itself.
    static VIOLATIONS: AtomicU32 = AtomicU32::new(0);

    pub(in crate::device) fn guarded<T>(body: impl FnOnce() -> T) -> T {
        let before = violation_count();
        let result = assert_no_alloc(body);
        VIOLATIONS.fetch_add(violation_count() - before, Ordering::Relaxed);
        result
    }

    /// Allocations in callbacks until now, on any thread.
    pub(in crate::device) fn violations() -> u32 {
        VIOLATIONS.load(Ordering::Relaxed)
    }
}
