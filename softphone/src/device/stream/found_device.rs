//! A device that was found, between the search for it and its stream.

use std::sync::Arc;

use cpal::{BufferSize, Device, SampleFormat, StreamConfig};

use super::running_stream::Stream;
use crate::device::callback::Health;
use crate::device::selection::Pin;
use crate::device::selection::{AudioHost, host};
use crate::device::{Placement, Worn};

/// A device, and how it is to be opened.
pub(crate) struct Found {
    pub(crate) device: Device,
    pub(crate) name: String,
    pub(crate) pin: Pin,
    pub(crate) placement: Placement,
    pub(crate) worn: Worn,
    pub(crate) host: AudioHost,
    pub(crate) format: SampleFormat,
    pub(crate) config: StreamConfig,
}

impl Found {
    /// What its stream is, for everybody else.
    pub(crate) fn stream(&self, health: Arc<Health>) -> Stream {
        Stream {
            name: self.name.clone(),
            pin: self.pin.clone(),
            placement: self.placement,
            worn: self.worn.clone(),
            host: host::name(self.host),
            rate_hz: self.config.sample_rate,
            channels: self.config.channels.min(2),
            health,
        }
    }

    /// Samples per channel that are wished for at a time.
    pub(crate) fn step(&self) -> u32 {
        match self.config.buffer_size {
            BufferSize::Fixed(step) => step,
            BufferSize::Default => self.config.sample_rate / 100,
        }
    }
}
