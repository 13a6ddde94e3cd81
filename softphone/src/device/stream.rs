//! A device that plays or records: what it is, and the engine's half of it.

use std::sync::Arc;

use super::callback::Health;
use super::device_routing::Pin;
use super::{DeviceStats, Placement, Worn};

/// What a stream is: known before it runs, and the same until it ends.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) pin: Pin,
    pub(super) placement: Placement,
    /// Whether it was worn when it was opened.
    pub(super) worn: Worn,
    pub(super) host: String,
    pub(super) rate_hz: u32,
    /// Channels of ours: 1 or 2.
    pub(super) channels: u16,
    pub(super) health: Arc<Health>,
}

#[cfg(test)]
impl Stream {
    pub(super) fn for_test(rate_hz: u32, channels: u16) -> Self {
        Self {
            name: "test".to_owned(),
            pin: Pin {
                id: "test".to_owned(),
                name: None,
            },
            placement: Placement::Default,
            worn: Worn::default(),
            host: "test".to_owned(),
            rate_hz,
            channels,
            health: Health::new(),
        }
    }
}

/// The engine's half of a stream.
pub(super) trait Endpoint: Send + 'static {
    fn stream(&self) -> &Stream;
    /// Adds the ring's counters and sets the ring's state.
    fn fill_stats(&self, stats: &mut DeviceStats);
}

/// A stream that plays until it is dropped, which may hang.
pub(super) type Playing = Box<dyn Send>;

/// A stream that plays, and the engine's half of it.
pub(super) struct Opened<R> {
    pub(super) stream: Playing,
    pub(super) ring: R,
}
