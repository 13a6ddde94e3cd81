//! What runs on the hosts' callback threads: copies samples to or from a ring, and bumps atomics.
//!
//! No allocation, no lock, no channel, no log, nothing that waits: a callback that is late is a gap
//! that somebody hears. Clippy refuses here what clippy.toml lists (it is allowed elsewhere), and
//! the tests run every callback under an allocator that counts.

#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types
    )
)]

mod capture;
mod format;
mod health;
mod lateness;
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
pub(super) use allocations::{guarded, violations};

/// The allocator of the test build: counts, per thread, what is allocated or freed in a callback.
#[cfg(test)]
mod allocations {
    use std::sync::atomic::{AtomicU32, Ordering};

    use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};

    #[global_allocator]
    static ALLOCATOR: AllocDisabler = AllocDisabler;

    /// Those of all threads, since a host's callback thread asserts nothing itself.
    static VIOLATIONS: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn guarded<T>(body: impl FnOnce() -> T) -> T {
        let before = violation_count();
        let result = assert_no_alloc(body);
        VIOLATIONS.fetch_add(violation_count() - before, Ordering::Relaxed);
        result
    }

    /// Allocations in callbacks until now, on any thread.
    pub(crate) fn violations() -> u32 {
        VIOLATIONS.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use cpal::{
        ErrorKind, I24, InputCallbackInfo, InputStreamTimestamp, OutputCallbackInfo,
        OutputStreamTimestamp, StreamInstant, U24,
    };

    use super::*;
    use crate::device::stream::Stream;
    use crate::device::stream::{capture, render};

    /// Samples per channel: nothing, one, what hosts deliver, more than the ring holds.
    const SIZES: [usize; 9] = [0, 1, 7, 24, 320, 480, 1024, 4_096, 30_000];
    /// Channels of the device, and ours of them.
    const CHANNELS: [(u16, u16); 4] = [(1, 1), (2, 2), (2, 1), (6, 2)];

    /// What `body` allocated and freed.
    fn counted(body: impl FnOnce()) -> u32 {
        let before = assert_no_alloc::violation_count();
        guarded(body);
        assert_no_alloc::violation_count() - before
    }

    fn every_size<T: DeviceSample>() {
        for (theirs, ours) in CHANNELS {
            let (mut capture, _ring) = capture::ring(Stream::for_test(48_000, ours), theirs);
            let (mut render, _ring) = render::ring(Stream::for_test(48_000, ours), theirs, 480);
            for samples in SIZES {
                let mut data = vec![T::EQUILIBRIUM; samples * usize::from(theirs)];
                // Small ones often enough to fill the rings of samples and of records as well.
                let times = (200_000 / samples.max(1)).clamp(3, 300);
                let (captured, played) = (captured(), played());
                let made = counted(|| {
                    for _ in 0..times {
                        capture.on_data(&data, &captured);
                        render.on_data(&mut data, &played);
                    }
                });
                assert_eq!(made, 0, "{samples} samples of {theirs} channels");
            }
        }
    }

    fn captured() -> InputCallbackInfo {
        InputCallbackInfo::new(InputStreamTimestamp {
            callback: StreamInstant::from_micros(20_000),
            capture: StreamInstant::from_micros(10_000),
        })
    }

    fn played() -> OutputCallbackInfo {
        OutputCallbackInfo::new(OutputStreamTimestamp {
            callback: StreamInstant::from_micros(10_000),
            playback: StreamInstant::from_micros(20_000),
        })
    }

    #[test]
    fn callbacks_of_every_size_format_and_channel_count_allocate_nothing() {
        every_size::<i8>();
        every_size::<u8>();
        every_size::<i16>();
        every_size::<u16>();
        every_size::<I24>();
        every_size::<U24>();
        every_size::<i32>();
        every_size::<u32>();
        every_size::<f32>();
        every_size::<f64>();
    }

    #[test]
    fn the_error_callback_allocates_nothing_however_often_it_is_called() {
        let health = Health::new();
        let made = counted(|| {
            for kind in [
                ErrorKind::Xrun,
                ErrorKind::DeviceChanged,
                ErrorKind::BackendError,
                ErrorKind::StreamInvalidated,
                ErrorKind::DeviceNotAvailable,
                ErrorKind::RealtimeDenied,
            ] {
                for _ in 0..1_000 {
                    health.note_error(kind);
                }
            }
            health.count_callback(Duration::ZERO);
        });
        assert_eq!(made, 0);
    }

    #[test]
    fn an_allocation_in_a_callback_would_be_seen() {
        let before = violations();
        let made = counted(|| drop(black_box(vec![0_u8; 16])));
        assert_eq!(made, 2, "one made, one freed");
        assert!(violations() - before >= 2);
    }
}
