//! How late a call may be, by what its line and this machine did meanwhile. Pure.

use std::time::Duration;

use crate::footprint::Footprint;

/// How late a call may be on a line and a machine that run. It is 27 to 47 ms: a chunk, the codec, the
/// server's effects, and what the jitter buffer keeps.
const UNDISTURBED_MS: f64 = 60.0;

/// Processes that wait for one another on the way: softphone, proxy and server there, proxy and softphone
/// back. Each may be late by what this machine stands still.
const WAKE_UPS: f64 = 5.0;

/// A thread that only sleeps is woken in time on a machine that has no time for one that works. Where the
/// threads of the server together waited for a processor for more than this part of the time, nothing can
/// be said of any delay.
const MAX_WAIT: f64 = 0.5;

/// For so long a jitter buffer may wait for what came as late before.
const STALL_REMEMBERED: Duration = Duration::from_secs(10);

/// After a fault the delay is back within a second; the next is one that it began in.
const FAULT_REMEMBERED: Duration = Duration::from_secs(2);

/// A time in which a line carried nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
}

/// How late the calls on a line may be, in ms, second by second.
#[derive(Debug, Clone)]
pub(crate) struct Lateness(Vec<f64>);

impl Lateness {
    /// Of a line with these faults to a server with this course, on a machine with these stalls, one for
    /// each second.
    pub(crate) fn of(
        line: usize,
        faults: &[Fault],
        server: &[Footprint],
        stalls: &[Duration],
    ) -> Self {
        let mut late_ms = vec![0.0_f64; stalls.len()];
        let mut add = |from: Duration, to: Duration, ms: f64| {
            let (from, to) = (from.as_secs() as usize, to.as_secs() as usize);
            for late in late_ms.iter_mut().take(to + 1).skip(from) {
                *late = late.max(ms);
            }
        };
        for (second, stall) in stalls.iter().enumerate() {
            let at = Duration::from_secs(second as u64);
            let ms = WAKE_UPS * 1e3 * stall.as_secs_f64();
            add(at, at + STALL_REMEMBERED, ms);
        }
        for pair in server.windows(2) {
            let waited = pair[1].waited - pair[0].waited;
            let time = pair[1].at - pair[0].at;
            if waited > MAX_WAIT * time.as_secs_f64() {
                add(pair[0].at, pair[1].at + STALL_REMEMBERED, f64::INFINITY);
            }
        }
        for fault in faults.iter().filter(|fault| fault.line == line) {
            let ms = 1e3 * (fault.ended - fault.began).as_secs_f64();
            add(fault.began, fault.ended + FAULT_REMEMBERED, ms);
        }
        Self(late_ms)
    }

    /// What such a part of a call's seconds may not exceed, 1 for the worst. Infinite where nothing can be
    /// said.
    pub(crate) fn limit_ms(&self, began: Duration, ended: Duration, part: f64) -> f64 {
        let (from, to) = (began.as_secs() as usize, ended.as_secs() as usize);
        let mut late_ms: Vec<f64> = self.0.iter().take(to + 1).skip(from).copied().collect();
        late_ms.sort_by(f64::total_cmp);
        let index = (part * late_ms.len() as f64).ceil() as usize;
        let late_ms = late_ms.get(index.saturating_sub(1)).or(late_ms.last());
        UNDISTURBED_MS + late_ms.copied().unwrap_or(0.0)
    }
}

#[test]
fn a_call_may_be_as_late_as_its_line_and_the_machine_and_no_more() {
    let second = Duration::from_secs;
    let mut stalls = vec![Duration::ZERO; 100];
    stalls[50] = Duration::from_millis(100);
    let fault = Fault {
        line: 1,
        began: second(20),
        ended: second(22),
    };
    let footprint = |at, waited| Footprint {
        at: second(at),
        bytes: 0,
        descriptors: 0,
        threads: 0,
        waited,
    };
    let server = [(0, 0.0), (80, 0.0), (81, 0.6), (99, 0.6)];
    let server = server.map(|(at, waited)| footprint(at, waited));
    let limit = |line, part| {
        let lateness = Lateness::of(line, &[fault], &server, &stalls);
        lateness.limit_ms(second(0), second(99), part) - UNDISTURBED_MS
    };
    // The server's wait is in 12 of the 100 seconds, the fault in 5, the stall in 11.
    let stall_ms = 100.0 * WAKE_UPS;
    assert_eq!(limit(0, 1.0), f64::INFINITY);
    assert_eq!(limit(0, 0.89), f64::INFINITY);
    assert_eq!(limit(0, 0.88), stall_ms);
    assert_eq!(limit(0, 0.77), 0.0);
    assert_eq!(limit(1, 0.88), 2_000.0);
    assert_eq!(limit(1, 0.83), stall_ms);
    assert_eq!(limit(1, 0.5), 0.0);
    let nothing = Lateness::of(0, &[], &[], &[]);
    assert_eq!(nothing.limit_ms(second(0), second(9), 0.5), UNDISTURBED_MS);
}
