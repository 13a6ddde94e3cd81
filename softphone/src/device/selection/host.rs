//! Audio hosts: which there are, which to try first, and how to keep them quiet.

use cpal::HostId;

use crate::device::DeviceError;
#[cfg(target_os = "linux")]
use crate::device::{
    pipewire,
    pulse::{PulseServer, cookie},
};

/// An audio system that devices can be opened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AudioHost {
    /// PipeWire by its own interface. Its devices are listed by its PulseAudio server.
    #[cfg(target_os = "linux")]
    PipeWire,
    /// A PulseAudio server by its own protocol. cpal lists its devices.
    #[cfg(target_os = "linux")]
    PulseAudio,
    /// One of cpal's.
    Cpal(HostId),
}

/// A host's name as a person types it.
pub(crate) fn name(host: AudioHost) -> String {
    match host {
        #[cfg(target_os = "linux")]
        AudioHost::PipeWire => "pipewire".to_owned(),
        #[cfg(target_os = "linux")]
        AudioHost::PulseAudio => "pulseaudio".to_owned(),
        AudioHost::Cpal(host) => host.to_string().to_lowercase(),
    }
}

/// All that this program has, best first: PipeWire, then cpal's in their order, which on Linux is
/// PulseAudio before ALSA.
///
/// Passed through from microphone to speaker, PipeWire's own interface takes some 11 ms at its
/// shortest, its PulseAudio server 45. A real PulseAudio server takes 20 ms and ALSA on it 30; the
/// former knows every device of the server by name, where ALSA knows one called "default", and it
/// starts cleanly, where ALSA loses up to 80 ms in every third start. Without a sound server ALSA
/// remains.
pub(crate) fn all() -> Vec<AudioHost> {
    let mut hosts = Vec::new();
    #[cfg(target_os = "linux")]
    if pipewire::is_installed() {
        hosts.push(AudioHost::PipeWire);
    }
    hosts.extend(cpal::ALL_HOSTS.iter().copied().map(of_cpal));
    hosts
}

fn of_cpal(id: HostId) -> AudioHost {
    match id {
        #[cfg(target_os = "linux")]
        HostId::PulseAudio => AudioHost::PulseAudio,
        other => AudioHost::Cpal(other),
    }
}

/// The hosts to try, in order: the one asked for, else all.
///
/// # Errors
/// When the one asked for is none of them.
pub(crate) fn candidates(requested: Option<&str>) -> Result<Vec<AudioHost>, DeviceError> {
    match requested {
        None => Ok(all()),
        Some(requested) => Ok(vec![by_name(requested)?]),
    }
}

/// The host of this name, in any case.
///
/// # Errors
/// There is none.
pub(crate) fn by_name(requested: &str) -> Result<AudioHost, DeviceError> {
    let all = all();
    let found = all
        .iter()
        .find(|&&host| name(host) == requested.to_lowercase());
    found.copied().ok_or_else(|| DeviceError::UnknownHost {
        wanted: requested.to_owned(),
        available: all.into_iter().map(name).collect(),
    })
}

/// Whether a host that gave this reason is there and does not answer: it waited for its server as
/// long as it does.
pub(crate) fn is_frozen(reason: &str) -> bool {
    reason.contains("timed out") || reason.contains("does not answer")
}

/// Connects to the part of a host that lists its devices. May hang: only on threads that may be
/// abandoned.
pub(crate) fn connect(host: AudioHost) -> Result<cpal::Host, DeviceError> {
    let unavailable = |reason: String| DeviceError::HostUnavailable {
        host: name(host),
        reason,
    };
    let id = match host {
        #[cfg(target_os = "linux")]
        AudioHost::PipeWire => {
            let mut server = PulseServer::connect().map_err(unavailable)?;
            // Whoever points PULSE_SERVER elsewhere means that one.
            if !server.is_pipewire() {
                return Err(unavailable("the sound server is not PipeWire".to_owned()));
            }
            HostId::PulseAudio
        }
        #[cfg(target_os = "linux")]
        AudioHost::PulseAudio => HostId::PulseAudio,
        AudioHost::Cpal(id) => id,
    };
    #[cfg(target_os = "linux")]
    if id == HostId::PulseAudio
        && let Err(error) = cookie::ensure()
    {
        // The server may do without.
        tracing::debug!("no cookie can be made for PulseAudio: {error}");
    }
    cpal::host_from_id(id).map_err(|error| unavailable(error.to_string()))
}

/// alsa-lib writes what goes wrong to stderr by itself, over any screen. Sends that of this thread
/// nowhere.
#[cfg(target_os = "linux")]
pub(crate) fn silence() {
    // The buffer that takes the text lives as long as the thread; ours are short-lived.
    let _ = alsa::Output::local_error_handler();
}

/// Only alsa-lib needs it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn silence() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_refused_with_the_names_that_work() {
        let error = candidates(Some("winamp")).unwrap_err().to_string();
        assert!(error.contains("winamp"), "{error}");
        for host in all() {
            assert!(error.contains(&name(host)), "{error}");
        }
    }

    #[test]
    fn a_host_is_found_in_any_case() {
        for host in all() {
            assert_eq!(candidates(Some(&name(host).to_uppercase())), Ok(vec![host]));
        }
    }
}
