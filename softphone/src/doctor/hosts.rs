//! Judges the list of audio hosts and their devices. Pure: the list is passed in.

use serde_json::json;

use super::{
    fault::Fault,
    finding::{Finding, Fix},
    fixes,
};
use crate::device::selection::list::{DeviceInfo, DeviceList, HostDevices};

/// What a call would meet, host after host in its own order.
enum Choice<'a> {
    /// It takes this one.
    Works(&'a HostDevices),
    /// It waits for this one in vain.
    Hangs(&'a HostDevices),
    /// Hosts answer, and have no device.
    Empty,
    /// No host answers.
    Silence,
}

/// Which hosts answer, and which one a call takes.
pub(super) fn judge_hosts(list: &DeviceList, wanted: Option<&str>) -> Finding {
    let states: Vec<_> = list.hosts.iter().map(state).collect();
    let states = states.join(", ");
    let figures = json!({
        "used_by_calls": match choose(list, wanted) {
            Choice::Works(host) => Some(&host.host),
            _ => None,
        },
        "hosts": list.hosts.iter().map(|host| json!({
            "host": host.host,
            "state": if host.is_frozen() { "hangs" } else if host.unavailable.is_some() { "unavailable" } else { "ok" },
            "reason": host.unavailable,
        })).collect::<Vec<_>>(),
    });
    let finding = match choose(list, wanted) {
        // Calls pass over one that is frozen, for the time being.
        Choice::Works(host) => match asked(list, wanted)
            .take_while(|other| other.host != host.host)
            .find(|other| other.is_frozen())
        {
            Some(_) => Finding::warn(
                Fault::AudioServerFrozen,
                format!("{states}; calls use {} instead", host.host),
                restart(list),
            ),
            None => Finding::ok(format!("{states}; calls use {}", host.host)),
        },
        Choice::Empty => {
            let (fault, fixes) = without_server(list, wanted);
            Finding::warn(fault, format!("{states}; so calls have none to use"), fixes)
        }
        Choice::Silence => {
            let (fault, fixes) = without_server(list, wanted);
            let message = match wanted {
                Some(wanted) => format!("{states}; calls were to use {wanted}"),
                None => states,
            };
            Finding::fail(fault, message, fixes)
        }
        Choice::Hangs(host) => {
            let finding = Finding::fail(
                Fault::AudioServerFrozen,
                format!("{states}; calls would wait for {} in vain", host.host),
                restart(list),
            );
            match list.hosts.iter().find(|other| works(other)) {
                Some(other) => finding.or(Fix::command(
                    format!("use {} meanwhile", other.host),
                    format!("softphone --audio-host {}", other.host),
                )),
                None => finding,
            }
        }
    };
    finding.with_figures(figures)
}

/// Why no host has a device, and what to do.
fn without_server(list: &DeviceList, wanted: Option<&str>) -> (Fault, Vec<Fix>) {
    if asked(list, wanted).any(HostDevices::is_frozen) {
        (Fault::AudioServerFrozen, restart(list))
    } else {
        (Fault::AudioServerMissing, fixes::start_audio_server())
    }
}

/// What mends the server that is frozen. PipeWire speaks PulseAudio's protocol as well, so it is only where
/// PipeWire does not run that the server of that protocol is PulseAudio.
fn restart(list: &DeviceList) -> Vec<Fix> {
    let host = |name| list.hosts.iter().find(move |host| host.host == name);
    let is_running = |host: &HostDevices| host.is_frozen() || host.unavailable.is_none();
    let pulse_is_frozen = host("pulseaudio").is_some_and(HostDevices::is_frozen);
    if pulse_is_frozen && !host("pipewire").is_some_and(is_running) {
        fixes::restart_pulseaudio()
    } else {
        fixes::restart_audio_server()
    }
}

/// Whether there are microphones and speakers, and which.
pub(super) fn judge_devices(list: &DeviceList, wanted: Option<&str>) -> Finding {
    let host = match choose(list, wanted) {
        Choice::Works(host) => host,
        Choice::Empty => {
            return Finding::fail(
                Fault::NoSpeaker,
                "there is neither a microphone nor a speaker",
                fixes::plug_in(),
            )
            .or(fixes::busy_device());
        }
        Choice::Hangs(_) | Choice::Silence => {
            return Finding::skip("not asked: first mend the audio hosts");
        }
    };
    let message = format!(
        "{}, {} on {}",
        counted(host.inputs.len(), "input"),
        counted(host.outputs.len(), "output"),
        host.host
    );
    let finding = if host.inputs.is_empty() || host.outputs.is_empty() {
        let fault = if host.inputs.is_empty() {
            Fault::NoMicrophone
        } else {
            Fault::NoSpeaker
        };
        Finding::fail(fault, message, fixes::plug_in()).or(Fix::command(
            "see whether another audio host has one",
            "softphone devices",
        ))
    } else if let Some(missing) = without_default(host) {
        Finding::warn(
            Fault::NoDefaultDevice,
            format!("{message}; the system names no default {missing}"),
            Fix::command(
                "name one",
                format!(
                    "softphone --{} NAME",
                    if missing == "microphone" {
                        "input"
                    } else {
                        "output"
                    }
                ),
            ),
        )
    } else {
        // Nothing to choose: the checks below name those that are used.
        return Finding::ok(message).with_figures(json!(list));
    };
    let inputs = host.inputs.iter().map(|device| line("input", device));
    let outputs = host.outputs.iter().map(|device| line("output", device));
    finding
        .with_details(inputs.chain(outputs).collect())
        .with_figures(json!(list))
}

/// The host that a call uses.
pub(super) fn used_host<'a>(list: &'a DeviceList, wanted: Option<&str>) -> Option<&'a str> {
    match choose(list, wanted) {
        Choice::Works(host) => Some(&host.host),
        _ => None,
    }
}

