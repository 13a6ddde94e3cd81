//! Microphones and speakers, as the engine thread sees them.
//!
//! A device has three parties: the host's callback thread (copies samples to or from a ring and
//! bumps atomics, nothing else), a supervisor thread that opens the device, opens it again when it
//! falls silent and moves it when the default moves, and the engine thread, which owns the
//! `Microphone` and the `Speaker` and never waits for either.

mod callback;
mod error;
mod notice;
#[cfg(target_os = "linux")]
mod pipewire;
#[cfg(target_os = "linux")]
mod pulse;
pub mod selection;
pub mod simulated;
pub mod stream;

use std::fmt;
use std::time::Duration;

pub use error::DeviceError;
pub use notice::{DeviceChange, DeviceNotice};
pub use selection::Worn;
pub(crate) use selection::shown_name;
pub use stream::{Devices, open, open_microphone, open_speaker};

/// Where captured sound comes from. Read by the engine thread only.
pub trait Microphone: Send {
    /// Sample rate of what `read` returns, in Hz. May change between two reads when a device was
    /// rebuilt: ask before each `read`.
    fn sample_rate_hz(&self) -> u32;
    /// Channels of what `read` returns: 1 or 2. May change like the rate.
    fn channels(&self) -> u16;
    /// Appends every sample captured since the last call (interleaved, −1..1). Never blocks.
    /// `now` is the engine's clock (monotonic, since the engine's start).
    ///
    /// While the device is being rebuilt nothing comes. Samples of two rates never come from one
    /// call: what the old device left is returned first, the next call begins with the new one.
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>);
    /// For how long sound was lost since the last call of this: what `read` gives next was captured so
    /// much later than it seems.
    fn take_lost(&mut self) -> Duration {
        Duration::ZERO
    }
    /// The far end hears us from now on: a source that can wait begins.
    fn line_is_up(&mut self) {}
    /// Whether it waits for that, and gives nothing until then.
    fn waits_for_line(&self) -> bool {
        false
    }
    /// How long until the next samples should be there; `None` if nothing is known of that.
    fn rest(&self) -> Option<Duration> {
        None
    }
    /// How long ago, at the moment of the last `read`, its newest sample was at the microphone, in
    /// microseconds (device latency; an estimate from the host's timestamps, 0 if it gives none).
    fn latency_us(&self) -> u32;
    /// Counters and state, for the screen and the summary.
    fn stats(&self) -> DeviceStats;
    /// The next thing to tell people about the device, if there is one. Never blocks.
    fn notice(&mut self) -> Option<DeviceNotice> {
        None
    }
}

/// Where sound goes to. Written by the engine thread only.
pub trait Speaker: Send {
    /// Sample rate of what `write` expects, in Hz. May change between two calls of `wanted` when a
    /// device was rebuilt: ask after each `wanted`.
    fn sample_rate_hz(&self) -> u32;
    /// Channels of what `write` expects: 1 or 2. May change like the rate.
    fn channels(&self) -> u16;
    /// How many samples per channel the engine should write now so that the device does not run
    /// dry before the engine looks again. `now` is the engine's clock.
    ///
    /// Without a working device this is what a device would have consumed since, so that whoever
    /// feeds the speaker keeps draining and is not late when the device is back.
    fn wanted(&mut self, now: Duration) -> usize;
    /// Interleaved samples, −1..1, whole sample groups. What does not fit is discarded.
    fn write(&mut self, samples: &[f32]);
    /// How long until `wanted` should be asked again; `None` if nothing is known of that.
    fn rest(&self) -> Option<Duration> {
        None
    }
    /// How long before the device may take them samples are wanted. Changes as the device and the
    /// engine are found to be punctual.
    fn ahead(&self) -> Duration {
        Duration::ZERO
    }
    /// Samples per channel that the device played as silence since the last call of this, because
    /// there was nothing to take: what is written after that is heard so much later.
    fn take_underrun(&mut self) -> u64 {
        0
    }
    /// From `write` to the ear: what is queued in the ring plus the device's own latency,
    /// microseconds.
    fn latency_us(&self) -> u32;
    /// Counters and state, for the screen and the summary.
    fn stats(&self) -> DeviceStats;
    /// The next thing to tell people about the device, if there is one. Never blocks.
    fn notice(&mut self) -> Option<DeviceNotice> {
        None
    }
}

