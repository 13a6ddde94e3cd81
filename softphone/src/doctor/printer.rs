//! Where the doctor writes: findings one after the other, and on a terminal what is being done.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use output::{Output, charset};

use super::{
    finding::Check,
    report::{self, Report},
};

/// How long a reader of the last findings may stand still.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// Findings for people go to stdout, or to stderr when stdout belongs to JSON.
pub(super) struct Printer {
    json: bool,
    /// Columns, if it is a terminal.
    terminal: Option<usize>,
    /// What is being done can be erased again.
    shows_progress: bool,
    colour: bool,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        let is_terminal = if json {
            io::stderr().is_terminal()
        } else {
            io::stdout().is_terminal()
        };
        let columns = || usize::from(tty::size().0).max(20);
        Self {
            json,
            terminal: is_terminal.then(columns),
            shows_progress: is_terminal && output::understands_escapes(),
            colour: output::colour(is_terminal),
        }
    }

    /// What is being done, until the finding takes its place. Only for somebody who watches.
    pub(super) fn show_progress(&mut self, check: Check) {
        if let Some(width) = self.terminal.filter(|_| self.shows_progress) {
            // One less: a full line would move the cursor on.
            self.write(&report::progress(check, width - 1));
        }
    }

    pub(super) fn show_newest(&mut self, report: &Report) {
        let over_progress = match self.shows_progress {
            true => "\r\x1b[2K",
            false => "",
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
        output.line(charset::columns(text).into_owned());
    }
}
