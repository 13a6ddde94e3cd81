//! What a virtual call claims about its delay: where it began, where it ended, and how soon it was
//! back after each stall. Pure.

use std::{collections::VecDeque, ops::Range, time::Duration};

use line::Impairment;

use crate::engine::call_stats::Heard;

/// A line finds its delay in the beginning, and again after a stall. What is judged separately is
/// left out of least and most.
const SETTLING: Duration = Duration::from_secs(5);
const AFTERMATH: Duration = Duration::from_secs(2);

/// As late as before, as far as anyone can hear.
pub const BACK_WITHIN: Duration = Duration::from_millis(20);

/// Follows the delay of a call.
#[derive(Debug)]
pub struct LineTrace {
    /// Stalls to come, and the one that is not over, in order.
    stalls: VecDeque<Range<Duration>>,
    /// The last stall that ended or began.
    stalled: Option<Stalled>,
    second: u64,
    sum_us: u64,
    count: u64,
    samples: u64,
    /// Until when seconds do not count.
    unsettled_until: Duration,
    figures: TraceFigures,
}

#[derive(Debug, Clone, Copy)]
struct Stalled {
    over: Duration,
    back_at_us: u32,
}

/// What came of it. Delays are means over seconds, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFigures {
    /// The first second in which the line had found its delay; `None`: it never had.
    pub start_us: Option<u32>,
    /// The last such second.
    pub end_us: Option<u32>,
    /// The least of them.
    pub min_us: Option<u32>,
    /// The most.
    pub max_us: Option<u32>,
    /// How long after the end of each stall sound was heard again that was no later than before, or
    /// hardly ([`BACK_WITHIN`]).
    pub back_after_us: Vec<u32>,
    /// Stalls after which that did not happen before the next one, or before the call was over.
    pub not_back: usize,
}

impl LineTrace {
    /// For a call of this length.
    pub fn new(impairment: &Impairment, length: Duration) -> Self {
        Self {
            stalls: stalls(impairment, length),
            stalled: None,
            second: 0,
            sum_us: 0,
            count: 0,
            samples: 0,
            unsettled_until: SETTLING,
            figures: TraceFigures::default(),
        }
    }

    /// To be called with what was heard last, many times a second.
    pub fn observe(&mut self, now: Duration, heard: Heard) {
        if now.as_secs() > self.second {
            self.finish_second();
            self.second = now.as_secs();
        }
        if self.stalls.front().is_some_and(|stall| now >= stall.start) {
            self.begin_stall();
        }
        let fresh = heard.samples - std::mem::replace(&mut self.samples, heard.samples);
        if fresh == 0 {
            return;
        }
        self.sum_us += u64::from(heard.delay_us) * fresh;
        self.count += fresh;
        if let Some(stalled) = self.stalled
            && now >= stalled.over
            && heard.delay_us <= stalled.back_at_us
        {
            let after = now.saturating_sub(stalled.over);
            self.figures.back_after_us.push(after.as_micros() as u32);
            self.stalled = None;
        }
    }

    /// The call is over.
    pub fn figures(mut self) -> TraceFigures {
        self.figures.not_back += usize::from(self.stalled.is_some());
        self.figures
    }

    fn begin_stall(&mut self) {
        let Some(stall) = self.stalls.pop_front() else {
            return;
        };
        self.figures.not_back += usize::from(self.stalled.is_some());
        self.unsettled_until = self.unsettled_until.max(stall.end + AFTERMATH);
        // In a stall before the line has found its delay there is nothing to come back to.
        self.stalled = self.figures.end_us.map(|before| Stalled {
            over: stall.end,
            back_at_us: before + BACK_WITHIN.as_micros() as u32,
        });
    }

