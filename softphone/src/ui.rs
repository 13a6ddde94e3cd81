//! The terminal in a call: a live status line and keys, or plain lines when nobody looks.
//!
//! Runs on tokio's side; a thread of its own waits for keys. The terminal is put back as it was,
//! however the call ends.

pub mod output;

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossterm::{
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    terminal,
};
use tokio::sync::mpsc;

use crate::{call_status::CallStatus, report::status_json};
use output::Output;

/// How often a plain line with the figures is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// How often a line of JSON is.
const JSON_LINE_EVERY: Duration = Duration::from_secs(1);

/// How long a reader that stands still is waited for when the call is over.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the key thread waits before it looks whether the call is over.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Mute, or unmute.
    Mute,
    /// Say where the time goes.
    Delay,
    /// Hang up.
    HangUp,
}

/// Where a call shows itself.
pub struct Ui {
    live: Option<LiveTerminal>,
    /// For people; `None`: nothing is written.
    output: Option<Output>,
    /// A line of JSON each second.
    json_lines: Option<Output>,
    next_plain: Duration,
    next_json: Duration,
    /// Characters of the status line on the screen.
    shown: usize,
}

impl Ui {
    /// A live line if stdin and stdout are a terminal, else plain lines; on stderr if stdout
    /// belongs to JSON.
    pub fn new(stdout_is_json: bool, json_lines: bool) -> Self {
        let live = !stdout_is_json && io::stdout().is_terminal() && io::stdin().is_terminal();
        Self {
            live: live.then(LiveTerminal::take).flatten(),
            output: Some(match stdout_is_json {
                true => Output::stderr(),
                false => Output::stdout(),
            }),
            json_lines: json_lines.then(Output::stdout),
            ..Self::unseen()
        }
    }

    /// None: nothing is shown, no key is taken.
    pub fn unseen() -> Self {
        Self {
            live: None,
            output: None,
            json_lines: None,
            next_plain: PLAIN_EVERY,
            next_json: JSON_LINE_EVERY,
            shown: 0,
        }
    }

    /// Whether there is somebody to press keys.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// The next key; waits for ever without a terminal.
    pub async fn key(&mut self) -> Key {
        match &mut self.live {
            Some(live) => match live.keys.recv().await {
                Some(key) => key,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Says something that stays on the screen.
    pub fn say(&mut self, words: &str) {
        let Some(output) = &self.output else {
            return;
        };
        if self.live.is_some() {
            // Raw mode: lines end in carriage return and line feed.
            let words = words.replace('\n', "\r\n");
            self.shown = 0;
            output.line(format!("\r\x1b[2K{words}\r\n"));
        } else {
            output.line(format!("{words}\n"));
        }
    }

    /// Shows the newest figures.
    pub fn show(&mut self, status: &CallStatus) {
        if let Some(json_lines) = &self.json_lines
            && status.elapsed >= self.next_json
        {
            while self.next_json <= status.elapsed {
                self.next_json += JSON_LINE_EVERY;
            }
            json_lines.line(format!("{}\n", status_json(status)));
        }
        let Some(output) = &self.output else {
            return;
        };
        if self.live.is_some() {
            let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns).max(1));
            // A terminal that has become narrower has broken the line: what stands above is ours.
            let above = self.shown.saturating_sub(1) / width;
            let up = match above {
                0 => String::new(),
                above => format!("\x1b[{above}A"),
            };
            let line = status.status_line(width - 1);
            self.shown = line.chars().count();
            output.picture(format!("{up}\r\x1b[J{line}"));
        } else if status.elapsed >= self.next_plain {
            self.next_plain += PLAIN_EVERY;
            output.line(format!("{}\n", status.status_line(usize::MAX)));
        }
    }

    /// Gives the terminal back.
    pub fn close(&mut self) {
        let live = self.live.take();
        if let Some(output) = &self.output {
            if live.is_some() {
                output.line("\r\x1b[2K".to_owned());
            }
            output.finish(READER_TIMEOUT);
        }
        if let Some(json_lines) = self.json_lines.take() {
            json_lines.finish(READER_TIMEOUT);
        }
    }
}

/// The terminal in raw mode, with a thread that reads its keys.
struct LiveTerminal {
    keys: mpsc::Receiver<Key>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LiveTerminal {
    fn take() -> Option<Self> {
        terminal::enable_raw_mode().ok()?;
        restore_on_panic();
        let (keys_tx, keys) = mpsc::channel(16);
        let over = Arc::new(AtomicBool::new(false));
        let thread_over = Arc::clone(&over);
        let thread = thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read_keys(&keys_tx, &thread_over))
            .ok();
        Some(Self { keys, over, thread })
    }
}

impl Drop for LiveTerminal {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = terminal::disable_raw_mode();
    }
}

fn read_keys(keys: &mpsc::Sender<Key>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        match event::poll(KEY_PATIENCE) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let key = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => key,
            Ok(_) => continue,
            Err(_) => return,
        };
        let key = match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::HangUp,
            KeyCode::Char('q' | 'Q') => Key::HangUp,
            KeyCode::Char('m' | 'M') => Key::Mute,
            KeyCode::Char('d' | 'D') => Key::Delay,
            _ => continue,
        };
        if keys.blocking_send(key).is_err() {
            return;
        }
    }
}

/// A panic elsewhere must leave a terminal that can be typed into.
fn restore_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = terminal::disable_raw_mode();
        before(info);
    }));
}
