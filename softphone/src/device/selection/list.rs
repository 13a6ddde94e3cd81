//! What `softphone devices` says: every host with its inputs and outputs. A host that hangs is
//! reported as hanging and delays the list by its deadline, no more.

use std::io::{self, Write};
use std::time::Duration;

use cpal::Device;
use proto::text::one_line;
use serde::Serialize;

use super::host::AudioHost;
use super::{device_lookup, host};
use crate::device::stream::configuration;
use crate::device::stream::{Outstanding, aside};
use crate::device::{DeviceError, Direction};

const DEADLINE: Duration = Duration::from_secs(5);

/// What alsa-lib lists beside devices: converters, and other audio systems that write to stderr or
/// start a server when asked. Nobody speaks into them, so they are not opened for the list.
const ALSA_PLUGINS: [&str; 11] = [
    "null",
    "jack",
    "oss",
    "lavrate",
    "samplerate",
    "speexrate",
    "speex",
    "upmix",
    "vdownmix",
    "a52",
    "usbstream",
];

/// All hosts of this program, the one a call takes first, first.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceList {
    /// The hosts.
    pub hosts: Vec<HostDevices>,
}

/// One audio host.
#[derive(Debug, Clone, Serialize)]
pub struct HostDevices {
    /// Name, as `--audio-host` takes it.
    pub host: String,
    /// Why it could not be asked; `None` if it could.
    pub unavailable: Option<String>,
    /// Whether that is because it did not answer in time.
    pub hangs: bool,
    /// Microphones and the like.
    pub inputs: Vec<DeviceInfo>,
    /// Speakers and the like.
    pub outputs: Vec<DeviceInfo>,
}

/// One device in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The host's identifier, as `--input` and `--output` take it.
    pub id: String,
    /// Its name for people; they take that as well, or a part of it.
    pub name: String,
    /// Whether it is used when none is named.
    pub default: bool,
    /// The rate that a call opens it at, in Hz.
    pub sample_rate_hz: u32,
    /// The channels that a call opens it with.
    pub channels: u16,
}

/// Asks all hosts, each on a thread of its own; takes at most five seconds.
#[must_use]
pub fn list() -> DeviceList {
    let asked: Vec<_> = host::candidates(None)
        .unwrap_or_default()
        .into_iter()
        .map(|id| {
            (
                id,
                aside("audio-list", &Outstanding::default(), move || ask(id)),
            )
        })
        .collect();
    let hosts = asked.into_iter().map(|(id, answer)| {
        let unavailable = |reason: String, hangs| HostDevices {
            host: host::name(id),
            unavailable: Some(one_line(&reason)),
            hangs,
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        match answer {
            Err(error) => unavailable(error.to_string(), false),
            Ok(answer) => answer.wait(DEADLINE).unwrap_or_else(|| {
                let reason = format!(
                    "it did not answer within {} s: restart its server",
                    DEADLINE.as_secs()
                );
                unavailable(reason, true)
            }),
        }
    });
    DeviceList {
        hosts: hosts.collect(),
    }
}

fn ask(id: AudioHost) -> HostDevices {
    host::silence();
    let mut answer = HostDevices {
        host: host::name(id),
        unavailable: None,
        hangs: false,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let connected = match host::connect(id) {
        Ok(connected) => connected,
        Err(error) => {
            let reason = match error {
                DeviceError::HostUnavailable { reason, .. } => reason,
                other => other.to_string(),
            };
            answer.unavailable = Some(one_line(&reason));
            return answer;
        }
    };
    answer.inputs = infos(&connected, id, Direction::Input);
    answer.outputs = infos(&connected, id, Direction::Output);
    answer
}

/// The devices that can be opened: default first, then as the host orders them.
fn infos(host: &cpal::Host, id: AudioHost, direction: Direction) -> Vec<DeviceInfo> {
    let mut infos: Vec<DeviceInfo> = Vec::new();
    if let Some(device) = device_lookup::default_device(host, direction) {
        infos.extend(info(&device, id, direction, true));
    }
    for device in device_lookup::devices(host, direction).unwrap_or_default() {
        let (name, _) = device_lookup::label(&device);
        let known = infos.iter().any(|known| known.id == one_line(&name));
        if !known && !ALSA_PLUGINS.contains(&name.as_str()) {
            infos.extend(info(&device, id, direction, false));
        }
    }
    infos
}

fn info(
    device: &Device,
    host: AudioHost,
    direction: Direction,
    default: bool,
) -> Option<DeviceInfo> {
    let (id, name) = device_lookup::label(device);
    let config = configuration(device, host, direction).ok()?;
    Some(DeviceInfo {
        id: one_line(&id),
        name,
        default,
        sample_rate_hz: config.sample_rate(),
        channels: config.channels(),
    })
}

impl HostDevices {
    /// Whether the host's server takes connections and does not answer.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.hangs || self.unavailable.as_deref().is_some_and(host::is_frozen)
    }
}

impl DeviceList {
    /// Whether there is anything to speak into or to listen to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts
            .iter()
            .all(|host| host.inputs.is_empty() && host.outputs.is_empty())
    }

    /// For people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for host in &self.hosts {
            writeln!(out, "{} (--audio-host {})", host.host, host.host)?;
            if host.is_frozen() {
                writeln!(
                    out,
                    "  frozen: its server accepts connections and does not answer; restart it \
                     (\"softphone doctor\" prints the command)"
                )?;
                continue;
            }
            if let Some(reason) = &host.unavailable {
                writeln!(out, "  not available: {reason}")?;
                continue;
            }
            for (title, devices) in [("inputs", &host.inputs), ("outputs", &host.outputs)] {
                writeln!(
                    out,
                    "  {title}{}",
                    if devices.is_empty() { ": none" } else { "" }
                )?;
                for device in devices {
                    print_device(out, device)?;
                }
            }
        }
        if self.is_empty() && self.hosts.iter().any(HostDevices::is_frozen) {
            writeln!(
                out,
                "No audio device while the audio server is frozen: restart it, or call with \
                 --synthetic."
            )?;
        } else if self.is_empty() {
            writeln!(
                out,
                "No audio device: install and start an audio server (PipeWire or PulseAudio), \
                 or call with --synthetic."
            )?;
        } else {
            writeln!(
                out,
                "* is used when none is named with --input or --output."
            )?;
        }
        Ok(())
    }

    /// For programs: one JSON object.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }
}

