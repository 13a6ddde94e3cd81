//! Asks the PulseAudio server, or PipeWire in its place, for mutes and volumes. Blocking, for at
//! most a second a question.

use std::{
    ffi::{CStr, CString},
    io::BufReader,
    os::unix::net::UnixStream,
    time::Duration,
};

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, ChannelVolume, Command, CommandReply, Prop, Props, ProtocolError,
    ServerInfo, SetClientNameReply, SinkInfoList, SourceInfoList, Volume,
};

use super::mixer::{Control, Mixer, Tool};
use crate::device::shown_name;

const PATIENCE: Duration = Duration::from_secs(1);

/// How the server's mixer stands; `None` where no such server answers.
pub(super) fn read() -> Option<Mixer> {
    let mut connection = Connection::open()?;
    let server: ServerInfo = connection.ask(&Command::GetServerInfo).ok()?;
    let sinks: SinkInfoList = connection.ask(&Command::GetSinkInfoList).ok()?;
    let sources: SourceInfoList = connection.ask(&Command::GetSourceInfoList).ok()?;
    let outputs = sinks.iter().map(|sink| Control {
        id: text(&sink.name),
        name: name(sink.description.as_ref().unwrap_or(&sink.name)),
        default: server.default_sink_name.as_ref() == Some(&sink.name),
        muted: sink.muted,
        percent: percent(&sink.cvolume),
        monitor_of: None,
        unplugged: is_unplugged(sink.ports.get(sink.active_port)),
    });
    let inputs = sources.iter().map(|source| Control {
        id: text(&source.name),
        name: name(source.description.as_ref().unwrap_or(&source.name)),
        default: server.default_source_name.as_ref() == Some(&source.name),
        muted: source.muted,
        percent: percent(&source.cvolume),
        monitor_of: source.monitor_of_sink_name.as_ref().map(|monitored| {
            let sink = sinks.iter().find(|sink| sink.name == *monitored);
            name(
                sink.and_then(|sink| sink.description.as_ref())
                    .unwrap_or(monitored),
            )
        }),
        unplugged: is_unplugged(source.ports.get(source.active_port)),
    });
    Some(Mixer {
        tool: tool(&server),
        outputs: outputs.collect(),
        inputs: inputs.collect(),
    })
}

/// A connection to the server, past its greeting.
struct Connection {
    socket: BufReader<UnixStream>,
    version: u16,
    questions: u32,
}

impl Connection {
    fn open() -> Option<Self> {
        let socket = UnixStream::connect(pulseaudio::socket_path_from_env()?).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let mut connection = Self {
            socket: BufReader::new(socket),
            version: protocol::MAX_VERSION,
            questions: 0,
        };
        let greeting: AuthReply = connection
            .ask(&Command::Auth(AuthParams {
                version: protocol::MAX_VERSION,
                supports_shm: false,
                supports_memfd: false,
                cookie: cookie.unwrap_or_default(),
            }))
            .ok()?;
        connection.version = greeting.version.min(protocol::MAX_VERSION);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"softphone doctor");
        let _: SetClientNameReply = connection.ask(&Command::SetClientName(props)).ok()?;
        Some(connection)
    }

    fn ask<T: CommandReply>(&mut self, question: &Command) -> Result<T, ProtocolError> {
        let stream = self.socket.get_mut();
        protocol::write_command_message(stream, self.questions, question, self.version)?;
        self.questions += 1;
        let (_, answer) = protocol::read_reply_message(&mut self.socket, self.version)?;
        Ok(answer)
    }
}

/// On PipeWire `wpctl` comes with the session manager; `pactl` is a package of its own.
fn tool(server: &ServerInfo) -> Tool {
    let name = server.server_name.as_ref().map(text).unwrap_or_default();
    if name.contains("PipeWire") && !is_installed("pactl") {
        Tool::Wpctl
    } else {
        Tool::Pactl
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Of the loudest channel.
fn percent(volume: &ChannelVolume) -> u32 {
    let loudest = volume.channels().iter().map(Volume::as_u32).max();
    let norm = u64::from(Volume::NORM.as_u32());
    let percent = (u64::from(loudest.unwrap_or(0)) * 100 + norm / 2) / norm;
    u32::try_from(percent).unwrap_or(u32::MAX)
}

fn is_unplugged(port: Option<&protocol::port_info::PortInfo>) -> bool {
    port.is_some_and(|port| port.available == protocol::port_info::PortAvailable::No)
}

/// As the devices of a call are named.
fn name(bytes: &CString) -> String {
    shown_name(&text(bytes))
}

fn text(bytes: &CString) -> String {
    CStr::to_string_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_that_of_the_loudest_channel_in_percent() {
        let mut volume = ChannelVolume::empty();
        assert_eq!(percent(&volume), 0);
        volume.push(Volume::from_u32_clamped(0x4000));
        volume.push(Volume::from_u32_clamped(0xC000));
        assert_eq!(percent(&volume), 75);
        assert_eq!(percent(&ChannelVolume::muted(2)), 0);
        assert_eq!(percent(&ChannelVolume::norm(1)), 100);
    }
}
