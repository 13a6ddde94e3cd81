//! The terminal in a call: a few lines that are drawn anew and take keys, or plain lines where there
//! is no terminal.
//!
//! Runs on tokio's side and never waits: a thread writes ([`Output`]), another reads keys. The
//! terminal is put back as it was, however the call ends, and before it is stopped (Ctrl-Z). In the
//! background a call goes on with plain lines; brought to the front, it draws again.

#[cfg(unix)]
mod input;
mod input_source;
mod keys;
mod push_to_talk;
pub mod screen;
mod terminal;

use std::{
    future::pending,
    io::{self, IsTerminal},
    time::Duration,
};

use output::{Output, charset};
use proto::text::one_line;
use tokio::task::{JoinHandle, spawn_blocking};
use tty::{EndSignal, JobEvent, JobEvents, Stopping};

use crate::{
    report::{call_status::CallStatus, status_json, text_layout::wrap},
    ui::screen::{Panel, Screen},
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

/// And when the terminal is given back.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(300);

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
    /// Stdin and stdout are a terminal that can be drawn on.
    can_be_live: bool,
    /// While it can, and it is our turn.
    live: Option<LiveTerminal>,
    job: Option<JobEvents>,
    /// The process is about to stop: nothing is drawn until it goes on.
    stopping: Option<Stopping>,
    /// The terminal is being given back before that.
    giving_back: Option<JoinHandle<()>>,
    /// For people; `None`: nothing is written.
    output: Option<&'static Output>,
    /// A line of JSON each second.
    json_lines: Option<&'static Output>,
    next_plain: Duration,
    next_json: Duration,
}

impl Ui {
    /// Live if stdin and stdout are a terminal that understands escapes, and as long as it is our
    /// turn there; else plain lines, on stderr if stdout belongs to JSON.
    pub fn new(stdout_is_json: bool, json_lines: bool) -> Self {
        let output = match stdout_is_json {
            true => output::stderr(),
            false => output::stdout(),
        };
        let are_terminals = io::stdout().is_terminal() && io::stdin().is_terminal();
        let can_be_live = !stdout_is_json && are_terminals && output::understands_escapes();
        let mut ui = Self {
            can_be_live,
            job: can_be_live.then(|| JobEvents::listen().ok()).flatten(),
            output: Some(output),
            json_lines: json_lines.then(output::stdout),
            ..Self::unseen()
        };
        ui.follow_turn();
        ui
    }

