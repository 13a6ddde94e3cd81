//! Questions to a PulseAudio server (or PipeWire, which speaks its protocol) that cpal does not ask.
//! Each may hang: only on threads that may be abandoned.

use std::ffi::{CStr, CString};

use futures_executor::block_on;
use pulseaudio::Client;
use pulseaudio::protocol::{Prop, SinkInfo};

use super::worn::{SinkTraits, Worn, judge};

/// A connection to the server that the environment names.
pub(super) struct PulseServer(Client);

impl PulseServer {
    /// `None`: there is none that answers.
    pub(super) fn connect() -> Option<Self> {
        Client::from_env(c"softphone").ok().map(Self)
    }

    /// Whether the sink of this name is worn; `None`: the server does not answer any more.
    pub(super) fn worn(&self, sink: &str) -> Option<Worn> {
        let name = CString::new(sink).ok()?;
        let sink = block_on(self.0.sink_info_by_name(name)).ok()?;
        Some(worn(&sink))
    }
}

fn worn(sink: &SinkInfo) -> Worn {
    let form_factor = sink
        .props
        .get(Prop::DeviceFormFactor)
        .and_then(|value| CStr::from_bytes_until_nul(value).ok())
        .and_then(|value| value.to_str().ok());
    let port = sink.ports.get(sink.active_port);
    let port_type = port.map(|port| format!("{:?}", port.port_type));
    judge(SinkTraits {
        form_factor,
        port: port.and_then(|port| port.name.to_str().ok()),
        port_type: port_type.as_deref(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PulseAudio's answer for a sink without ports names a speaker port that does not exist; the
    /// library keeps none.
    #[test]
    fn a_sink_without_ports_and_properties_says_nothing() {
        assert_eq!(worn(&SinkInfo::default()), Worn::default());
    }

    #[test]
    fn a_form_factor_is_read_with_its_closing_zero() {
        let mut sink = SinkInfo::default();
        sink.props.set(Prop::DeviceFormFactor, c"headphone");
        assert_eq!(worn(&sink).worn, Some(true));
    }
}
