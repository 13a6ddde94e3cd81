//! CPU time as Linux accounts for it, for the benchmarks; 0 on other systems.

use std::{fs, path::Path};

/// Time that the threads of process `pid` have run, in seconds; of those that live. Exact to the
/// nanosecond, unlike the accounts in ticks, which are samples taken when timers fire, and so when
/// paced programs wake.
pub fn process_seconds(pid: u32) -> f64 {
    of_threads(pid, RUN)
}

/// Time that the threads of process `pid` have waited for a processor, in seconds; of those that live.
pub fn process_wait_seconds(pid: u32) -> f64 {
    of_threads(pid, WAIT)
}

/// Time that the calling thread has run, in seconds.
pub fn thread_seconds() -> f64 {
    seconds(Path::new("/proc/thread-self/schedstat"), RUN)
}

/// Time that the calling thread has waited for a processor, in seconds.
pub fn thread_wait_seconds() -> f64 {
    seconds(Path::new("/proc/thread-self/schedstat"), WAIT)
}

/// Fields of a schedstat.
const RUN: usize = 0;
const WAIT: usize = 1;

fn of_threads(pid: u32, field: usize) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .map(|thread| seconds(&thread.path().join("schedstat"), field))
        .sum()
}

fn seconds(schedstat: &Path, field: usize) -> f64 {
    let stat = fs::read_to_string(schedstat).unwrap_or_default();
    let nanoseconds = stat
        .split_whitespace()
        .nth(field)
        .and_then(|ns| ns.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_by_both_accounts() {
        let (process, thread) = (process_seconds(std::process::id()), thread_seconds());
        // By count of work, not by the clock: until 50 ms of CPU show.
        let mut sum = 0u64;
        while thread_seconds() - thread < 0.05 {
            sum = (0..100_000u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert_ne!(sum, 0);
        assert!(process_seconds(std::process::id()) - process >= 0.03);
    }
}
