//! Ctrl-C and what a service manager sends: requests to hang up.
//!
//! Taken from the moment of [`Signals::new`] on, so that none is missed between two waits.

use std::{future::poll_fn, task::Poll};

use tty::{EndSignal, SignalListener};

use crate::ui::{Key, Ui};

/// The signals that ask a program to end.
pub struct Signals {
    signals: Vec<SignalListener>,
}

impl Signals {
    /// Takes them from now on. One that the system does not let us take ends the program as it
    /// would any other.
    pub fn new() -> Self {
        let kinds = [
            EndSignal::Interrupt,
            EndSignal::Terminate,
            EndSignal::HangUp,
        ];
        let listeners = kinds.into_iter().map(SignalListener::new);
        Self {
            signals: listeners.filter_map(Result::ok).collect(),
        }
    }

    /// Returns when the next one comes.
    pub async fn recv(&mut self) {
        poll_fn(|context| {
            let mut signals = self.signals.iter_mut();
            match signals.any(|signal| signal.poll_recv(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Returns when somebody who has already hung up does not want to wait any longer: another
    /// signal, or the key once more.
    pub async fn asked_again(&mut self, ui: &mut Ui) {
        let key = async { while ui.key().await != Key::HangUp {} };
        tokio::select! {
            () = self.recv() => {}
            () = key => {}
        }
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}
