//! How much memory this process has allocated, Rust's part of it.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes that are allocated now.
pub fn allocated() -> usize {
    ALLOCATOR.current_usage()
}

/// The most that were allocated at once during `work`, in bytes beyond those at its beginning, and what
/// `work` returned. Counts all threads.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    ALLOCATOR.reset_peak_usage();
    let before = allocated();
    let result = work();
    (ALLOCATOR.peak_usage().saturating_sub(before), result)
}
