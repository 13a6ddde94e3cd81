//! What to do about sound that does not work, on the system that this program was built for.

use super::finding::{Finding, Fix};
use crate::device::{DeviceError, DeviceOptions, Direction};

/// Where a person changes levels and mutes when no command does.
const SOUND_SETTINGS: &str = "unmute it and raise its level in the system's sound settings";

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
            Fix::command(
                "restart the audio server",
                "systemctl --user restart pipewire pipewire-pulse wireplumber",
            ),
            Fix::command(
                "restart it, if it is PulseAudio",
                "pkill -KILL -x -U \"$USER\" pulseaudio; pulseaudio --start",
            ),
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

/// A microphone that gives only zeros.
pub(super) fn silent_microphone(options: &DeviceOptions, host: &str) -> Vec<Fix> {
    let mut fixes = Vec::new();
    if cfg!(target_os = "macos") || cfg!(windows) {
        fixes.push(Fix::advice(
            "allow the terminal to use the microphone in the system's privacy settings",
        ));
        fixes.push(Fix::advice(SOUND_SETTINGS));
    } else if options.input.is_some() {
        fixes.push(Fix::advice(SOUND_SETTINGS));
    } else if host == "alsa" {
        fixes.push(Fix::command(
            "unmute it and raise its level",
            "alsamixer -V capture",
        ));
    } else {
        fixes.push(Fix::command(
            "unmute it",
            "pactl set-source-mute @DEFAULT_SOURCE@ 0",
        ));
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

/// What to try when a tone was played and nobody heard it.
pub(super) fn inaudible(options: &DeviceOptions, host: &str) -> String {
    if cfg!(not(target_os = "linux")) || options.output.is_some() {
        format!(
            "No tone heard? {}{}",
            SOUND_SETTINGS[..1].to_uppercase(),
            &SOUND_SETTINGS[1..]
        )
    } else if host == "alsa" {
        "No tone heard? Unmute the speaker: alsamixer".to_owned()
    } else {
        "No tone heard? Unmute the speaker: pactl set-sink-mute @DEFAULT_SINK@ 0".to_owned()
    }
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
        DeviceError::NoAudio { tried, .. } => Finding::fail(
            format!("none could be opened: {}", tried.join("; ")),
            start_audio_server(),
        )
        .or(plug_in()),
        DeviceError::HostUnavailable { host, reason } => Finding::fail(
            format!("the audio host {host} cannot be used: {reason}"),
            start_audio_server(),
        ),
        DeviceError::TimedOut { seconds, .. } => Finding::fail(
            format!("it did not open within {seconds} s: the audio server hangs"),
            restart_audio_server(),
        ),
        DeviceError::CannotOpen {
            device,
            host,
            reason,
            ..
        } => {
            let finding = Finding::fail(
                format!("\"{device}\" on {host} cannot be opened: {reason}"),
                busy_device(),
            );
            finding.or(another())
        }
        DeviceError::NoSuchDevice {
            wanted, host, hint, ..
        } => Finding::fail(
            format!("no {} \"{wanted}\" on {host}: {hint}", direction.noun()),
            another(),
        ),
        other => Finding::fail(other.to_string(), another()),
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

    #[test]
    fn a_named_device_is_not_confused_with_the_default() {
        let named = DeviceOptions {
            input: Some("Desk".to_owned()),
            output: Some("Desk".to_owned()),
            ..DeviceOptions::default()
        };
        let commands = format!("{:?}", silent_microphone(&named, "pulseaudio"));
        assert!(!commands.contains("DEFAULT_SOURCE"), "{commands}");
        assert!(!inaudible(&named, "pulseaudio").contains("DEFAULT_SINK"));
    }
}
