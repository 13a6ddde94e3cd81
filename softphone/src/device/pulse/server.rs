//! Questions to a server about its devices.

use std::ffi::{CStr, CString};

use pulseaudio::protocol::{Command, GetSinkInfo, Prop, ServerInfo, SinkInfo};

use super::connection::Connection;
use crate::device::selection::{SinkTraits, Worn, judge};

/// A connection that is kept for questions.
pub(in crate::device) struct PulseServer(Connection);

impl PulseServer {
    /// Connects to the server that the environment names.
    ///
    /// # Errors
    /// Why there is none, or that it does not answer.
    pub(in crate::device) fn connect() -> Result<Self, String> {
        Connection::open().map(Self)
    }

    /// Whether it is the one that comes with PipeWire.
    pub(in crate::device) fn is_pipewire(&mut self) -> bool {
        let info: Option<ServerInfo> = self.0.request(&Command::GetServerInfo).ok();
        let name = info.and_then(|info| info.server_name);
        name.is_some_and(|name| name.to_string_lossy().contains("PipeWire"))
    }

    /// Whether the sink of this name is worn; `None`: the server does not answer any more.
    pub(in crate::device) fn worn(&mut self, sink: &str) -> Option<Worn> {
        let question = GetSinkInfo {
            index: None,
            name: Some(CString::new(sink).ok()?),
        };
        let sink: SinkInfo = self.0.request(&Command::GetSinkInfo(question)).ok()?;
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
