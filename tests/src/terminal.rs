//! A program in a terminal: a pseudo terminal of the system, and behind it one in memory that shows
//! what the program writes.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{Callbacks, Parser};

pub use vt100::Screen;

use crate::{bad_sink, process::send_signal};

/// A running program and its terminal. Killed when dropped.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: Parser<Bells>,
    bytes: Vec<u8>,
    ended: bool,
    /// Whether nobody reads any more, and whether that has come to pass.
    unread: bool,
    is_stuck: bool,
}

impl Default for State {
    fn default() -> Self {
        let parser = Parser::new_with_callbacks(nonzero(24), nonzero(80), 100, Bells::default());
        Self {
            parser,
            bytes: Vec::new(),
            ended: false,
            unread: false,
            is_stuck: false,
        }
    }
}

#[derive(Default)]
struct Bells(usize);

impl Callbacks for Bells {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.0 += 1;
    }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a terminal has rows and columns")
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        ..PtySize::default()
    }
}

impl Terminal {
    /// Starts `bin` in a terminal of `cols` x `rows` characters. On top of this process's own
    /// environment, from which `NO_COLOR` is taken, it gets `env`; `TERM` is `xterm-256color`, and the
    /// locale knows UTF-8.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or the system has no pseudo terminals.
    pub fn start(
        bin: impl AsRef<Path>,
        args: &[&str],
        env: &[(&str, &str)],
        (cols, rows): (u16, u16),
    ) -> Self {
        let pty = native_pty_system()
            .openpty(size(cols, rows))
            .expect("the system has pseudo terminals");
        let mut command = CommandBuilder::new(bin.as_ref());
        command.args(args);
        command.env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command);
        let child = child.unwrap_or_else(|why| panic!("{}: {why}", bin.as_ref().display()));
        let shared = Arc::<Shared>::default();
        set_size(&mut shared.lock(), cols, rows);
        let reader = pty.master.try_clone_reader().expect("it can be read");
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.follow(reader)
        });
        Self {
            child,
            writer: pty.master.take_writer().expect("it can be written to"),
            master: pty.master,
            shared,
        }
    }

    /// Types `keys`: characters, or the sequences that a terminal sends for other keys.
    ///
    /// # Panics
    ///
    /// When nobody has the terminal open any more.
    pub fn send(&mut self, keys: &str) {
        let sent = self.writer.write_all(keys.as_bytes());
        sent.and_then(|()| self.writer.flush())
            .unwrap_or_else(|why| panic!("cannot type {keys:?}: {why}\n{self}"));
    }

    /// Makes the terminal larger or smaller, as a person does with its window.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn resize(&self, cols: u16, rows: u16) {
        // What is written from now on may be for either size; what comes last is for the new one.
        set_size(&mut self.shared.lock(), cols, rows);
        let resized = self.master.resize(size(cols, rows));
        resized.expect("a terminal can be resized");
    }

    /// Waits until the screen is as wanted, and returns its text then.
    ///
    /// # Panics
    ///
    /// When it is not within `limit`, or the program ends first; the message says what was waited
    /// `for_what`, and shows the screen.
    pub fn wait_for(
        &self,
        for_what: &str,
        limit: Duration,
        is_as_wanted: impl Fn(&Screen) -> bool,
    ) -> String {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            let screen = state.parser.screen();
            if is_as_wanted(screen) {
                return text(screen);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                let ended = if state.ended {
                    "the program ended"
                } else {
                    "too late"
                };
                drop(state);
                panic!("waited for {for_what}: {ended}\n{self}");
            }
            let changed = self.shared.changed.wait_timeout(state, left);
            state = changed.expect("the reading thread does not panic").0;
        }
    }

    /// Waits until `text` stands somewhere on the screen, in one line, and returns all of it.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_text(&self, wanted: &str, limit: Duration) -> String {
        let has = |screen: &Screen| text(screen).contains(wanted);
        self.wait_for(&format!("{wanted:?}"), limit, has)
    }

    /// Waits until `text` stands nowhere on the screen any more.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_no_text(&self, unwanted: &str, limit: Duration) -> String {
        let has_not = |screen: &Screen| !text(screen).contains(unwanted);
        self.wait_for(&format!("no {unwanted:?}"), limit, has_not)
    }

    /// The text of the screen now.
    pub fn text(&self) -> String {
        text(self.shared.lock().parser.screen())
    }

    /// All bytes that were written until now.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.lock().bytes.clone()
    }

    /// How often the bell has rung.
    pub fn bells(&self) -> usize {
        self.shared.lock().parser.callbacks().0
    }

    /// Whether the terminal is one in which a shell can be used: lines are edited and echoed, the
    /// cursor is seen, what was on the screen before the program is there again, and nothing comes
    /// from it but what is typed.
    pub fn is_usable(&self) -> bool {
        let screen_is_usable = {
            let state = self.shared.lock();
            let screen = state.parser.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && !reports_focus(&state.bytes)
        };
        screen_is_usable && self.is_in_line_mode()
    }

    /// Whether the system edits lines and echoes them, as for a shell's commands.
    ///
    /// # Panics
    ///
    /// When `stty` cannot be asked.
    pub fn is_in_line_mode(&self) -> bool {
        let tty = self.master.tty_name().expect("the terminal has a name");
        let output = Command::new("sh")
            .args(["-c", "stty -a < \"$0\""])
            .arg(tty)
            .output()
            .expect("sh can be started");
        let flags = String::from_utf8_lossy(&output.stdout).into_owned();
        let has = |flag: &str| {
            let mut words = flags.split([' ', ';', '\n']);
            let off = format!("-{flag}");
            let said = words.find(|&word| word == flag || word == off);
            said.unwrap_or_else(|| panic!("stty says nothing of {flag}: {output:?}")) == flag
        };
        has("icanon") && has("echo")
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// Sends a signal by its name without SIG.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub fn signal(&self, signal: &str) {
        send_signal(self.id(), signal);
    }

    /// From now on the terminal takes nothing: as after Ctrl-S, or in a window that hangs.
    ///
    /// # Panics
    ///
    /// When it cannot be filled.
    pub fn stop_reading(&self) {
        let tty = self.master.tty_name().expect("the terminal has a name");
        let tty = tty.to_str().expect("a path in UTF-8");
        self.shared.lock().unread = true;
        // The first filling wakes the reader, who takes a piece of it and is the last to do so.
        bad_sink::fill(tty);
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_while(state, |state| !state.is_stuck && !state.ended);
        drop(waited.expect("the reading thread does not panic"));
        bad_sink::fill(tty);
    }

    /// Waits for the end of the program, whether anybody reads what it wrote or not, and returns its
    /// exit code; 1 when a signal ended it.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`.
    pub fn wait_unread(&mut self, limit: Duration) -> u32 {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "it did not end within {limit:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of the program and of all that it wrote, and returns its exit code.
    ///
    /// # Panics
    ///
    /// When it does not end within `limit`, or by a signal.
    pub fn wait(&mut self, limit: Duration) -> u32 {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                panic!("it did not end within {limit:?}\n{self}");
            }
            let changed = self.shared.changed.wait_timeout(state, left);
            state = changed.expect("the reading thread does not panic").0;
        }
        drop(state);
        // It has closed its terminal, which a program does by ending.
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.signal().is_none(), "{status}\n{self}");
        status.exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only for a program that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Terminal {
    /// The screen, for the message of a failed test.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- the screen:\n{}---", self.text())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("the reading thread does not panic")
    }

    /// Shows what the program writes, until it has ended.
    fn follow(&self, mut reader: Box<dyn Read + Send>) {
        let mut buffer = [0; 4096];
        loop {
            let mut state = self.lock();
            while state.unread {
                state.is_stuck = true;
                self.changed.notify_all();
                let waited = self.changed.wait(state);
                state = waited.expect("no thread panics with the lock");
            }
            drop(state);
            // On Linux the end is an error.
            let count = reader.read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            state.parser.process(&buffer[..count]);
            state.bytes.extend_from_slice(&buffer[..count]);
            state.ended = count == 0;
            self.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }
}

