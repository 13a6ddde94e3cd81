//! A terminal that dies without a signal: not the one that controls the program in it, so that the
//! system tells nobody.

use std::{
    io::{Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// A running program in such a terminal. Killed when dropped.
pub struct DyingTerminal {
    child: Box<dyn Child + Send + Sync>,
    /// All that keeps the terminal alive; `None`: it is dead.
    alive: Option<Alive>,
}

struct Alive {
    _master: Box<dyn MasterPty + Send>,
    reader: Box<dyn Read + Send>,
    _writer: Box<dyn Write + Send>,
}

impl DyingTerminal {
    /// Starts `bin`, whose SIGHUP is ignored if it `outlives_hang_ups`.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or the system has no pseudo terminals.
    pub fn start(bin: impl AsRef<Path>, args: &[&str], outlives_hang_ups: bool) -> Self {
        let pty = native_pty_system()
            .openpty(PtySize {
                rows: 24,
                cols: 80,
                ..PtySize::default()
            })
            .expect("the system has pseudo terminals");
        let trap = if outlives_hang_ups {
            "trap '' HUP; "
        } else {
            ""
        };
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", &format!("{trap}exec \"$0\" \"$@\"")]);
        command.arg(bin.as_ref());
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.set_controlling_tty(false);
        let child = pty.slave.spawn_command(command);
        let child = child.unwrap_or_else(|why| panic!("{}: {why}", bin.as_ref().display()));
        let alive = Alive {
            reader: pty.master.try_clone_reader().expect("it can be read"),
            _writer: pty.master.take_writer().expect("it can be written to"),
            _master: pty.master,
        };
        Self {
            child,
            alive: Some(alive),
        }
    }

    /// Reads until `text` was written.
    ///
    /// # Panics
    ///
    /// When the program ends first, or the terminal is dead.
    pub fn wait_for_text(&mut self, text: &str) {
        let alive = self.alive.as_mut().expect("the terminal is alive");
        let mut written = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = alive.reader.read(&mut buffer).unwrap_or(0);
            written.extend_from_slice(&buffer[..count]);
            let so_far = String::from_utf8_lossy(&written);
            if so_far.contains(text) {
                return;
            }
            assert!(count > 0, "it ended without {text:?}: {so_far}");
        }
    }

    /// The terminal dies.
    pub fn die(&mut self) {
        self.alive = None;
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    /// Waits for its end, and returns the exit code.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> u32 {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "it did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for DyingTerminal {
    fn drop(&mut self) {
        // Both fail only for a program that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
