//! Ctrl-C and what a service manager sends: requests to hang up.
//!
//! Taken from the moment of [`Signals::new`] on, so that none is missed between two waits.

use crate::ui::{Key, Ui};

/// The signals that ask a program to end.
pub struct Signals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Takes them from now on. One that the system does not let us take ends the program as it
    /// would any other.
    #[cfg(unix)]
    pub fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        Self {
            signals: kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        }
    }

    /// Returns when the next one comes.
    #[cfg(unix)]
    pub async fn recv(&mut self) {
        std::future::poll_fn(|context| {
            let came = self
                .signals
                .iter_mut()
                .any(|signal| signal.poll_recv(context).is_ready());
            if came {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
    }

    /// Takes Ctrl-C from now on.
    #[cfg(not(unix))]
    pub fn new() -> Self {
        Self {}
    }

    /// Returns when it comes.
    #[cfg(not(unix))]
    pub async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
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