/// What a microphone or a speaker has been through since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// The device's name for people.
    pub name: String,
    /// The audio host that it was opened on, as `--audio-host` takes it.
    pub host: String,
    /// Whether it is the device that was asked for.
    pub placement: Placement,
    /// Whether it is worn on the ears, by what the audio server says of it (speaker only). Follows
    /// headphones that are plugged in or out within a second.
    pub worn: Worn,
    /// Callbacks of the device.
    pub callbacks: u64,
    /// Time spent in our half of the callbacks altogether, in nanoseconds.
    pub callback_busy_ns: u64,
    /// The longest of them, in nanoseconds.
    pub callback_worst_ns: u64,
    /// Samples per channel in the latest callback.
    pub callback_samples: u32,
    /// Overruns and underruns that the host itself reported.
    pub xruns: u64,
    /// Other errors of the host, which may pass.
    pub backend_errors: u64,
    /// Callbacks that found our ring too full (microphone) or too empty (speaker), or that brought
    /// stale sound (microphone).
    pub ring_faults: u64,
    /// Samples per channel lost (microphone) or played as silence (speaker) in those, and those that
    /// waited for so long while this program stood still that they were dropped (microphone).
    pub ring_fault_samples: u64,
    /// Samples per channel that wait in our ring now.
    pub ring_samples: u32,
    /// How far ahead of an expected callback the ring is filled, in microseconds (speaker only):
    /// grows with each underrun, shrinks again.
    pub ring_margin_us: u32,
    /// How often the host moved the stream to another device without interrupting it.
    pub route_changes: u64,
    /// How often the stream was lost and opened again.
    pub rebuilds: u64,
    /// How often the sound went to another device while the stream was fine.
    pub moves: u64,
    /// What the device is doing now.
    pub state: DeviceState,
}

impl DeviceStats {
    /// What a callback took on average, in microseconds.
    #[must_use]
    pub fn callback_mean_us(&self) -> f64 {
        self.callback_busy_ns as f64 / self.callbacks.max(1) as f64 / 1e3
    }
}

/// How a stream stands to what was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placement {
    /// On the system's default, and goes with it.
    #[default]
    Default,
    /// On the device that was named.
    Pinned,
    /// On the system's default, until the device that was named is back.
    Fallback,
}

/// What a device is doing now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceState {
    /// Sound flows.
    #[default]
    Running,
    /// The stream was lost; it is tried again until it is back.
    Rebuilding {
        /// What was wrong with the stream.
        why: RebuildReason,
    },
}

/// Why a stream was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildReason {
    /// No callback for half a second, and no error either: an audio server that hangs.
    Silent,
    /// The host reported an error, and no callback came after it.
    Backend,
    /// The host said that the stream is no longer valid: its server ended, or its format changed.
    Invalidated,
    /// The device is gone: unplugged, or its server ended.
    Unavailable,
}

impl fmt::Display for RebuildReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "it stopped without an error",
            Self::Backend => "the audio system reported an error",
            Self::Invalidated => "the audio server ended the stream",
            Self::Unavailable => "the device is gone",
        })
    }
}

/// Whether `wanted` names an audio host of this program; none at all is fine.
///
/// # Errors
/// [`DeviceError::UnknownHost`], which names those that there are.
pub fn known_host(wanted: Option<&str>) -> Result<(), DeviceError> {
    selection::host::candidates(wanted).map(drop)
}

/// Which devices to open, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// Audio host by name (`alsa`, `pulseaudio`, …), any case; the best that works if `None`.
    pub host: Option<String>,
    /// Microphone by identifier, name or an unambiguous part of a name; if `None` the system's
    /// default, wherever that goes.
    pub input: Option<String>,
    /// Speaker, likewise.
    pub output: Option<String>,
    /// How much sound a device should hand over at a time.
    pub buffer: BufferRequest,
}

/// How much sound a device is asked to hand over per callback. A wish: the device's limits win,
/// and some hosts call with other sizes than they promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferRequest {
    /// So long, at the device's own rate.
    Time(Duration),
    /// Samples per channel.
    Samples(u32),
}

impl Default for BufferRequest {
    /// 10 ms: half of it costs twice the wake-ups for 7 ms less delay.
    fn default() -> Self {
        Self::Time(Duration::from_millis(10))
    }
}

/// Which way the sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a microphone.
    Input,
    /// To a speaker.
    Output,
}

impl Direction {
    /// What the device is called in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Input => "microphone",
            Self::Output => "speaker",
        }
    }
}
