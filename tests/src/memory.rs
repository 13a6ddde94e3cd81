//! Memory as Linux accounts for it.

use std::fs;

/// Resident memory of a process, in bytes.
///
/// # Panics
///
/// When there is no such process, or this is not Linux.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .expect("VmRSS in kB");
    1_024 * kib.parse::<u64>().expect("a number")
}
