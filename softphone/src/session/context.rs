//! What all streams of a call share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::Duration,
};

use tokio::sync::watch;

use super::numbering::Numbering;
use super::state::{SessionOptions, SessionStatus};
use crate::{
    clock::Clock,
    engine::{playout_path::Downlink, uplink::Uplink},
};

/// The call, whichever stream carries it.
pub(super) struct Context {
    pub(super) options: SessionOptions,
    pub(super) clock: Clock,
    pub(super) uplink: Arc<Uplink>,
    pub(super) downlink: SyncSender<Downlink>,
    pub(super) status: watch::Sender<SessionStatus>,
    /// Whether the far end has been seen to acknowledge, on whichever stream.
    pub(super) acknowledges: AtomicBool,
}

impl Context {
    pub(super) fn deliver(&self, downlink: Downlink) {
        if self.downlink.try_send(downlink).is_err() {
            self.status
                .send_modify(|status| status.engine_overflow += 1);
        }
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.status.borrow().round_trip.unwrap_or_default()
    }

    pub(super) fn acknowledges(&self) -> bool {
        self.acknowledges.load(Ordering::Relaxed)
    }

    /// The numbers of a stream that begins.
    pub(super) fn numbering(&self) -> Arc<Numbering> {
        let format = self.options.format;
        Arc::new(Numbering::new(self.clock, format, self.acknowledges()))
    }
}