    /// None: nothing is shown, no key is taken.
    pub fn unseen() -> Self {
        Self {
            screen: Screen::default(),
            can_be_live: false,
            live: None,
            job: None,
            stopping: None,
            giving_back: None,
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

    /// The next key; waits for ever without a terminal. A terminal that goes without a signal hangs
    /// up, unless the program was started to outlive it (`nohup`). May be dropped while it waits.
    pub async fn key(&mut self) -> Key {
        loop {
            tokio::select! {
                key = next_key(&mut self.live) => match key {
                    Some(Key::Suspend) => tty::request_stop(),
                    Some(key) => return key,
                    None => {
                        self.can_be_live = false;
                        if let Some(live) = self.live.take() { live.abandon(); }
                        if !tty::is_ignored(EndSignal::HangUp) {
                            return Key::HangUp;
                        }
                    }
                },
                () = given_back(&mut self.giving_back) => {
                    if let Some(stopping) = &mut self.stopping {
                        stopping.allow();
                    }
                }
                event = next_event(&mut self.job) => match event {
                    JobEvent::Stop(stopping) => {
                        self.stopping = Some(stopping);
                        self.giving_back = Some(self.give_back());
                    }
                    JobEvent::Continued => {
                        self.take_again();
                        self.draw();
                    }
                },
            }
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
            let lines = wrap(&charset::text(&words), width, 2);
            output.line(terminal::above(&lines));
            self.draw();
        } else {
            output.line(format!("{}\n", charset::text(&words)));
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
    pub async fn close(&mut self) {
        self.can_be_live = false;
        self.job = None;
        let given_back = self.giving_back.take();
        let _ = given_back.unwrap_or_else(|| self.give_back()).await;
        for output in [self.output, self.json_lines.take()].into_iter().flatten() {
            let _ = finish(output, READER_TIMEOUT).await;
        }
    }

    fn give_back(&mut self) -> JoinHandle<()> {
        give_back(self.live.take(), self.output, GIVE_BACK_LIMIT)
    }

    fn draw(&mut self) {
        self.follow_turn();
        let Some(output) = &self.output else {
            return;
        };
        let elapsed = self.screen.elapsed();
        let is_due = elapsed >= self.next_plain;
        while self.next_plain <= elapsed {
            self.next_plain += PLAIN_EVERY;
        }
        if self.live.is_some() {
            let (width, height) = terminal::size();
            let picture = terminal::picture(&self.screen.lines(width, height));
            output.picture(charset::columns(&picture).into_owned());
        } else if is_due {
            let line = self.screen.plain_line();
            output.line(format!("{}\n", charset::text(&line)));
        }
    }

    /// Takes the terminal when it is our turn, and lets it go when it is another's.
    fn follow_turn(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            if !stopping.is_over() {
                return;
            }
            self.stopping = None;
        }
        match (&self.live, self.can_be_live && tty::is_foreground()) {
            (None, true) => {
                self.live = LiveTerminal::take();
                self.can_be_live = self.live.is_some();
                if self.live.is_some() {
                    self.write(terminal::TAKE);
                }
            }
            (Some(_), false) => {
                if let Some(live) = self.live.take() {
                    live.abandon();
                }
                self.write(terminal::PUT_RIGHT);
            }
            _ => {}
        }
    }

    /// After a stop of which nothing was known before (SIGSTOP): another has set the terminal.
    fn take_again(&mut self) {
        if let Some(live) = &mut self.live
            && tty::is_foreground()
        {
            live.take_again();
            self.write(&[terminal::PUT_RIGHT, terminal::TAKE].concat());
        }
    }

    fn write(&self, codes: &str) {
        if let Some(output) = &self.output {
            output.line(codes);
        }
    }
}

/// Waits until all is written, `limit` at most: aside, for a reader may stand still.
fn finish(output: &'static Output, limit: Duration) -> JoinHandle<()> {
    spawn_blocking(move || drop(output.finish(limit)))
}

/// Gives the terminal back, if it is ours: aside, for a terminal may take nothing for as long as
/// `limit`, and its keys may have to be waited for.
fn give_back(
    live: Option<LiveTerminal>,
    output: Option<&'static Output>,
    limit: Duration,
) -> JoinHandle<()> {
    let Some(live) = live else {
        return spawn_blocking(|| {});
    };
    if let Some(output) = output {
        output.line_instead_of_picture(terminal::GIVE_BACK);
    }
    spawn_blocking(move || {
        if let Some(output) = output {
            let _ = output.finish(limit);
        }
        drop(live);
    })
}

/// Returns once it is.
async fn given_back(giving_back: &mut Option<JoinHandle<()>>) {
    match giving_back {
        Some(task) => {
            let _ = task.await;
            *giving_back = None;
        }
        None => pending().await,
    }
}

async fn next_key(live: &mut Option<LiveTerminal>) -> Option<Key> {
    match live {
        Some(live) => live.key().await,
        None => pending().await,
    }
}

async fn next_event(job: &mut Option<JobEvents>) -> JobEvent {
    match job {
        Some(job) => job.next().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::mpsc};

    use super::*;

    /// Far more than anything here takes, unless the thread waits for it.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Takes nothing before it is told to.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Whoever tells it may be gone.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whether the one thread of the runtime goes on while something waits for a terminal that takes
    /// nothing. It is told to go on afterwards.
    async fn goes_on(wait: impl FnOnce(&'static Output) -> JoinHandle<()>) -> bool {
        let (go_on, told) = mpsc::channel();
        let output: &'static Output = Box::leak(Box::new(Output::to(Box::new(Stuck(told)))));
        output.line("a line");
        let waiting = wait(output);
        // What waits on this thread is over when it comes back here, terminal or not.
        tokio::task::yield_now().await;
        let goes_on = !waiting.is_finished();
        drop(go_on);
        assert!(waiting.await.is_ok());
        goes_on
    }

    #[tokio::test]
    async fn a_terminal_that_takes_nothing_holds_up_nobody_else() {
        assert!(goes_on(|output| finish(output, LIMIT)).await);
        let live = LiveTerminal::for_test();
        assert!(goes_on(|output| give_back(Some(live), Some(output), LIMIT)).await);
    }
}