fn choose<'a>(list: &'a DeviceList, wanted: Option<&str>) -> Choice<'a> {
    // A call tries them in this order, and gets no further than one that hangs.
    match asked(list, wanted).find(|host| host.hangs || works(host)) {
        Some(host) if host.hangs => Choice::Hangs(host),
        Some(host) => Choice::Works(host),
        None if asked(list, wanted).any(|host| host.unavailable.is_none()) => Choice::Empty,
        None => Choice::Silence,
    }
}

/// The hosts that a call would ask.
fn asked<'a>(list: &'a DeviceList, wanted: Option<&str>) -> impl Iterator<Item = &'a HostDevices> {
    list.hosts
        .iter()
        .filter(move |host| wanted.is_none_or(|wanted| host.host.eq_ignore_ascii_case(wanted)))
}

fn works(host: &HostDevices) -> bool {
    host.unavailable.is_none() && !(host.inputs.is_empty() && host.outputs.is_empty())
}

fn state(host: &HostDevices) -> String {
    let name = &host.host;
    match &host.unavailable {
        Some(_) if host.is_frozen() => {
            format!("{name} is frozen: it takes connections and does not answer")
        }
        Some(reason) => format!("{name} is not running ({})", reason.trim_end_matches('.')),
        None if works(host) => format!("{name} answers"),
        None => format!("{name} answers but has no device"),
    }
}

fn without_default(host: &HostDevices) -> Option<&'static str> {
    let none = |devices: &[DeviceInfo]| !devices.iter().any(|device| device.default);
    if none(&host.inputs) {
        Some("microphone")
    } else if none(&host.outputs) {
        Some("speaker")
    } else {
        None
    }
}

