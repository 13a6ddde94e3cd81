//! Judges how the system's mixer stands: mutes and volumes, which no sound tells and no device
//! driver asks. Pure: what the mixer says is passed in.

use super::{
    fault::Fault,
    finding::{Finding, Fix},
};
use crate::device::Direction;

/// Volumes below this are hardly heard: 20 % are −42 dB on PulseAudio's scale.
const MIN_PERCENT: u32 = 20;

/// How the mixer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mixer {
    /// What changes it.
    pub(super) tool: Tool,
    /// Of microphones and the like.
    pub(super) inputs: Vec<Control>,
    /// Of speakers and the like.
    pub(super) outputs: Vec<Control>,
}

/// The program that changes a mixer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tool {
    /// PulseAudio's, which works on PipeWire as well.
    Pactl,
    /// PipeWire's.
    Wpctl,
    /// ALSA's, for this card.
    Amixer(String),
}

/// The volume of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// The mixer's name for it.
    pub(super) id: String,
    /// Its name for people.
    pub(super) name: String,
    /// Whether it is the device that is used when none is named.
    pub(super) default: bool,
    /// Whether it is switched off.
    pub(super) muted: bool,
    /// 100 is what the device itself gives or takes.
    pub(super) percent: u32,
    /// The speaker whose sound it gives, if it is no microphone but a monitor.
    pub(super) monitor_of: Option<String>,
    /// Whether its socket is known to be empty.
    pub(super) unplugged: bool,
}

impl Mixer {
    /// The control of the device that a check has opened: the default, or the one of this name.
    pub(super) fn control(
        &self,
        direction: Direction,
        named: bool,
        device: &str,
    ) -> Option<&Control> {
        let controls = self.controls(direction);
        if named {
            let is_it = |control: &&Control| control.name == device || control.id == device;
            controls.iter().find(is_it)
        } else {
            controls.iter().find(|control| control.default)
        }
    }

    fn controls(&self, direction: Direction) -> &[Control] {
        match direction {
            Direction::Input => &self.inputs,
            Direction::Output => &self.outputs,
        }
    }

    /// What keeps this device from being heard; `None` if its control stands well.
    pub(super) fn judge(
        &self,
        direction: Direction,
        named: bool,
        control: &Control,
    ) -> Option<Finding> {
        use Direction::{Input, Output};
        let quoted = format!("\"{}\"", control.name);
        let whom = match direction {
            Input => "nobody will hear you",
            Output => "you will hear nothing",
        };
        let fault = |input, output| match direction {
            Input => input,
            Output => output,
        };
        if let Some(speaker) = &control.monitor_of {
            return Some(self.judge_monitor(named, control, speaker));
        }
        if control.muted {
            return Some(Finding::fail(
                fault(Fault::MicrophoneMuted, Fault::OutputMuted),
                format!("{quoted} is muted: {whom}"),
                self.unmute(direction, named, control),
            ));
        }
        let louder = || self.set_volume(direction, named, control);
        if control.percent == 0 {
            return Some(Finding::fail(
                fault(Fault::MicrophoneVolumeZero, Fault::OutputVolumeZero),
                format!("the volume of {quoted} is 0 %: {whom}"),
                louder(),
            ));
        }
        if control.unplugged {
            return Some(
                Finding::warn(
                    fault(Fault::MicrophoneUnplugged, Fault::OutputUnplugged),
                    format!("nothing is plugged into {quoted}"),
                    Fix::advice("plug the headset in, or choose another in the sound settings"),
                )
                .or(another(direction)),
            );
        }
        (control.percent < MIN_PERCENT).then(|| {
            Finding::warn(
                fault(Fault::MicrophoneVolumeLow, Fault::OutputVolumeLow),
                format!("the volume of {quoted} is only {} %", control.percent),
                louder(),
            )
        })
    }

