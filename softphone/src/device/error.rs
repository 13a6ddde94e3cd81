//! Why a device could not be opened, in words for the person who asked for it.

use thiserror::Error;

use super::Direction;

/// A device that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// The name given to `--audio-host` is none that this program or machine has.
    #[error("no audio host \"{wanted}\": choose one of {}", .available.join(", "))]
    UnknownHost {
        /// The name asked for.
        wanted: String,
        /// The names that would have worked.
        available: Vec<String>,
    },
    /// The audio host exists but does not answer to its name.
    #[error(
        "the audio host {host} cannot be used ({reason}): start its server, choose another with --audio-host, or use --synthetic to call without devices"
    )]
    HostUnavailable {
        /// The audio host.
        host: String,
        /// What it said.
        reason: String,
    },
    /// No device of that name, or more than one.
    #[error("no {} \"{wanted}\" on {host}: {hint}", .direction.noun())]
    NoSuchDevice {
        /// Microphone or speaker.
        direction: Direction,
        /// The name asked for.
        wanted: String,
        /// The audio host that was asked.
        host: String,
        /// The nearest names, or all.
        hint: String,
    },
    /// No host has a device of this direction that could be opened.
    #[error(
        "no {} could be opened ({}). Install and start an audio server (PipeWire or PulseAudio), \
         choose another host with --audio-host (\"softphone devices\" lists them), \
         or use --synthetic to call without devices",
        .direction.noun(), .tried.join("; ")
    )]
    NoAudio {
        /// Microphone or speaker.
        direction: Direction,
        /// What each host said.
        tried: Vec<String>,
    },
    /// The device is there but cannot be opened as we need it.
    #[error("the {} \"{device}\" on {host} cannot be opened: {reason}. Close other programs that may use it, or choose another (\"softphone devices\" lists them)", .direction.noun())]
    CannotOpen {
        /// Microphone or speaker.
        direction: Direction,
        /// The device's name.
        device: String,
        /// Its audio host.
        host: String,
        /// What the host said.
        reason: String,
    },
    /// The audio server does not answer, and no other host has a device.
    #[error(
        "no {} could be opened: the audio server is frozen, it accepts connections and does not \
         answer ({}). Restart it, choose another host with --audio-host, or use --synthetic to call \
         without devices", .direction.noun(), .tried.join("; ")
    )]
    Frozen {
        /// Microphone or speaker.
        direction: Direction,
        /// What each host said.
        tried: Vec<String>,
    },
    /// The audio system did not answer in time.
    #[error(
        "the {} did not open within {seconds} s: the audio server is frozen, it accepts connections \
         and does not answer. Restart it, choose another host with --audio-host, or use --synthetic \
         to call without devices", .direction.noun()
    )]
    TimedOut {
        /// Microphone or speaker.
        direction: Direction,
        /// How long we waited.
        seconds: u64,
    },
    /// The operating system refused a thread.
    #[error("no thread could be started for the {}: {reason}", .direction.noun())]
    NoThread {
        /// Microphone or speaker.
        direction: Direction,
        /// What the operating system said.
        reason: String,
    },
}
