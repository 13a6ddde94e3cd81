//! The terminal in a call: a few lines that are drawn anew and take keys, or plain lines where there
//! is no terminal.
//!
//! Runs on tokio's side and never waits: a thread writes ([`Output`]), another reads keys. The
//! terminal is put back as it was, however the call ends.

#[cfg(unix)]
mod input;
mod input_source;
mod keys;
mod push_to_talk;
mod terminal;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use output::Output;
use proto::text::one_line;

use crate::{
    call_status::CallStatus,
    report::status_json,
    screen::{Panel, Screen},
    text_layout::wrap,
};
#[cfg(unix)]
pub use input::InputDecoder;
pub use keys::{Input, Key};
pub use push_to_talk::PushToTalk;
use terminal::LiveTerminal;

/// How often a plain line with the figures is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// How often a line of JSON is.
const JSON_LINE_EVERY: Duration = Duration::from_secs(1);

/// How long a reader that stands still is waited for when the call is over.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// Columns that there are for text on `stream`: where it is no terminal, any number.
pub fn columns(stream: &impl IsTerminal) -> usize {
    match stream.is_terminal() {
        true => terminal::size().0,
        false => usize::MAX,
    }
}

/// Where a call shows itself.
pub struct Ui {
    screen: Screen,
    live: Option<LiveTerminal>,
    /// For people; `None`: nothing is written.
    output: Option<&'static Output>,
    /// A line of JSON each second.
    json_lines: Option<&'static Output>,
    next_plain: Duration,
    next_json: Duration,
}

impl Ui {
    /// Live if stdin and stdout are a terminal, else plain lines; on stderr if stdout belongs to
    /// JSON.
    pub fn new(stdout_is_json: bool, json_lines: bool) -> Self {
        let output = match stdout_is_json {
            true => output::stderr(),
            false => output::stdout(),
        };
        let live = !stdout_is_json && io::stdout().is_terminal() && io::stdin().is_terminal();
        let live = live.then(LiveTerminal::take).flatten();
        if live.is_some() {
            output.line(terminal::TAKE);
        }
        Self {
            live,
            output: Some(output),
            json_lines: json_lines.then(output::stdout),
            ..Self::unseen()
        }
    }

    /// None: nothing is shown, no key is taken.
    pub fn unseen() -> Self {
        Self {
            screen: Screen::default(),
            live: None,
            output: None,
            json_lines: None,
            next_plain: PLAIN_EVERY,
            next_json: JSON_LINE_EVERY,
        }
    }

    /// Whether there is somebody to press keys.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// The next key; waits for ever without a terminal.
    pub async fn key(&mut self) -> Key {
        match &mut self.live {
            Some(live) => live.key().await,
            None => std::future::pending().await,
        }
    }

    /// Says something that stays on the screen: a sentence, which may hold words of others.
    pub fn say(&mut self, words: &str) {
        let words = one_line(words);
        let Some(output) = &self.output else {
            return;
        };
        if self.live.is_some() {
            let (width, _) = terminal::size();
            let lines = wrap(&words, width, 2);
            output.line(terminal::above(&lines));
            self.draw();
        } else {
            output.line(format!("{words}\n"));
        }
    }

    /// Shows the newest figures.
    pub fn show(&mut self, status: CallStatus) {
        if let Some(json_lines) = &self.json_lines
            && status.elapsed >= self.next_json
        {
            while self.next_json <= status.elapsed {
                self.next_json += JSON_LINE_EVERY;
            }
            json_lines.line(format!("{}\n", status_json(&status)));
        }
        self.screen.update(status);
        self.draw();
    }

    /// Shows `panel` under the figures, or no longer.
    pub fn toggle(&mut self, panel: Panel) {
        self.screen.toggle(panel);
        self.draw();
    }

    /// Gives the terminal back. What could not be written is found at the end of the program.
    pub fn close(&mut self) {
        let live = self.live.take();
        if let Some(output) = &self.output {
            if live.is_some() {
                output.line_instead_of_picture(terminal::GIVE_BACK);
            }
            let _ = output.finish(READER_TIMEOUT);
        }
        if let Some(json_lines) = self.json_lines.take() {
            let _ = json_lines.finish(READER_TIMEOUT);
        }
    }

    fn draw(&mut self) {
        let Some(output) = &self.output else {
            return;
        };
        if self.live.is_some() {
            let (width, height) = terminal::size();
            output.picture(terminal::picture(&self.screen.lines(width, height)));
        } else if self.screen.elapsed() >= self.next_plain {
            self.next_plain += PLAIN_EVERY;
            output.line(format!("{}\n", self.screen.plain_line()));
        }
    }
}
