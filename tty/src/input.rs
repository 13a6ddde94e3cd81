//! What is typed, for a program that may be in the background: what the shell is typed is not ours.

use tokio::io::AsyncRead;

/// Stdin. Where that is a terminal, it is read only when it is our turn; nothing comes from it where
/// the system gives no thread to wait for that.
#[cfg(unix)]
pub fn stdin() -> Box<dyn AsyncRead + Send + Unpin> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        return Box::new(tokio::io::stdin());
    }
    match typed() {
        Ok(typed) => Box::new(typed),
        Err(_) => Box::new(tokio::io::empty()),
    }
}

/// Stdin.
#[cfg(not(unix))]
pub fn stdin() -> Box<dyn AsyncRead + Send + Unpin> {
    Box::new(tokio::io::stdin())
}

#[cfg(unix)]
pub use unix::TerminalInput;
#[cfg(unix)]
use unix::typed;

#[cfg(unix)]
mod unix {
    use std::{
        io::{self, Write},
        os::unix::net::UnixStream,
        thread,
        time::Duration,
    };

    use nix::sys::signal::{SigSet, Signal};
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::{Errno, read},
        stdio,
    };

    use crate::is_foreground;

    /// How long a job in the background waits before it asks again whether it is its turn. No signal
    /// comes when a shell brings a job to the front that was running all the time.
    const TURN_INTERVAL: Duration = Duration::from_millis(200);

    /// The terminal on stdin, for one thread that reads it.
    #[derive(Debug)]
    pub struct TerminalInput(());

    impl TerminalInput {
        /// For the calling thread.
        #[expect(
            clippy::new_without_default,
            reason = "it changes the thread, which is no value of a field"
        )]
        pub fn new() -> Self {
            // A turn that passes between the question and the read makes an error of the read, not a
            // stop of the process.
            let mut signals = SigSet::empty();
            signals.add(Signal::SIGTTIN);
            let _ = signals.thread_block();
            Self(())
        }

        /// Waits until there is something to read and it is our turn, `patience` at most (`None`: any
        /// time), and returns whether that has come.
        ///
        /// # Errors
        /// The terminal has gone ([`io::ErrorKind::UnexpectedEof`]).
        pub fn wait(&self, patience: Option<Duration>) -> io::Result<bool> {
            if !is_foreground() {
                thread::sleep(patience.unwrap_or(TURN_INTERVAL).min(TURN_INTERVAL));
                return Ok(false);
            }
            let stdin = stdio::stdin();
            let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
            let patience = patience.map(Timespec::try_from).transpose();
            match poll(&mut polled, patience.map_err(io::Error::other)?.as_ref()) {
                Ok(0) | Err(Errno::INTR) => return Ok(false),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
            match polled[0].revents().intersects(gone) {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(is_foreground()),
            }
        }

        /// Reads what came, once something does, and returns how many bytes of `buffer` that are; 0 if
        /// nothing did for `patience` (`None`: any time), or while it is not our turn.
        ///
        /// # Errors
        /// The terminal has gone, or somebody typed the end of the input
        /// ([`io::ErrorKind::UnexpectedEof`]).
        pub fn read(&self, buffer: &mut [u8], patience: Option<Duration>) -> io::Result<usize> {
            if !self.wait(patience)? {
                return Ok(0);
            }
            match read(stdio::stdin(), buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => Ok(count),
                // Another program has set the terminal not to block, and has read it.
                Err(Errno::AGAIN | Errno::INTR) => Ok(0),
                Err(Errno::IO) if !is_foreground() => Ok(0),
                Err(error) => Err(error.into()),
            }
        }
    }

    /// What [`TerminalInput`] reads, on a thread of its own: a read of a terminal cannot be waited for
    /// in another way without setting it not to block, also for the shell.
    pub(super) fn typed() -> io::Result<tokio::net::UnixStream> {
        let (receiver, mut sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let input = TerminalInput::new();
                let mut buffer = [0; 4096];
                while let Ok(count) = input.read(&mut buffer, None) {
                    if sender.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            })?;
        tokio::net::UnixStream::from_std(receiver)
    }
}