fn print_device(out: &mut impl Write, device: &DeviceInfo) -> io::Result<()> {
    let mark = if device.default { '*' } else { ' ' };
    let channels = if device.channels == 1 {
        "channel"
    } else {
        "channels"
    };
    writeln!(
        out,
        "  {mark} {}  {}, {} Hz, {} {channels}",
        one_line(&device.id),
        device.name,
        device.sample_rate_hz,
        device.channels
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> DeviceList {
        DeviceList {
            hosts: vec![
                HostDevices {
                    host: "pulseaudio".to_owned(),
                    unavailable: Some("connection refused".to_owned()),
                    hangs: false,
                    inputs: vec![],
                    outputs: vec![],
                },
                HostDevices {
                    host: "alsa".to_owned(),
                    unavailable: None,
                    hangs: false,
                    inputs: vec![],
                    outputs: vec![DeviceInfo {
                        id: "default".to_owned(),
                        name: "Default Audio Device".to_owned(),
                        default: true,
                        sample_rate_hz: 48_000,
                        channels: 2,
                    }],
                },
            ],
        }
    }

    #[test]
    fn people_see_names_marks_rates_and_what_is_wrong() {
        let mut out = Vec::new();
        sample().print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("not available: connection refused"), "{text}");
        assert!(
            text.contains("* default  Default Audio Device, 48000 Hz, 2 channels"),
            "{text}"
        );
        assert!(text.contains("inputs: none"), "{text}");
    }

    #[test]
    fn without_any_device_it_says_what_to_do() {
        let mut out = Vec::new();
        DeviceList { hosts: vec![] }.print(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("--synthetic"));
    }

    #[test]
    fn a_frozen_server_is_called_frozen_and_nobody_is_told_to_install_one() {
        let mut list = sample();
        list.hosts[1].outputs.clear();
        list.hosts[0].unavailable = Some("it is not there: connection timed out".to_owned());
        let mut out = Vec::new();
        list.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("frozen: its server"), "{text}");
        assert!(text.contains("restart it, or call"), "{text}");
        assert!(!text.contains("install"), "{text}");
    }

    #[test]
    fn programs_get_json() {
        let mut out = Vec::new();
        sample().print_json(&mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["hosts"][1]["outputs"][0]["default"], true);
        assert_eq!(json["hosts"][0]["host"], "pulseaudio");
    }
}
