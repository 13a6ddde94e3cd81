//! An HTTP/2 client made of bytes: it keeps to no limit and reads nothing unless told to.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The kinds of frames that are written here (RFC 9113, 6).
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const UNKNOWN: u8 = 0xfa;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What a connection allows before it says otherwise.
const USUAL_WINDOW: u32 = 65_535;

/// How long a write may be stuck before it counts as that.
const STUCK: Duration = Duration::from_millis(500);

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a gRPC request for `path`; `is_all`: nothing comes after it.
pub fn request(stream: u32, path: &str, is_all: bool) -> Vec<u8> {
    // Fields by their place in the static table, values as they are (RFC 7541, 6).
    let mut head = vec![0x83, 0x86];
    for (name, value) in [
        (&[0x04][..], path),
        (&[0x01], "here"),
        (&[0x0f, 0x10], "application/grpc"),
        (b"\x00\x02te", "trailers"),
    ] {
        head.extend(name);
        head.push(u8::try_from(value.len()).expect("a short value"));
        head.extend(value.as_bytes());
    }
    let flags = END_HEADERS | if is_all { END_STREAM } else { 0 };
    frame(kind::HEADERS, flags, stream, &head)
}

/// A gRPC message in a frame; `is_last`: the client half-closes with it.
pub fn message(stream: u32, message: &[u8], is_last: bool) -> Vec<u8> {
    let mut data = vec![0];
    data.extend((message.len() as u32).to_be_bytes());
    data.extend(message);
    frame(
        kind::DATA,
        if is_last { END_STREAM } else { 0 },
        stream,
        &data,
    )
}

/// One that came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection that has greeted.
pub struct RawConnection {
    socket: TcpStream,
}

impl RawConnection {
    /// Connects, and allows each stream to send `window` bytes; if that is more than usual, all of
    /// them together any number.
    ///
    /// # Panics
    ///
    /// When nobody is there.
    pub fn open(addr: SocketAddr, window: u32) -> Self {
        Self::try_open(addr, window).expect("the server is there")
    }

    /// The same with a server that may be gone.
    ///
    /// # Errors
    ///
    /// Nobody is there.
    pub fn try_open(addr: SocketAddr, window: u32) -> io::Result<Self> {
        let mut socket = TcpStream::connect(addr)?;
        let mut greeting = PREFACE.to_vec();
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        greeting.extend(frame(kind::SETTINGS, 0, 0, &settings));
        if window > USUAL_WINDOW {
            let more = 0x7fff_ffff - USUAL_WINDOW;
            greeting.extend(frame(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
        }
        socket.set_write_timeout(Some(STUCK))?;
        socket.write_all(&greeting)?;
        Ok(Self { socket })
    }

    /// Writes, and says whether the other side took it all.
    ///
    /// # Errors
    ///
    /// The connection was closed, or nothing more goes through.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Reads, answering settings and pings as a good client does, until the server says goodbye or
    /// closes; returns why, if it says so.
    ///
    /// # Errors
    ///
    /// Nothing came for `patience`.
    pub fn goodbye(&mut self, patience: Duration) -> io::Result<Option<String>> {
        loop {
            match self.next_frame(patience) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // An end, or a reset because it did not read all that we said.
                Err(_) => return Ok(None),
                Ok(frame) if frame.kind == kind::GOAWAY => {
                    let words = String::from_utf8_lossy(&frame.payload[8..]).into_owned();
                    return Ok(Some(words));
                }
                Ok(_) => {}
            }
        }
    }

    /// The next frame; settings and pings are answered.
    ///
    /// # Errors
    ///
    /// Nothing came for `patience`, or nothing will.
    pub fn next_frame(&mut self, patience: Duration) -> io::Result<Frame> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut header = [0; 9];
        self.socket.read_exact(&mut header)?;
        let [high, mid, low, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, mid, low]) as usize];
        self.socket.read_exact(&mut payload)?;
        let _ = match (kind, flags & ACK) {
            (kind::SETTINGS, 0) => self.write(&frame(kind::SETTINGS, ACK, 0, &[])),
            (kind::PING, 0) => self.write(&frame(kind::PING, ACK, 0, &payload)),
            _ => Ok(()),
        };
        Ok(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// The socket itself.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }
}

/// Reads what a socket says until it is closed, all of it.
///
/// # Errors
///
/// Nothing came for `patience`.
pub fn rest_of(mut socket: &TcpStream, patience: Duration) -> io::Result<Vec<u8>> {
    socket.set_read_timeout(Some(patience))?;
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;

    #[test]
    fn a_request_of_bytes_is_understood() {
        let server = Server::start(&[]);
        let mut raw = RawConnection::open(server.addr(), 65_535);
        raw.write(&request(1, "/nobody/is/here", true))
            .expect("taken");
        raw.write(&frame(kind::GOAWAY, 0, 0, &[0; 8]))
            .expect("taken");
        let said = rest_of(raw.socket(), Duration::from_secs(20)).expect("an end");
        // An answer to stream 1 that begins with :status 200, as all of gRPC do.
        let mut rest = &said[..];
        let mut is_answered = false;
        while let [high, mid, low, kind, _, a, b, c, d, payload @ ..] = rest {
            let length = u32::from_be_bytes([0, *high, *mid, *low]) as usize;
            let stream = u32::from_be_bytes([*a, *b, *c, *d]);
            is_answered |= (*kind, stream, payload.first()) == (kind::HEADERS, 1, Some(&0x88));
            rest = &payload[length..];
        }
        assert!(is_answered, "{said:?}");
    }
}
