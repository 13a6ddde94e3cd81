//! What all streams of a call share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
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
    /// What lets the next stream take the place of this one; empty: none was given.
    pub(super) resume_token: Mutex<String>,
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

    /// What lets the next stream take the place of this one.
    pub(super) fn resume_token(&self) -> String {
        let token = self.resume_token.lock();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_resume_token(&self, token: &str) {
        let mut kept = self
            .resume_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        token.clone_into(&mut kept);
    }

    /// The numbers of a stream that begins.
    pub(super) fn numbering(&self) -> Arc<Numbering> {
        let format = self.options.format;
        Arc::new(Numbering::new(self.clock, format, self.acknowledges()))
    }
}
