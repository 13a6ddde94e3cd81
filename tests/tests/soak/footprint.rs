//! What a process holds, and whether that stays the same.

use std::{fs, time::Duration};

use tests::memory::resident_bytes;

/// What a process held at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Footprint {
    pub(crate) at: Duration,
    pub(crate) bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
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
        }
    }
}

/// By how many bytes memory grew from the middle of a run to its end, by the line that fits best what was
/// held since the first third was over. Nothing where it was measured too seldom.
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
    if squares == 0.0 {
        return 0.0;
    }
    sum(|at, bytes| at * bytes) / squares * (end.as_secs_f64() / 2.0)
}

#[test]
fn what_grows_is_told_from_what_comes_and_goes() {
    let course = |bytes: fn(u64) -> u64| -> Vec<Footprint> {
        let at = |second| Footprint {
            at: Duration::from_secs(second),
            bytes: bytes(second),
            descriptors: 9,
            threads: 3,
        };
        (0..120).map(at).collect()
    };
    // 100 kB a second; as much at first only; and some that are given back.
    assert!((growth(&course(|second| 100_000 * second)) - 5.95e6).abs() < 1e3);
    assert!(growth(&course(|second| 100_000 * second.min(30))).abs() < 1e3);
    assert!(growth(&course(|second| 9_000_000 * (second % 2))).abs() < 1e6);
    assert_eq!(growth(&[]), 0.0);
}
