//! Where the doctor writes: findings one after the other, and on a terminal what is being done.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use output::Output;

use super::{
    finding::Check,
    report::{self, Report},
};

/// How long a reader of the last findings may stand still.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// Findings for people go to stdout, or to stderr when stdout belongs to JSON.
pub(super) struct Desk {
    json: bool,
    /// Columns, if it is a terminal.
    terminal: Option<usize>,
    colour: bool,
}

impl Desk {
    pub(super) fn new(json: bool) -> Self {
        let is_terminal = if json {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let columns =
            || crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns).max(20));
        Self {
            json,
            terminal: is_terminal.then(columns),
            colour: is_terminal && wants_colour(),
        }
    }

    /// What is being done, until the finding takes its place. Only for somebody who watches.
    pub(super) fn show_progress(&mut self, check: Check) {
        if let Some(width) = self.terminal {
            // One less: a full line would move the cursor on.
            self.write(&report::progress(check, width - 1));
        }
    }

    pub(super) fn show_newest(&mut self, report: &Report) {
        let over_progress = if self.terminal.is_some() {
            "\r\x1b[2K"
        } else {
            ""
        };
        self.write(&format!(
            "{over_progress}{}\n",
            report.newest(self.width(), self.colour)
        ));
    }

    /// # Errors
    /// What was found could not be written. A reader that went away does not change what was found.
    pub(super) fn finish(&mut self, report: &Report) -> io::Result<()> {
        self.write(&format!("{}\n", report.summary(self.width(), self.colour)));
        if self.json {
            output::stdout().line(format!("{:#}\n", report.json()));
        }
        match output::stdout().finish(READER_TIMEOUT) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn width(&self) -> usize {
        self.terminal.unwrap_or(usize::MAX)
    }

    fn write(&self, text: &str) {
        let output: &Output = match self.json {
            true => output::stderr(),
            false => output::stdout(),
        };
        output.line(text);
    }
}

/// Unless told otherwise (<https://no-color.org>), or on a terminal that has none.
fn wants_colour() -> bool {
    let told_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let has_none = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    !told_not_to && !has_none
}
