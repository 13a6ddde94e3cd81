//! Outputs that cannot be written: what a program's stdout or stderr may be, through no fault of its.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    process::Stdio,
    thread,
    time::Duration,
};

/// Of Linux: writing does not wait; the terminal does not become ours.
const O_NONBLOCK: i32 = 0o4000;
const O_NOCTTY: i32 = 0o400;

/// So often in a row a pipe or a terminal takes nothing before it is full.
const REFUSALS: u32 = 20;

/// Why it cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadSink {
    /// The disk is full.
    Full,
    /// A pipe whose reader has gone.
    Gone,
    /// A pipe that is full and that nobody reads.
    Stuck,
}

/// An output to start a program with.
pub struct Opened {
    /// For the program.
    pub stdio: Stdio,
    /// The reader of a pipe that is stuck. Dropped, it has gone; read, it is stuck no longer.
    pub reader: Option<PipeReader>,
}

impl BadSink {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Gone, Self::Stuck];

    /// Opens one.
    ///
    /// # Panics
    ///
    /// When the system has none.
    pub fn open(self) -> Opened {
        if self == Self::Full {
            let full = File::options().write(true).open("/dev/full");
            return Opened {
                stdio: full.expect("Linux has /dev/full").into(),
                reader: None,
            };
        }
        let (reader, writer) = io::pipe().expect("a pipe");
        let is_stuck = self == Self::Stuck;
        if is_stuck {
            // Another opening of the same pipe: the program's own is to block.
            fill(&format!("/proc/self/fd/{}", writer.as_raw_fd()));
        }
        Opened {
            stdio: writer.into(),
            reader: is_stuck.then_some(reader),
        }
    }
}

/// Writes to a pipe or a terminal until it takes nothing more.
///
/// # Panics
///
/// When it cannot be opened or written.
pub(crate) fn fill(path: &str) {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK | O_NOCTTY)
        .open(path);
    let mut file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
    // A terminal also refuses while somebody else is writing to it.
    let mut refused = 0;
    while refused < REFUSALS {
        let length = if refused == 0 { 4_096 } else { 1 };
        match file.write(&vec![b'.'; length]) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                refused += 1;
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }
}
