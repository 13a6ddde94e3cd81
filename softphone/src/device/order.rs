//! What is to be opened.

use super::device_routing::Pin;
use super::{BufferRequest, Placement};

/// One attempt to open a device.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// On this host; on the first that works if `None`.
    pub(super) host: Option<String>,
    pub(super) device: DeviceRequest,
    pub(super) buffer: BufferRequest,
}

/// Which device to open.
#[derive(Debug, Clone)]
pub(super) enum DeviceRequest {
    /// The system's default.
    Default,
    /// The system's default in place of a pinned one.
    Fallback,
    /// The one that a person called so.
    Named(String),
    /// One that was opened before.
    Pinned(Pin),
}

impl DeviceRequest {
    pub(super) fn placement(&self) -> Placement {
        match self {
            Self::Default => Placement::Default,
            Self::Fallback => Placement::Fallback,
            Self::Named(_) | Self::Pinned(_) => Placement::Pinned,
        }
    }
}
