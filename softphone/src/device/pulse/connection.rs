//! A connection to a PulseAudio server. Blocks: only on threads that may wait.

use std::ffi::CString;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pulseaudio::protocol::{
    AuthParams, AuthReply, Command, CommandReply, MAX_VERSION, Prop, Props, ProtocolError,
    SetClientNameReply, TagStructReader, read_descriptor, write_command_message,
};

use super::cookie;

/// How long a server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The channel of messages that belong to no stream.
const COMMANDS: u32 = u32::MAX;

/// One message of the server. There is one at a time, on the stack.
#[allow(clippy::large_enum_variant)]
pub(super) enum Message {
    /// Sound of a stream; it stands in the buffer.
    Sound,
    /// Something that the server says of itself.
    Event(Command),
    /// The answer to the command of this number; its body stands in the buffer from `at` on.
    Reply { number: u32, at: usize },
    /// What this program does not know.
    Other,
}

/// An open connection.
pub(super) struct Connection {
    socket: BufReader<UnixStream>,
    version: u16,
    numbers: u32,
    /// The latest message.
    buffer: Vec<u8>,
}

/// Ends a connection from another thread.
pub(super) struct Closer(UnixStream);

impl Closer {
    pub(super) fn close(&self) {
        // Fails only for a connection that has already ended.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Connection {
    /// Connects to the server that the environment names.
    pub(super) fn open() -> Result<Self, String> {
        let path = pulseaudio::socket_path_from_env().ok_or("no sound server runs")?;
        // A server takes nothing of another length, even where it does not look at it.
        let mut cookie = pulseaudio::cookie_path_from_env()
            .and_then(|path| std::fs::read(path).ok())
            .unwrap_or_default();
        cookie.resize(cookie::LENGTH, 0);
        let socket = UnixStream::connect(path).map_err(|error| error.to_string())?;
        let mut this = Self {
            socket: BufReader::with_capacity(64 * 1024, socket),
            version: MAX_VERSION,
            numbers: 0,
            buffer: Vec::new(),
        };
        this.introduce(cookie).map_err(|error| match error {
            ProtocolError::Io(error) if is_timeout(&error) => "connection timed out".to_owned(),
            other => other.to_string(),
        })?;
        Ok(this)
    }

    fn introduce(&mut self, cookie: Vec<u8>) -> Result<(), ProtocolError> {
        self.limit(Some(ANSWER_LIMIT))?;
        let auth = AuthParams {
            version: MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie,
        };
        let reply: AuthReply = self.request(&Command::Auth(auth))?;
        self.version = reply.version.min(MAX_VERSION);
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"softphone");
        if let Ok(id) = CString::new(std::process::id().to_string()) {
            props.set(Prop::ApplicationProcessId, id);
        }
        self.request::<SetClientNameReply>(&Command::SetClientName(props))?;
        Ok(())
    }

    /// How long a read or a write may wait.
    pub(super) fn limit(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket.get_ref().set_read_timeout(limit)?;
        self.socket.get_ref().set_write_timeout(limit)
    }

    /// The way to end it from another thread.
    pub(super) fn closer(&self) -> io::Result<Closer> {
        self.socket.get_ref().try_clone().map(Closer)
    }

    /// Sends a command and returns its number.
    pub(super) fn send(&mut self, command: &Command) -> Result<u32, ProtocolError> {
        self.numbers = self.numbers.wrapping_add(1);
        write_command_message(self.socket.get_mut(), self.numbers, command, self.version)?;
        Ok(self.numbers)
    }

    /// Sends a command and waits for its answer. What else comes meanwhile is dropped.
    pub(super) fn request<R: CommandReply>(
        &mut self,
        command: &Command,
    ) -> Result<R, ProtocolError> {
        let number = self.send(command)?;
        loop {
            match self.receive()? {
                Message::Reply { number: of, at } if of == number => return self.reply(at),
                Message::Event(Command::Error(error)) => {
                    return Err(ProtocolError::ServerError(error));
                }
                _ => {}
            }
        }
    }

    /// The body of a reply that was just received.
    pub(super) fn reply<R: CommandReply>(&self, at: usize) -> Result<R, ProtocolError> {
        let mut body = Cursor::new(&self.buffer[at..]);
        R::read(
            &mut TagStructReader::new(&mut body, self.version),
            self.version,
        )
    }

    /// Waits for the next message.
    pub(super) fn receive(&mut self) -> Result<Message, ProtocolError> {
        let descriptor = read_descriptor(&mut self.socket)?;
        self.buffer.resize(descriptor.length as usize, 0);
        self.socket.read_exact(&mut self.buffer)?;
        if descriptor.channel != COMMANDS {
            return Ok(Message::Sound);
        }
        let mut body = Cursor::new(&self.buffer[..]);
        Ok(match Command::read_tag_prefixed(&mut body, self.version) {
            Ok((number, Command::Reply)) => Message::Reply {
                number,
                at: body.position() as usize,
            },
            Ok((_, event)) => Message::Event(event),
            Err(_) => Message::Other,
        })
    }

    /// What was received last.
    pub(super) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Sends what is a message already.
    pub(super) fn write(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket.get_mut().write_all(message)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