fn set_size(state: &mut State, cols: u16, rows: u16) {
    state.parser.set_size(nonzero(rows), nonzero(cols));
}

/// Whether a terminal that was written this tells when it gets or loses the focus.
fn reports_focus(written: &[u8]) -> bool {
    let last = |mode: &[u8]| written.windows(mode.len()).rposition(|bytes| bytes == mode);
    last(b"\x1b[?1004h") > last(b"\x1b[?1004l")
}

/// The screen's lines without the blanks at their ends.
pub fn text(screen: &Screen) -> String {
    let (_, cols) = screen.size();
    let mut text = String::new();
    for row in screen.rows(0, cols.get()) {
        text += row.trim_end();
        text.push('\n');
    }
    text
}

/// The line of the screen that contains `text`: its place from the top, 0 the first.
pub fn line_of(screen: &Screen, wanted: &str) -> Option<u16> {
    let place = text(screen)
        .lines()
        .position(|line| line.contains(wanted))?;
    u16::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn sh(script: &str) -> Terminal {
        Terminal::start("/bin/sh", &["-c", script], &[], (40, 10))
    }

    #[test]
    fn what_a_program_writes_is_shown_and_what_is_typed_is_read() {
        let script = "printf 'one\\033[2;5Htwo\\a'; read word; echo \"heard $word\"; exit 3";
        let mut terminal = sh(script);
        assert!(
            terminal
                .wait_for_text("two", LIMIT)
                .starts_with("one\n    two\n")
        );
        assert_eq!(terminal.bells(), 1);
        terminal.send("hello\n");
        terminal.wait_for_text("heard hello", LIMIT);
        assert_eq!(terminal.wait(LIMIT), 3);
    }

    #[test]
    fn a_program_is_told_the_size() {
        let script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done";
        let terminal = sh(script);
        terminal.wait_for_text("10 40", LIMIT);
        terminal.resize(33, 7);
        terminal.wait_for_text("7 33", LIMIT);
    }

    #[test]
    fn what_a_program_does_to_its_terminal_is_seen() {
        let script = "read go; stty -echo -icanon; printf '\\033[?1049hthere'; read go";
        let mut terminal = sh(script);
        assert!(terminal.is_usable());
        terminal.send("\n");
        terminal.wait_for_text("there", LIMIT);
        assert!(!terminal.is_in_line_mode());
        assert!(!terminal.is_usable());
        terminal.send("\n");
        terminal.wait(LIMIT);
        // It left it so.
        assert!(!terminal.is_usable());
    }

    #[test]
    fn a_terminal_that_reports_its_focus_is_not_usable() {
        let script = "printf '\\033[?1004hon'; read go; printf '\\033[?1004loff'; read go";
        let mut terminal = sh(script);
        terminal.wait_for_text("on", LIMIT);
        assert!(!terminal.is_usable());
        terminal.send("\n");
        terminal.wait_for_text("off", LIMIT);
        assert!(terminal.is_usable());
    }

    #[test]
    #[should_panic(expected = "too late\n--- the screen:\nhello")]
    fn what_does_not_come_fails_with_the_screen() {
        let terminal = sh("printf hello; exec sleep 60");
        terminal.wait_for_text("hello", LIMIT);
        terminal.wait_for_text("bye", Duration::from_millis(50));
    }

    #[test]
    #[should_panic(expected = "the program ended")]
    fn a_text_that_cannot_come_is_not_waited_for() {
        sh("true").wait_for_text("never", LIMIT);
    }
}