fn line(noun: &str, device: &DeviceInfo) -> String {
    let default = if device.default { ", the default" } else { "" };
    format!(
        "{noun} \"{}\" ({}), {} Hz, {}{default}",
        device.id,
        device.name,
        device.sample_rate_hz,
        counted(usize::from(device.channels), "channel"),
    )
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}"),
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn device(default: bool) -> DeviceInfo {
        DeviceInfo {
            id: "id".to_owned(),
            name: "Desk Phone".to_owned(),
            default,
            sample_rate_hz: 48_000,
            channels: 1,
        }
    }

    fn working(name: &str) -> HostDevices {
        HostDevices {
            host: name.to_owned(),
            unavailable: None,
            hangs: false,
            inputs: vec![device(true), device(false)],
            outputs: vec![device(true)],
        }
    }

    fn empty(name: &str) -> HostDevices {
        HostDevices {
            inputs: vec![],
            outputs: vec![],
            ..working(name)
        }
    }

    fn stopped(name: &str) -> HostDevices {
        HostDevices {
            unavailable: Some("connection refused".to_owned()),
            ..empty(name)
        }
    }

    fn hanging(name: &str) -> HostDevices {
        HostDevices {
            hangs: true,
            ..stopped(name)
        }
    }

    fn list(hosts: &[HostDevices]) -> DeviceList {
        DeviceList {
            hosts: hosts.to_vec(),
        }
    }

    #[test]
    fn the_first_host_with_a_device_is_the_one_for_calls() {
        for (hosts, used) in [
            ([working("pulseaudio"), working("alsa")], "pulseaudio"),
            ([stopped("pulseaudio"), working("alsa")], "alsa"),
            ([empty("pulseaudio"), working("alsa")], "alsa"),
            ([working("pulseaudio"), hanging("alsa")], "pulseaudio"),
        ] {
            let finding = judge_hosts(&list(&hosts), None);
            assert_eq!(finding.status, Status::Ok, "{finding:?}");
            assert_eq!(finding.figures["used_by_calls"], used);
            assert!(finding.message.ends_with(used), "{}", finding.message);
        }
        let both = list(&[working("pulseaudio"), working("alsa")]);
        assert_eq!(
            judge_hosts(&both, Some("ALSA")).figures["used_by_calls"],
            "alsa"
        );
    }

    #[test]
    fn a_host_that_hangs_before_a_good_one_fails_and_the_good_one_is_named() {
        let hosts = list(&[hanging("pulseaudio"), working("alsa")]);
        let finding = judge_hosts(&hosts, None);
        assert_eq!(finding.status, Status::Fail);
        assert!(
            finding.message.contains("pulseaudio is frozen"),
            "{}",
            finding.message
        );
        let meanwhile = finding.fixes.last().unwrap().command.clone().unwrap();
        assert_eq!(meanwhile, "softphone --audio-host alsa");
        assert_eq!(judge_devices(&hosts, None).status, Status::Skip);
        assert_eq!(used_host(&hosts, None), None);
        assert_eq!(used_host(&hosts, Some("alsa")), Some("alsa"));
    }

    #[test]
    fn without_any_host_there_is_a_command() {
        let finding = judge_hosts(&list(&[stopped("pulseaudio"), stopped("alsa")]), None);
        assert_eq!(finding.status, Status::Fail);
        assert!(
            finding.message.contains("connection refused"),
            "{}",
            finding.message
        );
        assert!(!finding.fixes.is_empty());
    }

    #[test]
    fn a_host_that_gave_up_by_itself_is_passed_over_and_still_hangs() {
        let mut slow = stopped("pulseaudio");
        slow.unavailable = Some("connection timed out".to_owned());
        let finding = judge_hosts(&list(&[slow.clone(), working("alsa")]), None);
        assert_eq!(finding.status, Status::Warn);
        assert_eq!(finding.fault, Some(Fault::AudioServerFrozen));
        assert!(finding.message.ends_with("calls use alsa instead"));
        assert_eq!(finding.figures["hosts"][0]["state"], "hangs");
        let finding = judge_hosts(&list(&[slow, working("alsa")]), Some("pulseaudio"));
        assert_eq!(finding.status, Status::Fail);
        assert!(finding.fixes[0].advice.contains("restart"), "{finding:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_mends_the_server_that_is_frozen_comes_first() {
        for (hosts, word) in [
            ([stopped("pipewire"), hanging("pulseaudio")], "pulseaudio"),
            // It is PipeWire that answers for PulseAudio.
            ([working("pipewire"), hanging("pulseaudio")], "pipewire"),
            ([hanging("pipewire"), hanging("pulseaudio")], "pipewire"),
            ([hanging("pipewire"), stopped("pulseaudio")], "pipewire"),
        ] {
            let wanted = hosts.iter().find(|host| host.is_frozen());
            let wanted = wanted.map(|host| host.host.clone());
            let finding = judge_hosts(&list(&hosts), wanted.as_deref());
            assert_eq!(finding.fault, Some(Fault::AudioServerFrozen));
            let command = finding.fixes[0].command.clone().unwrap();
            assert!(command.contains(word), "{hosts:?}: {command}");
        }
    }

    #[test]
    fn devices_are_counted_and_shown_where_there_is_something_to_choose() {
        let finding = judge_devices(&list(&[working("alsa")]), None);
        assert_eq!(finding.status, Status::Ok);
        assert_eq!(finding.message, "2 inputs, 1 output on alsa");
        assert_eq!(finding.details, [""; 0], "one line");
        assert_eq!(finding.figures["hosts"][0]["outputs"][0]["default"], true);
        let mut undecided = working("alsa");
        undecided.outputs[0].default = false;
        let finding = judge_devices(&list(&[undecided]), None);
        assert_eq!(finding.details.len(), 3);
        assert!(
            finding.details[0].ends_with("the default"),
            "{:?}",
            finding.details
        );
        assert!(
            !finding.details[1].ends_with("the default"),
            "{:?}",
            finding.details
        );
    }

    #[test]
    fn a_missing_direction_fails_and_a_missing_default_warns() {
        let mut deaf = working("alsa");
        deaf.inputs.clear();
        let finding = judge_devices(&list(&[deaf]), None);
        assert_eq!(finding.status, Status::Fail);
        assert!(
            finding.message.starts_with("no input"),
            "{}",
            finding.message
        );
        let mut undecided = working("alsa");
        undecided.outputs[0].default = false;
        let finding = judge_devices(&list(&[undecided]), None);
        assert_eq!(finding.status, Status::Warn);
        assert!(
            finding.message.contains("no default speaker"),
            "{}",
            finding.message
        );
        let mut frozen = stopped("pulseaudio");
        frozen.unavailable = Some("connection timed out".to_owned());
        let beside_it = judge_hosts(&list(&[frozen, empty("alsa")]), None);
        assert_eq!(beside_it.fault, Some(Fault::AudioServerFrozen));
        let nothing = list(&[stopped("pulseaudio"), empty("alsa")]);
        assert_eq!(judge_hosts(&nothing, None).status, Status::Warn);
        assert_eq!(judge_devices(&nothing, None).status, Status::Fail);
        assert_eq!(used_host(&nothing, None), None);
    }
}
