//! The thread that reads the keys. It ends with the terminal or with the program.

use std::{io, thread, time::Duration};

use crossterm::event::{self, Event};
use tokio::sync::mpsc;

/// Keys that wait to be followed.
const KEY_QUEUE: usize = 64;

/// How long the library may look for a key, or a new size of the window, that may be there.
const LOOK: Duration = Duration::from_millis(1);

/// How often it is asked for the size when there is no key.
#[cfg(unix)]
const RESIZE_INTERVAL: Duration = Duration::from_millis(100);

/// Starts the thread. After an error nothing comes any more.
pub(super) fn read_keys() -> io::Result<mpsc::Receiver<io::Result<Event>>> {
    let (keys_tx, keys_rx) = mpsc::channel(KEY_QUEUE);
    thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            let mut source = Source::new();
            loop {
                let event = source.next();
                let is_over = event.is_err();
                if keys_tx.blocking_send(event).is_err() || is_over {
                    return;
                }
            }
        })?;
    Ok(keys_rx)
}

/// The library's events, asked for only when it is our turn at a terminal that is there: of one that
/// has gone the library reads nothing, at once, for ever.
#[cfg(unix)]
struct Source(tty::TerminalInput);

#[cfg(unix)]
impl Source {
    fn new() -> Self {
        Self(tty::TerminalInput::new())
    }

    fn next(&mut self) -> io::Result<Event> {
        loop {
            self.0.wait(Some(RESIZE_INTERVAL)).map_err(|_| gone())?;
            if !tty::is_foreground() {
                continue;
            }
            let event = match event::poll(LOOK) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            match event {
                Ok(event) => return Ok(event),
                // The turn has passed meanwhile.
                Err(_) if !tty::is_foreground() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(unix)]
fn gone() -> io::Error {
    io::Error::other("the terminal has gone")
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> Self {
        Self
    }

    fn next(&mut self) -> io::Result<Event> {
        event::read()
    }
}
