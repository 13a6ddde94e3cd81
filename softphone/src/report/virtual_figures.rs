//! The figures of a call without server, devices or waiting.

use std::time::Duration;

use serde_json::{Value, json};

use super::line_trace::{BACK_WITHIN, TraceFigures};

/// What a virtual call has to tell beside what every call has.
#[derive(Debug, Clone, PartialEq)]
pub struct VirtualFigures {
    /// The line, as it was asked for.
    pub impairment: String,
    /// Its delay.
    pub trace: TraceFigures,
    /// How long the machine took: of this run, not of the line.
    pub took: Duration,
}

impl VirtualFigures {
    /// For people.
    pub fn summary(&self, duration: Duration) -> Vec<String> {
        let ms = |us: Option<u32>| match us {
            Some(us) => format!("{:.1} ms", f64::from(us) / 1e3),
            None => "unknown".to_owned(),
        };
        let trace = &self.trace;
        let mut lines = vec![
            format!(
                "  on a virtual line ({}), {:.0} times as fast as real time",
                self.impairment,
                duration.as_secs_f64() / self.took.as_secs_f64().max(1e-3)
            ),
            format!(
                "  delay once settled: {} at first, {} in the end, {} to {} between",
                ms(trace.start_us),
                ms(trace.end_us),
                ms(trace.min_us),
                ms(trace.max_us)
            ),
        ];
        let stalls = trace.back_after_us.len() + trace.not_back;
        if stalls > 0 {
            lines.push(format!(
                "  stalls: {stalls}; back within {} ms of the delay before after {} (median), {} (worst), never after {}",
                BACK_WITHIN.as_millis(),
                ms(self.median_back_us()),
                ms(trace.back_after_us.iter().max().copied()),
                trace.not_back
            ));
        }
        lines
    }

    /// For scripts. How long it took is not among them: the same call gives the same figures.
    pub fn json(&self) -> Value {
        let ms = |us: Option<u32>| us.map(|us| f64::from(us) / 1e3);
        let trace = &self.trace;
        json!({
            "impairment": self.impairment,
            "delay_ms": {
                "start": ms(trace.start_us),
                "end": ms(trace.end_us),
                "min": ms(trace.min_us),
                "max": ms(trace.max_us),
            },
            "stalls": {
                "count": trace.back_after_us.len() + trace.not_back,
                "not_back": trace.not_back,
                "back_within_ms": BACK_WITHIN.as_millis() as u64,
                "back_after_ms": {
                    "median": ms(self.median_back_us()),
                    "worst": ms(trace.back_after_us.iter().max().copied()),
                },
            },
        })
    }

    fn median_back_us(&self) -> Option<u32> {
        let mut sorted = self.trace.back_after_us.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}
