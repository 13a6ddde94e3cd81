//! What to do about sound that does not work, on the system that this program was built for.

use super::{
    fault::Fault,
    finding::{Finding, Fix},
};
use crate::device::{DeviceError, Direction};

/// Where a person changes levels and mutes when no command does.
const SOUND_SETTINGS: &str = "unmute it and raise its level in the system's sound settings";

const RESTART_PIPEWIRE: &str = "systemctl --user restart pipewire pipewire-pulse wireplumber";
const RESTART_PULSEAUDIO: &str = "pkill -KILL -x -U \"$USER\" pulseaudio; pulseaudio --start";

/// The likeliest first; never empty.
pub(super) fn start_audio_server() -> Vec<Fix> {
    if cfg!(target_os = "linux") {
        vec![
            Fix::command(
                "start the audio server",
                "systemctl --user start pipewire pipewire-pulse wireplumber",
            ),
            Fix::command("start it, if it is PulseAudio", "pulseaudio --start"),
            Fix::command(
                "install one (Debian, Ubuntu)",
                "sudo apt install pipewire-audio",
            ),
        ]
    } else {
        vec![restart_service()]
    }
}

/// The likeliest first; never empty.
pub(super) fn restart_audio_server() -> Vec<Fix> {
    if cfg!(target_os = "linux") {
        vec![
            Fix::command("restart the audio server", RESTART_PIPEWIRE),
            Fix::command("restart it, if it is PulseAudio", RESTART_PULSEAUDIO),
        ]
    } else if cfg!(target_os = "macos") {
        vec![Fix::command(
            "restart the audio server",
            "sudo killall coreaudiod",
        )]
    } else {
        vec![restart_service()]
    }
}

/// The same where the server is likely PulseAudio.
pub(super) fn restart_pulseaudio() -> Vec<Fix> {
    if cfg!(target_os = "linux") {
        vec![
            Fix::command("restart PulseAudio", RESTART_PULSEAUDIO),
            Fix::command("restart the server, if it is PipeWire", RESTART_PIPEWIRE),
        ]
    } else {
        restart_audio_server()
    }
}

fn restart_service() -> Fix {
    Fix::advice("restart the computer's audio service, or the computer")
}

/// What may keep a device from its programs.
pub(super) fn busy_device() -> Fix {
    if cfg!(target_os = "linux") {
        Fix::command(
            "look for the program that keeps it busy, and close it",
            "fuser -v /dev/snd/*",
        )
    } else {
        Fix::advice(
            "close other programs that use it, and allow the terminal to use it in the system's privacy settings",
        )
    }
}

pub(super) fn plug_in() -> Fix {
    Fix::advice("plug in a headset, or switch the sound card on in the system's sound settings")
}

/// A microphone that gives only zeros, though nothing that this program can ask has muted it.
pub(super) fn silent_microphone() -> Vec<Fix> {
    let mut fixes = Vec::new();
    if cfg!(target_os = "macos") || cfg!(windows) {
        fixes.push(Fix::advice(
            "allow the terminal to use the microphone in the system's privacy settings",
        ));
        fixes.push(Fix::advice(SOUND_SETTINGS));
    }
    fixes.push(Fix::advice(
        "look for a mute switch on the headset or its cable",
    ));
    fixes.push(Fix::command(
        "try another (\"softphone devices\" lists them)",
        "softphone doctor --input NAME",
    ));
    fixes
}

/// What to try when a tone was played and nobody heard it, where the mixer could not be asked.
pub(super) fn inaudible() -> String {
    format!(
        "No tone heard? {}{}",
        SOUND_SETTINGS[..1].to_uppercase(),
        &SOUND_SETTINGS[1..]
    )
}

/// A device that could not be opened: the reason without the advice, and the advice as fixes.
pub(super) fn cannot_open(direction: Direction, error: &DeviceError) -> Finding {
    let option = match direction {
        Direction::Input => "--input",
        Direction::Output => "--output",
    };
    let another = || {
        Fix::command(
            "choose another (\"softphone devices\" lists them)",
            format!("softphone doctor {option} NAME"),
        )
    };
    match error {
        DeviceError::Frozen { tried, .. } => Finding::fail(
            Fault::AudioServerFrozen,
            format!("the audio server is frozen: {}", tried.join("; ")),
            restart_audio_server(),
        ),
        DeviceError::NoAudio { tried, .. } => Finding::fail(
            match direction {
                Direction::Input => Fault::NoMicrophone,
                Direction::Output => Fault::NoSpeaker,
            },
            format!("none could be opened: {}", tried.join("; ")),
            start_audio_server(),
        )
        .or(plug_in()),
        DeviceError::HostUnavailable { host, reason } => Finding::fail(
            Fault::AudioServerMissing,
            format!("the audio host {host} cannot be used: {reason}"),
            start_audio_server(),
        ),
        DeviceError::TimedOut { seconds, .. } => Finding::fail(
            Fault::AudioServerFrozen,
            format!("it did not open within {seconds} s: the audio server is frozen"),
            restart_audio_server(),
        ),
        DeviceError::CannotOpen {
            device,
            host,
            reason,
            ..
        } => {
            let message = format!("\"{device}\" on {host} cannot be opened: {reason}");
            if reason.contains("format") {
                Finding::fail(Fault::UnsupportedSampleFormat, message, another()).or(Fix::advice(
                    "or let its audio server give it a usual one, such as s16le",
                ))
            } else {
                Finding::fail(Fault::DeviceCannotOpen, message, busy_device()).or(another())
            }
        }
        DeviceError::NoSuchDevice {
            wanted, host, hint, ..
        } => Finding::fail(
            Fault::NoSuchDevice,
            format!("no {} \"{wanted}\" on {host}: {hint}", direction.noun()),
            another(),
        ),
        other => Finding::fail(Fault::SystemExhausted, other.to_string(), another()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_says_what_happened_and_what_to_do() {
        let text = |s: &str| s.to_owned();
        let direction = Direction::Input;
        for (error, word) in [
            (
                DeviceError::NoAudio {
                    direction,
                    tried: vec![text("alsa: nobody home")],
                },
                "nobody home",
            ),
            (
                DeviceError::TimedOut {
                    direction,
                    seconds: 5,
                },
                "within 5 s",
            ),
            (
                DeviceError::CannotOpen {
                    direction,
                    device: text("Desk"),
                    host: text("alsa"),
                    reason: text("busy"),
                },
                "\"Desk\" on alsa cannot be opened: busy",
            ),
            (
                DeviceError::NoSuchDevice {
                    direction,
                    wanted: text("Dsk"),
                    host: text("alsa"),
                    hint: text("did you mean Desk?"),
                },
                "did you mean Desk?",
            ),
            (
                DeviceError::NoThread {
                    direction,
                    reason: text("too many"),
                },
                "too many",
            ),
        ] {
            let finding = cannot_open(direction, &error);
            assert!(finding.message.contains(word), "{finding:?}");
            assert!(!finding.fixes.is_empty(), "{finding:?}");
            // The advice stands under "fix", once.
            assert!(!finding.message.contains("--synthetic"), "{finding:?}");
        }
    }
}
