//! Where the keys come from: the terminal's bytes, or the events of a system that has them.

use std::{
    io,
    time::{Duration, Instant},
};

use super::keys::Input;

/// The terminal on stdin. Not by crossterm's events: they make keys of a sequence that comes in two
/// pieces, and do not tell in which way a key was sent.
#[cfg(unix)]
pub(super) struct InputSource {
    terminal: tty::TerminalInput,
    decoder: super::input::InputDecoder,
}

#[cfg(unix)]
impl InputSource {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self {
            terminal: tty::TerminalInput::new(),
            decoder: super::input::InputDecoder::default(),
        }
    }

    /// What came, once something does or `patience` is over. Times are those since `begun`.
    pub(super) fn read(&mut self, patience: Duration, begun: Instant) -> io::Result<Vec<Input>> {
        let mut buffer = [0; 256];
        match self.terminal.read(&mut buffer, Some(patience))? {
            0 => Ok(Vec::new()),
            count => Ok(self.decoder.decode(&buffer[..count], begun.elapsed())),
        }
    }
}

/// The console.
#[cfg(not(unix))]
pub(super) struct InputSource;

#[cfg(not(unix))]
impl InputSource {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self
    }

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
