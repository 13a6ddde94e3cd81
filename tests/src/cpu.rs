//! CPU time as Linux accounts for it, for the benchmarks; 0 on other systems.

use std::fs;

/// User and system time that all threads of process `pid` have used, in seconds. Exact to 10 ms.
pub fn process_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, field 3 comes first; utime is 14, stime 15.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field - 3)
            .and_then(|ticks| ticks.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // A hundred ticks a second for programs, whatever the kernel's own clock.
    (ticks(14) + ticks(15)) / 100.0
}

/// Time that the calling thread has run, in seconds.
pub fn thread_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat
        .split_whitespace()
        .next()
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
