//! The two log lines of a leg: one when its first chunk is accepted, one when it ends, however it
//! ends (the transport drops the stream of a peer that went away).

use std::time::Duration;

use proto::text::{one_line, quoted};
use tokio::time::Instant;
use tracing::info;

use super::leg::LegTotals;
use crate::transport::StreamName;

/// What the last line says; it is written when this is dropped.
pub(crate) struct LegLog {
    leg_id: String,
    peer: String,
    opened: Instant,
    call: Option<(String, String)>,
    totals: LegTotals,
    /// Payload bytes handed to the transport, and answers that were too late for it.
    sent: (u64, u64),
    outcome: Option<String>,
}

impl LegLog {
    pub(crate) fn new(leg_id: String, peer: String) -> Self {
        Self {
            leg_id,
            peer,
            opened: Instant::now(),
            call: None,
            totals: LegTotals::default(),
            sent: (0, 0),
            outcome: None,
        }
    }

    pub(crate) fn leg_id(&self) -> &str {
        &self.leg_id
    }

    /// Whose stream it is.
    pub(crate) fn name(&self) -> StreamName {
        StreamName {
            stream: self.leg_id.clone(),
            peer: self.peer.clone(),
        }
    }

    /// As the log shows it; empty before the first chunk.
    #[cfg(test)]
    pub(crate) fn call_id(&self) -> &str {
        let shown = self.call.as_ref().map_or("", |(call_id, _)| call_id);
        shown.trim_matches('"')
    }

    pub(crate) fn start(&mut self, call_id: &str, format: &str) {
        let call_id = quoted(call_id);
        info!(leg = self.leg_id, call = %call_id, format, peer = self.peer, "call started");
        self.call = Some((call_id, format.to_owned()));
    }

    pub(crate) fn received(&mut self, totals: LegTotals) {
        self.totals = totals;
    }

    pub(crate) fn sent(&mut self, bytes_out: u64, dropped_late: u64) {
        self.sent = (bytes_out, dropped_late);
    }

    /// How it ended; the first word counts.
    pub(crate) fn outcome(&mut self, outcome: String) {
        self.outcome.get_or_insert(outcome);
    }
}

impl Drop for LegLog {
    fn drop(&mut self) {
        let duration = humantime::format_duration(Duration::from_millis(
            self.opened.elapsed().as_millis() as u64,
        ));
        let outcome = self.outcome.as_deref().unwrap_or("the peer went away");
        let none = || ("none".to_owned(), "none".to_owned());
        let (call, format) = self.call.take().unwrap_or_else(none);
        let (bytes_out, dropped_late) = self.sent;
        info!(
            leg = self.leg_id,
            call = %call,
            format,
            peer = self.peer,
            %duration,
            chunks = self.totals.chunks,
            dropped = self.totals.dropped,
            dropped_late,
            bytes_in = self.totals.bytes_in,
            bytes_out,
            outcome = %one_line(outcome),
            "call ended"
        );
    }
}
