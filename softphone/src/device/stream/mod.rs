//! A device that plays or records, from the attempt to open it to its end.
//!
//! Read `open` first: an `order` becomes a `running_stream`, cpal's or the system's own (`open_native`), with the engine's
//! half of a ring (`capture`, `render`). `supervisor` is a thread for each device that looks at it (`watch`), gives it up
//! and opens it again. All calls into an audio host run on threads that may be abandoned (`deadline`).

pub(crate) mod capture;
pub(crate) mod config;
pub(crate) mod deadline;
pub(crate) mod found_device;
pub(crate) mod latency_line;
pub(crate) mod open;
#[cfg(target_os = "linux")]
pub(crate) mod open_native;
pub(crate) mod order;
pub(crate) mod render;
pub(crate) mod ring_target;
pub(crate) mod running_stream;
pub(crate) mod supervisor;
pub(crate) mod watch;

pub(crate) use config::configuration;
pub(crate) use deadline::{Outstanding, aside};
pub use open::{Devices, open, open_microphone, open_speaker};
pub(crate) use order::{DeviceRequest, Order};
pub(crate) use running_stream::Stream;