    /// Somebody who names a monitor may mean it; a default that is one was never meant.
    fn judge_monitor(&self, named: bool, control: &Control, speaker: &str) -> Finding {
        let message = format!(
            "\"{}\" is no microphone: it gives back what the speaker \"{speaker}\" plays, so that \
             others hear themselves and nobody hears you",
            control.name
        );
        if named {
            return Finding::warn(
                Fault::MicrophoneIsMonitor,
                message,
                another(Direction::Input),
            );
        }
        let microphone = self
            .inputs
            .iter()
            .find(|input| input.monitor_of.is_none() && !input.unplugged);
        let fixes = match microphone {
            Some(microphone) => {
                let call = format!("softphone --input \"{}\"", microphone.name);
                let here = Fix::command("use the microphone in calls", call);
                match self.tool {
                    Tool::Pactl => vec![
                        Fix::command(
                            format!("make \"{}\" the default", microphone.name),
                            format!("pactl set-default-source {}", microphone.id),
                        ),
                        here,
                    ],
                    Tool::Wpctl | Tool::Amixer(_) => vec![here],
                }
            }
            None => vec![Fix::advice(
                "plug in a headset or a microphone: the system has none",
            )],
        };
        Finding::fail(Fault::MicrophoneIsMonitor, message, fixes)
    }

    fn unmute(&self, direction: Direction, named: bool, control: &Control) -> Fix {
        let command = match &self.tool {
            Tool::Wpctl if !named => format!("wpctl set-mute {} 0", wpctl_default(direction)),
            Tool::Pactl | Tool::Wpctl => format!(
                "pactl set-{}-mute {} 0",
                pactl_noun(direction),
                pactl_device(direction, named, control)
            ),
            Tool::Amixer(card) => {
                let on = match direction {
                    Direction::Input => "cap",
                    Direction::Output => "unmute",
                };
                format!("amixer -D {card} sset '{}' {on}", control.id)
            }
        };
        Fix::command("unmute it", command)
    }

    fn set_volume(&self, direction: Direction, named: bool, control: &Control) -> Fix {
        let percent = match direction {
            Direction::Input => 100,
            Direction::Output => 70,
        };
        let command = match &self.tool {
            Tool::Wpctl if !named => {
                format!("wpctl set-volume {} {percent}%", wpctl_default(direction))
            }
            Tool::Pactl | Tool::Wpctl => format!(
                "pactl set-{}-volume {} {percent}%",
                pactl_noun(direction),
                pactl_device(direction, named, control)
            ),
            Tool::Amixer(card) => format!("amixer -D {card} sset '{}' {percent}%", control.id),
        };
        Fix::command("raise it", command)
    }
}

fn another(direction: Direction) -> Fix {
    let option = match direction {
        Direction::Input => "--input",
        Direction::Output => "--output",
    };
    Fix::command(
        "choose another (\"softphone devices\" lists them)",
        format!("softphone {option} NAME"),
    )
}

fn pactl_noun(direction: Direction) -> &'static str {
    match direction {
        Direction::Input => "source",
        Direction::Output => "sink",
    }
}

fn pactl_device(direction: Direction, named: bool, control: &Control) -> &str {
    match direction {
        _ if named => &control.id,
        Direction::Input => "@DEFAULT_SOURCE@",
        Direction::Output => "@DEFAULT_SINK@",
    }
}

fn wpctl_default(direction: Direction) -> &'static str {
    match direction {
        Direction::Input => "@DEFAULT_AUDIO_SOURCE@",
        Direction::Output => "@DEFAULT_AUDIO_SINK@",
    }
}

#[cfg(test)]
mod tests {
    use Direction::{Input, Output};

    use super::*;
    use crate::doctor::finding::Status;

    fn control(name: &str) -> Control {
        Control {
            id: name.to_lowercase(),
            name: name.to_owned(),
            default: true,
            percent: 74,
            ..Control::default()
        }
    }

    fn mixer(tool: Tool, inputs: Vec<Control>) -> Mixer {
        Mixer {
            tool,
            inputs,
            outputs: vec![control("Desk")],
        }
    }

    fn finding(tool: Tool, direction: Direction, change: impl FnOnce(&mut Control)) -> Finding {
        let mut control = control("Desk");
        change(&mut control);
        mixer(tool, vec![])
            .judge(direction, false, &control)
            .expect("a finding")
    }

    fn command(finding: &Finding) -> &str {
        finding.fixes[0].command.as_deref().unwrap_or_default()
    }

    #[test]
    fn what_stands_well_is_not_mentioned() {
        let mixer = mixer(Tool::Pactl, vec![control("Desk")]);
        for direction in [Input, Output] {
            assert_eq!(mixer.judge(direction, false, &control("Desk")), None);
        }
    }

