//! What the jitter buffer counts, and how it says it.

use std::time::Duration;

use crate::Format;

/// Where the jitter buffer stands, and what it has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterBufferStats {
    /// Waiting now, in µs: how long a sample that arrives now will wait.
    pub depth_us: u64,
    /// What `depth_us` tends to: its mean of late, without what is surplus or wanting.
    pub target_us: u64,
    /// Unevenness of arrivals in µs (RFC 3550, section 6.4.1, interarrival jitter).
    pub arrival_jitter_us: u64,
    /// The far end's sound that was played.
    pub played_us: u64,
    /// Played in place of sound that was late, lost or undecodable.
    pub concealed_us: u64,
    /// How often that began.
    pub concealment_events: u64,
    /// Of the events that are over, those of up to 60 ms: covered by a guess, often unheard.
    pub short_concealments: u64,
    /// Events of more than 60 ms, as soon as they are that long: their rest is silence.
    pub long_concealments: u64,
    /// The longest of these.
    pub longest_concealed_us: u64,
    /// Silence where the far end said that its microphone was away: nothing was made up, and what was
    /// said is missing all the same.
    pub absent_us: u64,
    /// How often that began, but where a concealment went on as such.
    pub absences: u64,
    /// Never played because it came too late: dropped here, or marked as dropped by the sender.
    pub dropped_late_us: u64,
    /// Taken out period by period to become less late.
    pub cut_us: u64,
    /// Put in period by period to be less often too late.
    pub inserted_us: u64,
    /// Packets that could not be decoded.
    pub undecodable: u64,
    /// Packets whose media time went back. Those that had been heard, or should have been, were
    /// dropped.
    pub out_of_order: u64,
}

/// By how much what waits differs from what should, for a [`DriftControl`](crate::DriftControl).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthError {
    /// Samples per channel too many; negative: too few.
    pub samples: f64,
    /// Part of the change since the error before that no clock has made: what was cut, inserted or
    /// concealed, and what became of the target.
    pub adjusted: f64,
    /// Played since the error before.
    pub elapsed: Duration,
}

/// Samples per channel, but for the counts.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) played: u64,
    pub(crate) concealed: u64,
    pub(crate) events: u64,
    pub(crate) long_events: u64,
    pub(crate) longest: u64,
    pub(crate) absent: u64,
    pub(crate) absences: u64,
    pub(crate) dropped_late: u64,
    pub(crate) cut: u64,
    pub(crate) inserted: u64,
    pub(crate) undecodable: u64,
    pub(crate) out_of_order: u64,
}

impl Totals {
    /// The counts so far, with a concealment of `running` samples that is not over.
    pub(crate) fn stats(&self, format: Format, running: usize, most: usize) -> JitterBufferStats {
        let us = |samples: u64| samples * 1_000_000 / u64::from(format.sample_rate_hz());
        JitterBufferStats {
            played_us: us(self.played),
            concealed_us: us(self.concealed),
            concealment_events: self.events,
            short_concealments: self.events - self.long_events - u64::from(running > 0),
            long_concealments: self.long_events + u64::from(running > most),
            longest_concealed_us: us(self.longest.max(running as u64)),
            absent_us: us(self.absent),
            absences: self.absences,
            dropped_late_us: us(self.dropped_late),
            cut_us: us(self.cut),
            inserted_us: us(self.inserted),
            undecodable: self.undecodable,
            out_of_order: self.out_of_order,
            ..JitterBufferStats::default()
        }
    }
}
