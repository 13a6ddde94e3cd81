//! What a process holds, and whether that stays the same.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use tests::{cpu::process_wait_seconds, memory::resident_bytes};

/// Far more than any process here needs to let go of something; what is still held then, it keeps.
const LIMIT: Duration = Duration::from_secs(60);

/// What a process held at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Footprint {
    pub(crate) at: Duration,
    pub(crate) bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// For how long its threads have waited for a processor until then, in seconds.
    pub(crate) waited: f64,
}

impl Footprint {
    /// Of a running process.
    pub(crate) fn of(pid: u32, at: Duration) -> Self {
        let count = |what| {
            let directory = fs::read_dir(format!("/proc/{pid}/{what}"));
            directory.expect("a running process").count()
        };
        Self {
            at,
            bytes: resident_bytes(pid),
            descriptors: count("fd"),
            threads: count("task"),
            waited: process_wait_seconds(pid),
        }
    }

    /// What a process holds once that has not changed for a second.
    pub(crate) fn settled(pid: u32) -> Self {
        Self::settled_when(pid, |_| true)
    }

    /// What a process holds once it has no more descriptors and threads than it had, for a second.
    ///
    /// # Panics
    /// It keeps some.
    pub(crate) fn back_to(self, pid: u32) -> Self {
        Self::settled_when(pid, |now| {
            now.descriptors <= self.descriptors && now.threads <= self.threads
        })
    }

    fn settled_when(pid: u32, is_it: impl Fn(Self) -> bool) -> Self {
        let began = Instant::now();
        let mut last = Self::of(pid, Duration::ZERO);
        let mut same = 0;
        loop {
            thread::sleep(Duration::from_millis(100));
            let now = Self::of(pid, Duration::ZERO);
            let is_same = (now.descriptors, now.threads) == (last.descriptors, last.threads);
            same = if is_same { same + 1 } else { 0 };
            last = now;
            if same >= 10 && is_it(now) {
                return now;
            }
            assert!(began.elapsed() < LIMIT, "it keeps {now:?}");
        }
    }
}

/// By how many bytes memory grew after the first third of a run, by the line that fits best. Nothing where
/// it was measured too seldom.
pub(crate) fn growth(course: &[Footprint]) -> f64 {
    let end = course
        .last()
        .map_or(Duration::ZERO, |footprint| footprint.at);
    let late: Vec<(f64, f64)> = course
        .iter()
        .filter(|footprint| footprint.at >= end / 3)
        .map(|footprint| (footprint.at.as_secs_f64(), footprint.bytes as f64))
        .collect();
    let count = late.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| late.iter().map(of).sum::<f64>() / count;
    let (mean_at, mean_bytes) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: fn(f64, f64) -> f64| {
        let deviations = late
            .iter()
            .map(|(at, bytes)| of(at - mean_at, bytes - mean_bytes));
        deviations.sum::<f64>()
    };
    let squares = sum(|at, _| at * at);
    match squares > 0.0 {
        true => sum(|at, bytes| at * bytes) / squares * end.as_secs_f64() * 2.0 / 3.0,
        false => 0.0,
    }
}

#[test]
fn what_grows_is_told_from_what_comes_and_goes() {
    let course = |bytes: fn(u64) -> u64| -> Vec<Footprint> {
        let at = |second| Footprint {
            at: Duration::from_secs(second),
            bytes: bytes(second),
            descriptors: 9,
            threads: 3,
            waited: 0.0,
        };
        (0..120).map(at).collect()
    };
    // 100 kB a second; as much at first only; and some that are given back.
    assert!((growth(&course(|second| 100_000 * second)) - 7.93e6).abs() < 1e4);
    assert!(growth(&course(|second| 100_000 * second.min(30))).abs() < 1e3);
    assert!(growth(&course(|second| 9_000_000 * (second % 2))).abs() < 1e6);
    assert_eq!(growth(&[]), 0.0);
}
