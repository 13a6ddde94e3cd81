//! What comes from the far end on one stream of the call.

use std::{sync::atomic::Ordering, time::Duration};

use proto::{
    callcenter::{AudioChunk, Event, event},
    text::excerpt,
};

use super::{answered_format, numbering::Numbering};
use super::{
    context::Context,
    state::Line,
    stream_end::{Heard, StreamEnd},
};
use crate::engine::playout_path::Downlink;

/// The most of the server's name for our leg that is shown.
const LEG_ID_COLUMNS: usize = 64;

impl Context {
    /// Takes one chunk of the far end, unless its sound is not what the engine decodes.
    pub(super) fn take(
        &self,
        mut chunk: AudioChunk,
        numbering: &Numbering,
        heard: &mut Heard,
    ) -> Result<(), StreamEnd> {
        answered_format::check(&chunk, self.options.format)
            .map_err(|wrong| StreamEnd::WrongFormat(wrong.to_string()))?;
        if !heard.anything {
            self.begin();
        }
        heard.anything = true;
        heard.last = self.clock.now();
        let accepted = chunk.accepted.clone();
        if let Some(accepted) = &accepted {
            self.acknowledges.store(true, Ordering::Relaxed);
            self.uplink.far_end_takes_events();
            heard.resume_token.clone_from(&accepted.resume_token);
            self.deliver(Downlink::FarEnd {
                returns_own_voice: accepted.echo,
            });
        }
        let events = std::mem::take(&mut chunk.events);
        // Until then a stream that is only tried has no place in the call that another could take.
        let is_roster = |event: &Event| matches!(event.event, Some(event::Event::Roster(_)));
        if events.iter().any(is_roster) {
            self.set_resume_token(&heard.resume_token);
        }
        let incoming = numbering.receive(chunk);
        let has_sound = !incoming.payload.is_empty();
        self.deliver(Downlink::Chunk(incoming));
        self.status.send_modify(|status| {
            status.line = Line::Connected;
            status.chunks_received += 1;
            status.sound_received += u64::from(has_sound);
            status.round_trip = numbering.round_trip();
            // A naive peer that returns what it received returns events, too.
            if self.acknowledges() {
                events.iter().for_each(|event| status.parties.apply(event));
            }
            if let Some(accepted) = accepted {
                status.leg_id = excerpt(&accepted.leg_id, LEG_ID_COLUMNS);
                status.processing_delay_us = Some(accepted.processing_delay_us);
            }
        });
        Ok(())
    }

    /// The far end has shown that it is there.
    pub(super) fn far_end_lives(&self, numbering: &Numbering) {
        numbering.far_end_lives();
        self.status.send_modify(|status| status.server_lives = true);
        self.deliver(Downlink::Lives);
    }

    /// The far end is heard for the first time on this stream.
    fn begin(&self) {
        self.deliver(Downlink::Began);
        self.status.send_modify(|status| {
            let is_again = matches!(status.line, Line::Lost { .. } | Line::Stalled);
            status.reconnects += u64::from(is_again);
        });
    }
}

/// What `answer` gives; `None` if it does not come within `patience` once we have said all.
pub(super) async fn patient<T>(
    answer: impl Future<Output = T>,
    patience: Duration,
    numbering: &Numbering,
) -> Option<T> {
    let too_late = async {
        numbering.wait_until_all_is_said().await;
        if !numbering.nothing_will_come() {
            tokio::time::sleep(patience).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = too_late => None,
    }
}
