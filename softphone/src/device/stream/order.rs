//! What is to be opened.

use crate::device::selection::Pin;
use crate::device::{BufferRequest, Placement};

/// One attempt to open a device.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// On this host; on the first that works if `None`.
    pub(crate) host: Option<String>,
    pub(crate) device: DeviceRequest,
    pub(crate) buffer: BufferRequest,
}

/// Which device to open.
#[derive(Debug, Clone)]
pub(crate) enum DeviceRequest {
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
    pub(crate) fn placement(&self) -> Placement {
        match self {
            Self::Default => Placement::Default,
            Self::Fallback => Placement::Fallback,
            Self::Named(_) | Self::Pinned(_) => Placement::Pinned,
        }
    }
}
