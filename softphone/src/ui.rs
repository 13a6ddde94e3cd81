//! The terminal in a call: a live status line and keys, or plain lines when nobody looks.
//!
//! Runs on tokio's side; a thread of its own waits for keys. The terminal is put back as it was,
//! however the call ends.

use std::{
    io::{self, IsTerminal, Write},
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

use crate::screen::Screen;

/// How often a plain line with the figures is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

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
    /// Plain lines go to stderr when stdout belongs to JSON.
    to_stderr: bool,
    /// Nothing is written at all.
    unseen: bool,
    next_plain: Duration,
    /// Characters of the status line on the screen.
    shown: usize,
}

impl Ui {
    /// A live line if stdin and stdout are a terminal, else plain lines; on stderr if stdout is
    /// wanted for JSON.
    pub fn new(json: bool) -> Self {
        let live = !json && io::stdout().is_terminal() && io::stdin().is_terminal();
        Self {
            live: live.then(LiveTerminal::take).flatten(),
            to_stderr: json,
            unseen: false,
            next_plain: PLAIN_EVERY,
            shown: 0,
        }
    }

    /// None: nothing is shown, no key is taken.
    pub fn unseen() -> Self {
        Self {
            live: None,
            to_stderr: true,
            unseen: true,
            next_plain: PLAIN_EVERY,
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
        if self.live.is_some() {
            // Raw mode: lines end in carriage return and line feed.
            let words = words.replace('\n', "\r\n");
            self.shown = 0;
            self.print(&format!("\r\x1b[2K{words}\r\n"));
        } else {
            self.print(&format!("{words}\n"));
        }
    }

    /// Shows the newest figures.
    pub fn show(&mut self, screen: &Screen) {
        if self.live.is_some() {
            let width = terminal::size().map_or(80, |(columns, _)| usize::from(columns).max(1));
            // A terminal that has become narrower has broken the line: what stands above is ours.
            let above = self.shown.saturating_sub(1) / width;
            if above > 0 {
                self.print(&format!("\x1b[{above}A"));
            }
            let line = screen.status_line(width - 1);
            self.shown = line.chars().count();
            self.print(&format!("\r\x1b[J{line}"));
        } else if screen.elapsed >= self.next_plain {
            self.next_plain += PLAIN_EVERY;
            self.print(&format!("{}\n", screen.status_line(usize::MAX)));
        }
    }

    /// Gives the terminal back.
    pub fn close(&mut self) {
        if self.live.take().is_some() {
            self.print("\r\x1b[2K");
        }
    }

    /// A reader that went away is no reason to hang up.
    fn print(&self, text: &str) {
        if self.unseen {
            return;
        }
        let _ = if self.to_stderr {
            write_flushed(&mut io::stderr(), text)
        } else {
            write_flushed(&mut io::stdout(), text)
        };
    }
}

fn write_flushed(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
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
