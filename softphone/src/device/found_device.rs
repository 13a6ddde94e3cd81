//! A device that was found, between the search for it and its stream.

use std::sync::Arc;

use cpal::{BufferSize, Device, SampleFormat, StreamConfig};

use super::callback::Health;
use super::device_routing::Pin;
use super::host::{self, AudioHost};
use super::stream::Stream;
use super::{Placement, Worn};

/// A device, and how it is to be opened.
pub(super) struct Found {
    pub(super) device: Device,
    pub(super) name: String,
    pub(super) pin: Pin,
    pub(super) placement: Placement,
    pub(super) worn: Worn,
    pub(super) host: AudioHost,
    pub(super) format: SampleFormat,
    pub(super) config: StreamConfig,
}

impl Found {
    /// What its stream is, for everybody else.
    pub(super) fn stream(&self, health: Arc<Health>) -> Stream {
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
    pub(super) fn step(&self) -> u32 {
        match self.config.buffer_size {
            BufferSize::Fixed(step) => step,
            BufferSize::Default => self.config.sample_rate / 100,
        }
    }
}
