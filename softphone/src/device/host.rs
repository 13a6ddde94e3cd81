//! Audio hosts: which there are, which to try first, and how to keep them quiet.

use cpal::HostId;

use super::DeviceError;

/// A host's name as a person types it.
pub(super) fn name(host: HostId) -> String {
    host.to_string().to_lowercase()
}

/// The hosts to try, in order: the one asked for, else all that this program has.
///
/// cpal's order is right for us: on Linux PulseAudio (which PipeWire speaks as well) before ALSA.
/// On a PulseAudio server, passed through from microphone to speaker with 10 ms buffers, the first
/// takes 27 ms and the second 40 ms; it knows every device of the server by name, where ALSA knows
/// one called "default"; and it starts cleanly, where ALSA loses up to 80 ms in every third start.
/// Its price is CPU time, a quarter to a third of a core there (ALSA: 5 %, PipeWire: 3 %), because
/// it asks the server for its latency after each of some 2,000 small deliveries a second. Who would
/// rather save that says `--audio-host alsa`. Without a sound server ALSA remains.
///
/// # Errors
/// When the one asked for is none of them.
pub(super) fn candidates(wanted: Option<&str>) -> Result<Vec<HostId>, DeviceError> {
    match wanted {
        None => Ok(cpal::ALL_HOSTS.to_vec()),
        Some(wanted) => Ok(vec![by_name(wanted)?]),
    }
}

/// The host of this name, in any case.
///
/// # Errors
/// There is none.
pub(super) fn by_name(wanted: &str) -> Result<HostId, DeviceError> {
    let all = cpal::ALL_HOSTS.iter().copied();
    all.clone()
        .find(|&host| name(host) == wanted.to_lowercase())
        .ok_or_else(|| DeviceError::UnknownHost {
            wanted: wanted.to_owned(),
            available: all.map(name).collect(),
        })
}

/// Connects to a host. May hang: only on threads that may be abandoned.
pub(super) fn connect(host: HostId) -> Result<cpal::Host, DeviceError> {
    cpal::host_from_id(host).map_err(|error| DeviceError::HostUnavailable {
        host: name(host),
        reason: error.to_string(),
    })
}

/// alsa-lib writes what goes wrong to stderr by itself, over any screen. Sends that of this thread
/// nowhere.
#[cfg(target_os = "linux")]
pub(super) fn silence() {
    // The buffer that takes the text lives as long as the thread; ours are short-lived.
    let _ = alsa::Output::local_error_handler();
}

/// Only alsa-lib needs it.
#[cfg(not(target_os = "linux"))]
pub(super) fn silence() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_refused_with_the_names_that_work() {
        let error = candidates(Some("winamp")).unwrap_err().to_string();
        assert!(error.contains("winamp"), "{error}");
        for &host in cpal::ALL_HOSTS {
            assert!(error.contains(&name(host)), "{error}");
        }
    }

    #[test]
    fn a_host_is_found_in_any_case() {
        for &host in cpal::ALL_HOSTS {
            assert_eq!(candidates(Some(&name(host).to_uppercase())), Ok(vec![host]));
        }
    }
}
