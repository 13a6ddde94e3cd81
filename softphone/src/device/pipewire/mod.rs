//! PipeWire's own interface: samples in the periods of its graph, without the buffers of its
//! PulseAudio server in between (20 ms of delay less).
//!
//! `library` loads libpipewire at run time, `format` says what a stream carries, `stream` is one
//! stream. Devices, their names and which is the default come from the PulseAudio server that
//! belongs to every PipeWire desktop: its sinks and sources have the names of PipeWire's nodes.
//!
//! cpal has a host for PipeWire, which needs libclang and the headers of PipeWire to build and is
//! linked to the library; its host for JACK needs the headers of JACK, knows no devices, no default
//! and no period of its own, and PipeWire's libjack is not installed on every desktop.

mod format;
mod library;
mod stream;

pub(super) use stream::{PipeWireStream, StreamConfig};

/// Whether there is a library to load.
pub(super) fn is_installed() -> bool {
    library::functions().is_some()
}
