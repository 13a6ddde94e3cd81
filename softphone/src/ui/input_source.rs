//! Where the keys come from: the terminal's bytes, or the events of a system that has them.

use std::{
    io,
    time::{Duration, Instant},
};

use super::keys::Input;

/// The terminal on stdin. Not by crossterm's events: they make keys of a sequence that comes in two
/// pieces, and do not tell in which way a key was sent.
#[cfg(unix)]
#[derive(Default)]
pub(super) struct InputSource {
    decoder: super::input::InputDecoder,
}

#[cfg(unix)]
impl InputSource {
    /// What came, once something does or `patience` is over. Times are those since `begun`.
    pub(super) fn read(&mut self, patience: Duration, begun: Instant) -> io::Result<Vec<Input>> {
        use rustix::{
            event::{PollFd, PollFlags, Timespec, poll},
            io::{Errno, read},
        };
        let stdin = io::stdin();
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut polled, Some(&patience)) {
            Ok(0) | Err(Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; 256];
        match read(&stdin, &mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(self.decoder.decode(&buffer[..count], begun.elapsed())),
            // Another program has set the terminal not to block, and has read it.
            Err(Errno::AGAIN | Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The console.
#[cfg(not(unix))]
#[derive(Default)]
pub(super) struct InputSource;

#[cfg(not(unix))]
impl InputSource {
    /// What came, once something does or `patience` is over.
    pub(super) fn read(&mut self, patience: Duration, _: Instant) -> io::Result<Vec<Input>> {
        use crossterm::event::{Event, poll, read};
        if !poll(patience)? {
            return Ok(Vec::new());
        }
        Ok(match read()? {
            Event::Key(key) => vec![Input::Key(key)],
            Event::FocusLost => vec![Input::FocusLost],
            _ => Vec::new(),
        })
    }
}
