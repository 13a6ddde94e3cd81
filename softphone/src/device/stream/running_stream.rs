//! A device that plays or records: what it is, and the engine's half of it.

use std::sync::Arc;

use crate::device::callback::Health;
use crate::device::selection::Pin;
use crate::device::{DeviceStats, Placement, Worn};

/// What a stream is: known before it runs, and the same until it ends.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) pin: Pin,
    pub(crate) placement: Placement,
    /// Whether it was worn when it was opened.
    pub(crate) worn: Worn,
    pub(crate) host: String,
    pub(crate) rate_hz: u32,
    /// Channels of ours: 1 or 2.
    pub(crate) channels: u16,
    pub(crate) health: Arc<Health>,
}

#[cfg(test)]
impl Stream {
    pub(crate) fn for_test(rate_hz: u32, channels: u16) -> Self {
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
pub(crate) trait Endpoint: Send + 'static {
    fn stream(&self) -> &Stream;
    /// Adds the ring's counters and sets the ring's state.
    fn fill_stats(&self, stats: &mut DeviceStats);
}

/// A stream that plays until it is dropped, which may hang.
pub(crate) type Playing = Box<dyn Send>;

/// A stream that plays, and the engine's half of it.
pub(crate) struct Opened<R> {
    pub(crate) stream: Playing,
    pub(crate) ring: R,
}
