//! The terminal while a call is on it: what is written to it, and the thread that reads its keys.
//!
//! The figures stand at the bottom, and the cursor, unseen, at their top left. So each text begins
//! by itself where the figures begin, whatever was lost before it and whatever a new size has done to
//! what stands there: a terminal that breaks its lines anew takes the cursor along.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossterm::terminal;
use tokio::sync::mpsc;

use super::{
    input_source::InputSource,
    keys::{Key, KeyReader},
};

/// No cursor; key releases from terminals that report them (kitty's protocol: all keys as escape
/// codes, with their releases and with what shift makes of them); and the loss of the focus, after
/// which no release is reported. Others ignore that.
pub(super) const TAKE: &str = "\x1b[?25l\x1b[>15u\x1b[?1004h";

/// The reverse, without the figures.
pub(super) const GIVE_BACK: &str = "\r\x1b[J\x1b[?1004l\x1b[<1u\x1b[?25h";

/// The same where another has written meanwhile.
pub(super) const PUT_RIGHT: &str = "\x1b[?1004l\x1b[<1u\x1b[?25h";

const ERASE_ROW: &str = "\x1b[2K";

/// How long a thread that panicked waits for a terminal that takes nothing.
const GIVE_BACK_LIMIT: Duration = Duration::from_millis(300);

/// How long the key thread waits before it looks whether the call is over.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// Columns and rows to lay out for. The last column stays free: what is written there leaves the
/// cursor in doubt.
pub(super) fn size() -> (usize, usize) {
    let (columns, rows) = tty::size();
    (
        usize::from(columns).saturating_sub(1).max(1),
        usize::from(rows),
    )
}

/// `lines` as the figures. A line that a terminal that just became narrower has no room for is cut
/// by it, not broken. A row is erased before it is written: otherwise it keeps the mark of a line
/// that was broken once, and the next size joins it to the row below.
pub(super) fn picture(lines: &[String]) -> String {
    let rows: Vec<String> = lines
        .iter()
        .map(|line| format!("{ERASE_ROW}{line}"))
        .collect();
    let text = rows.join("\r\n");
    let up = match lines.len() {
        0 | 1 => String::new(),
        count => format!("\x1b[{}A", count - 1),
    };
    format!("\x1b[?7l\r{text}\x1b[J\r{up}\x1b[?7h")
}

/// `lines` where the figures stand, which are to be drawn below them. Row by row: of a screen that is
/// erased from its first row on, some terminals keep a copy above it.
pub(super) fn above(lines: &[String]) -> String {
    let rows = lines.iter();
    rows.map(|line| format!("\r{ERASE_ROW}{line}\r\n"))
        .collect()
}

/// Whether the terminal is in raw mode, and ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode, with a thread that reads its keys.
pub(super) struct LiveTerminal {
    keys: mpsc::Receiver<Key>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LiveTerminal {
    /// None if the terminal cannot be had. To be called when it is our turn.
    pub(super) fn take() -> Option<Self> {
        set_raw_mode()?;
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

    /// One without keys.
    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        Self {
            keys: mpsc::channel(1).1,
            over: Arc::default(),
            thread: None,
        }
    }

    /// The next key; `None` when the terminal has gone.
    pub(super) async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }

    /// Sets it again, whatever another has set meanwhile. To be called when it is our turn.
    pub(super) fn take_again(&mut self) {
        set_raw_mode();
    }

    /// Lets it go as it is: it is another's turn, who has set it anew. Waits for nobody: the thread that
    /// reads keys ends by itself.
    pub(super) fn abandon(mut self) {
        TAKEN.store(false, Ordering::Relaxed);
        self.thread = None;
    }
}

/// Anew, also if it was set before.
fn set_raw_mode() -> Option<()> {
    terminal::disable_raw_mode().ok()?;
    terminal::enable_raw_mode().ok()?;
    TAKEN.store(true, Ordering::Relaxed);
    Some(())
}

impl Drop for LiveTerminal {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // A key that nobody takes any more must not hold the thread.
        self.keys.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if TAKEN.swap(false, Ordering::Relaxed) {
            let _ = terminal::disable_raw_mode();
        }
    }
}

fn read_keys(keys: &mpsc::Sender<Key>, over: &AtomicBool) {
    let begun = Instant::now();
    let mut source = InputSource::new();
    let mut reader = KeyReader::default();
    while !over.load(Ordering::Relaxed) {
        let Ok(inputs) = source.read(KEY_PATIENCE, begun) else {
            return;
        };
        for input in inputs {
            if let Some(key) = reader.read(&input, begun.elapsed())
                && keys.blocking_send(key).is_err()
            {
                return;
            }
        }
    }
}

/// A panic elsewhere must leave a terminal that can be typed into.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if TAKEN.swap(false, Ordering::Relaxed) {
                let _ = terminal::disable_raw_mode();
                output::stdout().line_instead_of_picture(GIVE_BACK);
                let _ = output::stdout().finish(GIVE_BACK_LIMIT);
            }
            before(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_ends_where_it_began_and_leaves_nothing_of_a_larger_one() {
        let lines = ["one", "two"].map(str::to_owned);
        assert_eq!(
            picture(&lines),
            "\x1b[?7l\r\x1b[2Kone\r\n\x1b[2Ktwo\x1b[J\r\x1b[1A\x1b[?7h"
        );
        assert_eq!(picture(&lines[..1]), "\x1b[?7l\r\x1b[2Kone\x1b[J\r\x1b[?7h");
        assert_eq!(above(&lines), "\r\x1b[2Kone\r\n\r\x1b[2Ktwo\r\n");
    }
}