    fn finish_second(&mut self) {
        let (sum, count) = (
            std::mem::take(&mut self.sum_us),
            std::mem::take(&mut self.count),
        );
        if count == 0 || Duration::from_secs(self.second) < self.unsettled_until {
            return;
        }
        // A mean of u32 is one.
        let mean = (sum / count) as u32;
        let figures = &mut self.figures;
        figures.start_us.get_or_insert(mean);
        figures.end_us = Some(mean);
        figures.min_us = Some(figures.min_us.map_or(mean, |least| least.min(mean)));
        figures.max_us = Some(figures.max_us.map_or(mean, |most| most.max(mean)));
    }
}

/// When nothing arrives, in order; what overlaps is one.
pub(crate) fn stalls(impairment: &Impairment, length: Duration) -> VecDeque<Range<Duration>> {
    let mut all: Vec<Range<Duration>> = impairment
        .stalls
        .iter()
        .map(|stall| stall.at..stall.at + stall.length)
        .collect();
    if let Some((each, period)) = impairment.stall_every
        && !period.is_zero()
    {
        let starts = std::iter::successors(Some(period), |at| at.checked_add(period));
        all.extend(starts.take_while(|at| *at < length).map(|at| at..at + each));
    }
    all.retain(|stall| !stall.is_empty() && stall.start < length);
    all.sort_by_key(|stall| stall.start);
    let mut merged: VecDeque<Range<Duration>> = VecDeque::new();
    for stall in all {
        match merged.back_mut() {
            Some(last) if stall.start <= last.end => last.end = last.end.max(stall.end),
            _ => merged.push_back(stall),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call whose delay at each moment, in ms, is what the function says; `None`: nothing heard.
    fn trace(line: &str, seconds: u64, delay_ms: impl Fn(u64) -> Option<u32>) -> TraceFigures {
        let length = Duration::from_secs(seconds);
        let mut trace = LineTrace::new(&line.parse().unwrap(), length);
        let mut heard = Heard::default();
        for ms in 0..=seconds * 1_000 {
            if let Some(delay_ms) = delay_ms(ms) {
                heard.samples += 48;
                heard.delay_us = delay_ms * 1_000;
            }
            trace.observe(Duration::from_millis(ms), heard);
        }
        trace.figures()
    }

    #[test]
    fn a_delay_that_grows_is_seen_at_both_ends() {
        let figures = trace("none", 20, |ms| Some(50 + (ms / 1_000) as u32));
        assert_eq!(figures.start_us, Some(55_000));
        assert_eq!(
            (figures.min_us, figures.max_us),
            (Some(55_000), Some(69_000))
        );
        assert_eq!(figures.end_us, Some(69_000));
        // And a start that is not the rule does not count.
        let figures = trace("none", 20, |ms| Some(if ms < 3_000 { 500 } else { 50 }));
        assert_eq!(figures.max_us, Some(50_000));
    }

    #[test]
    fn each_stall_is_timed_until_the_delay_is_back() {
        let figures = trace("stall=2s@10s,stall=1s@30s", 40, |ms| match ms {
            10_000..12_000 | 30_000..31_000 => None,
            12_000..12_400 => Some(300),
            _ => Some(50),
        });
        assert_eq!(figures.back_after_us, [400_000, 0]);
        assert_eq!(figures.not_back, 0);
        assert_eq!(figures.max_us, Some(50_000));
    }

    #[test]
    fn a_delay_that_never_comes_back_is_counted() {
        let figures = trace("stall-every=1s/10s", 35, |ms| {
            Some(if ms < 10_000 { 50 } else { 90 })
        });
        // The second and third time it came back to what it was just before.
        assert_eq!((figures.back_after_us.len(), figures.not_back), (2, 1));
        assert_eq!(figures.end_us, Some(90_000));
    }

    #[test]
    fn stalls_that_overlap_are_one() {
        let line = "stall=2s@4s,stall=3s@5s,stall-every=1s/8s".parse().unwrap();
        let at = Duration::from_secs;
        assert_eq!(stalls(&line, at(20)), [at(4)..at(9), at(16)..at(17)]);
    }
}