    #[test]
    fn each_fault_has_its_name_and_the_command_of_its_mixer() {
        let amixer = || Tool::Amixer("default".to_owned());
        let muted: fn(&mut Control) = |control| control.muted = true;
        let zero: fn(&mut Control) = |control| control.percent = 0;
        let low: fn(&mut Control) = |control| control.percent = 12;
        for (tool, direction, change, fault, command_of_it) in [
            (
                Tool::Pactl,
                Output,
                muted,
                Fault::OutputMuted,
                "pactl set-sink-mute @DEFAULT_SINK@ 0",
            ),
            (
                Tool::Wpctl,
                Output,
                muted,
                Fault::OutputMuted,
                "wpctl set-mute @DEFAULT_AUDIO_SINK@ 0",
            ),
            (
                amixer(),
                Output,
                muted,
                Fault::OutputMuted,
                "amixer -D default sset 'desk' unmute",
            ),
            (
                Tool::Pactl,
                Input,
                muted,
                Fault::MicrophoneMuted,
                "pactl set-source-mute @DEFAULT_SOURCE@ 0",
            ),
            (
                amixer(),
                Input,
                muted,
                Fault::MicrophoneMuted,
                "amixer -D default sset 'desk' cap",
            ),
            (
                Tool::Pactl,
                Output,
                zero,
                Fault::OutputVolumeZero,
                "pactl set-sink-volume @DEFAULT_SINK@ 70%",
            ),
            (
                Tool::Wpctl,
                Input,
                zero,
                Fault::MicrophoneVolumeZero,
                "wpctl set-volume @DEFAULT_AUDIO_SOURCE@ 100%",
            ),
            (
                amixer(),
                Input,
                low,
                Fault::MicrophoneVolumeLow,
                "amixer -D default sset 'desk' 100%",
            ),
            (
                Tool::Pactl,
                Output,
                low,
                Fault::OutputVolumeLow,
                "pactl set-sink-volume @DEFAULT_SINK@ 70%",
            ),
        ] {
            let finding = finding(tool, direction, change);
            assert_eq!(finding.fault, Some(fault), "{finding:?}");
            assert_eq!(command(&finding), command_of_it);
            let low = [Fault::MicrophoneVolumeLow, Fault::OutputVolumeLow].contains(&fault);
            let status = if low { Status::Warn } else { Status::Fail };
            assert_eq!(finding.status, status, "{finding:?}");
        }
    }

    #[test]
    fn a_named_device_is_not_confused_with_the_default() {
        let mut headset = control("Headset");
        headset.default = false;
        headset.muted = true;
        let mixer = mixer(Tool::Wpctl, vec![control("Desk"), headset.clone()]);
        assert_eq!(mixer.control(Input, true, "Headset"), Some(&headset));
        assert_eq!(mixer.control(Input, true, "gone"), None);
        assert_eq!(mixer.control(Input, false, "any").unwrap().name, "Desk");
        let finding = mixer.judge(Input, true, &headset).unwrap();
        assert_eq!(command(&finding), "pactl set-source-mute headset 0");
    }

    #[test]
    fn a_monitor_as_the_default_fails_and_the_real_microphone_is_named() {
        let mut monitor = control("Monitor of Desk");
        monitor.monitor_of = Some("Desk".to_owned());
        let mut real = control("Headset");
        real.default = false;
        let with = mixer(Tool::Pactl, vec![monitor.clone(), real]);
        let finding = with.judge(Input, false, &monitor).unwrap();
        assert_eq!(finding.status, Status::Fail);
        assert_eq!(finding.fault, Some(Fault::MicrophoneIsMonitor));
        assert_eq!(command(&finding), "pactl set-default-source headset");
        let without = mixer(Tool::Pactl, vec![monitor.clone()]);
        let finding = without.judge(Input, false, &monitor).unwrap();
        assert!(finding.fixes[0].advice.contains("plug in"), "{finding:?}");
        // Somebody asked for it.
        let finding = with.judge(Input, true, &monitor).unwrap();
        assert_eq!(finding.status, Status::Warn);
    }

    #[test]
    fn an_empty_socket_is_told() {
        let finding = finding(Tool::Pactl, Output, |control| control.unplugged = true);
        assert_eq!(finding.fault, Some(Fault::OutputUnplugged));
    }
}
