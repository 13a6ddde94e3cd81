//! Finds the device that is meant among those of a host. Runs on threads that may be abandoned.

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{Device, Host};
use proto::text::excerpt;

use super::device_routing::Pin;
use super::names;
use crate::device::stream::DeviceRequest;
use crate::device::{DeviceError, Direction};

/// The device, and how to know it again.
pub(crate) fn find_device(
    host: &Host,
    host_name: &str,
    direction: Direction,
    wanted: &DeviceRequest,
) -> Result<(Device, Pin), DeviceError> {
    let words = match wanted {
        DeviceRequest::Default | DeviceRequest::Fallback => {
            let device = default_device(host, direction).ok_or_else(|| DeviceError::NoAudio {
                direction,
                tried: vec![format!(
                    "{host_name}: it has no default {}",
                    direction.noun()
                )],
            })?;
            let (id, name) = label(&device);
            return Ok((
                device,
                Pin {
                    id,
                    name: Some(name),
                },
            ));
        }
        DeviceRequest::Named(words) => words,
        DeviceRequest::Pinned(pin) => &pin.id,
    };
    let mut devices = devices(host, direction).map_err(|error| DeviceError::HostUnavailable {
        host: host_name.to_owned(),
        reason: error.to_string(),
    })?;
    let labels: Vec<_> = devices.iter().map(label).collect();
    let index = match wanted {
        DeviceRequest::Pinned(pin) => {
            names::known(labels.iter().cloned(), pin).ok_or_else(|| "it is gone".to_owned())
        }
        _ => names::find(&labels, words),
    };
    match index {
        Ok(index) => Ok((devices.swap_remove(index), names::pin(&labels, index))),
        Err(hint) => Err(DeviceError::NoSuchDevice {
            direction,
            wanted: words.clone(),
            host: host_name.to_owned(),
            hint,
        }),
    }
}

/// What is used when nobody asks for another.
pub(crate) fn default_device(host: &Host, direction: Direction) -> Option<Device> {
    match direction {
        Direction::Input => host.default_input_device(),
        Direction::Output => host.default_output_device(),
    }
}

/// The most of a device's name that is shown. A device of a radio has the name that its owner gave it.
const NAME_COLUMNS: usize = 80;

/// Identifier and name of a device: the identifier as the host knows it, the name as it is shown.
pub(crate) fn label(device: &Device) -> (String, String) {
    let name = shown_name(&device.to_string());
    let id = device.id();
    (
        id.map_or_else(|_| name.clone(), |id| id.id().to_owned()),
        name,
    )
}

/// A device's name as it is shown, and compared.
pub(crate) fn shown_name(name: &str) -> String {
    excerpt(name, NAME_COLUMNS)
}

/// All devices of a host.
pub(crate) fn devices(host: &Host, direction: Direction) -> Result<Vec<Device>, cpal::Error> {
    let fits = |device: &Device| match direction {
        Direction::Input => device.supports_input(),
        Direction::Output => device.supports_output(),
    };
    Ok(host.devices()?.filter(fits).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_stranger_gave_his_headset_is_shown_and_short() {
        let name = format!("Ann\u{202e}\u{1b}[2J\n{}", "日".repeat(1_000));
        let shown = shown_name(&name);
        assert!(proto::text::is_printable(&shown), "{shown:?}");
        assert!(shown.starts_with("Ann\\u{202e}\\u{1b}[2J\\n日"), "{shown}");
        assert!(shown.chars().count() < NAME_COLUMNS, "{shown}");
        assert_eq!(shown_name("USB Headset Mono"), "USB Headset Mono");
    }
}
