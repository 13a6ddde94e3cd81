//! Asks whoever knows whether a speaker is worn: the PulseAudio server (PipeWire included), where
//! the host is one. May hang: only on threads that may be abandoned.

#[cfg(target_os = "linux")]
use crate::device::pulse::PulseServer;
use crate::device::{Direction, Worn};

/// Keeps its connection, so that a question costs next to nothing.
#[derive(Default)]
pub(crate) struct WearQuery {
    #[cfg(target_os = "linux")]
    server: Option<PulseServer>,
}

impl WearQuery {
    /// Whether the device is worn; `None`: it is no speaker, or nobody knows.
    #[cfg(target_os = "linux")]
    pub(crate) fn ask(&mut self, host: &str, direction: Direction, device: &str) -> Option<Worn> {
        if direction != Direction::Output || !matches!(host, "pulseaudio" | "pipewire") {
            return None;
        }
        if self.server.is_none() {
            self.server = PulseServer::connect().ok();
        }
        let worn = self.server.as_mut()?.worn(device);
        if worn.is_none() {
            // A server that has ended leaves a connection that never answers again.
            self.server = None;
        }
        worn
    }

    /// Nobody knows here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn ask(&mut self, _: &str, _: Direction, _: &str) -> Option<Worn> {
        None
    }
}
