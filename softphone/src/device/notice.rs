//! What people are told about their devices while a call lasts.

use std::fmt;

use super::{Direction, RebuildReason};

/// A change of one device, as a sentence by `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNotice {
    /// Microphone or speaker.
    pub direction: Direction,
    /// What happened.
    pub change: DeviceChange,
}

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChange {
    /// Its stream was lost; it is tried again until it is back.
    Lost {
        /// The device's name.
        name: String,
        /// What was wrong.
        why: RebuildReason,
    },
    /// A stream is there again, on the device that was asked for.
    Back {
        /// The device's name.
        name: String,
    },
    /// The device that was asked for cannot be had; the system's default takes its place.
    Fallback {
        /// The device that was asked for.
        pinned: String,
        /// The one that is used.
        name: String,
    },
    /// The system's default is another device now, and the sound went there.
    Moved {
        /// The device that is used.
        name: String,
    },
}

impl fmt::Display for DeviceNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.direction.noun();
        match &self.change {
            DeviceChange::Lost { name, why } => {
                write!(f, "{noun} {name}: {why}; trying to open it again")
            }
            DeviceChange::Back { name } => write!(f, "{noun} {name}: back"),
            DeviceChange::Fallback { pinned, name } => {
                write!(
                    f,
                    "{noun} {pinned}: not available; using {name} until it is back"
                )
            }
            DeviceChange::Moved { name } => {
                write!(f, "{noun}: the system's default is {name} now; using that")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(name: &str) -> DeviceNotice {
        DeviceNotice {
            direction: Direction::Output,
            change: DeviceChange::Moved {
                name: name.to_owned(),
            },
        }
    }

    #[test]
    fn a_notice_says_which_device_why_and_what_is_used_now() {
        let say = |change| {
            DeviceNotice {
                direction: Direction::Input,
                change,
            }
            .to_string()
        };
        let name = || "Built-in".to_owned();
        let lost = say(DeviceChange::Lost {
            name: "Headset".to_owned(),
            why: RebuildReason::Unavailable,
        });
        assert_eq!(
            lost,
            "microphone Headset: the device is gone; trying to open it again"
        );
        let fallback = say(DeviceChange::Fallback {
            pinned: "Headset".to_owned(),
            name: name(),
        });
        assert_eq!(
            fallback,
            "microphone Headset: not available; using Built-in until it is back"
        );
        assert_eq!(
            say(DeviceChange::Back { name: name() }),
            "microphone Built-in: back"
        );
        assert_eq!(
            moved("Built-in").to_string(),
            "speaker: the system's default is Built-in now; using that"
        );
    }
}
