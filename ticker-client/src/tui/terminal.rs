//! The terminal as one full screen, and as it was before.
//!
//! Whatever ends the program gives the terminal back: the end of [`FullScreen`]'s life, and a panic
//! on any thread. It must never draw on a terminal that was given back, nor wait for one that takes
//! nothing any more: a thread writes, and while it does, nothing is drawn.

use std::{
    io::{self, Write},
    mem, panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossterm::{
    cursor::Show,
    event::{DisableBracketedPaste, EnableBracketedPaste},
    queue,
    style::force_color_output,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use output::charset;
use ratatui::{
    Frame, Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, buffer::Buffer,
    layout::Rect,
};

/// How long a terminal that takes nothing is waited for when it is taken or given back.
const PATIENCE: Duration = Duration::from_millis(300);

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, taken for the whole screen. Given back when dropped.
#[derive(Debug)]
pub struct FullScreen {
    terminal: Terminal<CrosstermBackend<Picture>>,
    area: Rect,
    is_unknown: bool,
}

impl FullScreen {
    /// Takes the terminal: the alternate screen, and keys one by one. Without `colour`, nothing that
    /// is drawn has any.
    ///
    /// # Errors
    ///
    /// When there is no terminal, or it cannot be written to.
    pub fn enter(colour: bool) -> io::Result<Self> {
        restore_on_panic();
        force_color_output(colour);
        take()?;
        let area = whole();
        // Not ratatui's own full screen: it takes the size of a terminal that knows none for 0 x 0.
        let options = TerminalOptions {
            viewport: Viewport::Fixed(area),
        };
        let backend = CrosstermBackend::new(Picture::default());
        let terminal = Terminal::with_options(backend, options);
        if terminal.is_err() {
            give_back();
        }
        Ok(Self {
            terminal: terminal?,
            area,
            is_unknown: false,
        })
    }

    /// Draws a picture, unless the one before it is still being written, and returns whether it did;
    /// only what has changed is written.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be written to.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> io::Result<bool> {
        output::stdout().check()?;
        if !output::stdout().is_idle() {
            return Ok(false);
        }
        if !tty::is_foreground() {
            self.take_again()?;
        }
        let area = whole();
        if mem::take(&mut self.is_unknown) || area != self.area {
            self.area = area;
            // `Terminal::clear` would ask the terminal for its cursor, and wait for the answer.
            self.terminal.resize(area)?;
        }
        self.terminal.draw(|frame| {
            picture(frame);
            if !charset::is_utf8() {
                write_in_ascii(frame.buffer_mut());
            }
        })?;
        Ok(true)
    }

    /// Nobody knows what is on the screen: the next picture is written as a whole.
    pub fn forget(&mut self) {
        self.is_unknown = true;
    }

    /// Rings the bell.
    pub fn ring(&mut self) {
        if TAKEN.load(Ordering::SeqCst) {
            output::stdout().line([0x07]);
        }
    }

    /// Gives the terminal back for a while. Nothing is drawn until it is taken again.
    pub fn give_back(&mut self) {
        give_back();
    }

    /// Takes it again, whatever others have made of it meanwhile. In the background the system stops
    /// the program here until it is brought to the front: before anything is written.
    ///
    /// # Errors
    ///
    /// As [`FullScreen::enter`].
    pub fn take_again(&mut self) -> io::Result<()> {
        self.forget();
        disable_raw_mode()?;
        enable_raw_mode()?;
        if TAKEN.load(Ordering::SeqCst) {
            output::stdout().line(leaving());
        }
        take()
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut codes = Vec::new();
    let made = queue!(codes, EnterAlternateScreen, EnableBracketedPaste);
    output::stdout().line(codes);
    let written = match output::stdout().finish(PATIENCE) {
        // It may come to itself; until then nothing is drawn.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        written => made.and(written),
    };
    if written.is_err() {
        give_back();
    }
    written
}

/// Makes the terminal what it was. Does nothing when that is done already.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A terminal that is gone or stuck cannot be helped, and the program ends anyway.
    output::stdout().line(leaving());
    let _ = output::stdout().finish(PATIENCE);
    let _ = disable_raw_mode();
}

fn leaving() -> Vec<u8> {
    let mut codes = Vec::new();
    let _ = queue!(codes, DisableBracketedPaste, LeaveAlternateScreen, Show);
    codes
}

/// All of the terminal.
fn whole() -> Rect {
    let (columns, rows) = tty::size();
    Rect::new(0, 0, columns, rows)
}

/// For a locale that knows nothing else.
fn write_in_ascii(picture: &mut Buffer) {
    for cell in &mut picture.content {
        if !cell.symbol().is_ascii() {
            let first = cell.symbol().chars().next().unwrap_or(' ');
            cell.set_char(charset::ascii_char(first));
        }
    }
}

/// A panic's message is to be read on the terminal as it was, whichever thread it comes from.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

/// Collects a picture and has it written at once; what was collected when the terminal was given back
/// is never written.
#[derive(Debug, Default)]
struct Picture(Vec<u8>);

impl Write for Picture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = mem::take(&mut self.0);
        if !bytes.is_empty() && TAKEN.load(Ordering::SeqCst) {
            // Not as a picture that the next one may replace: it holds only what has changed.
            output::stdout().line(bytes);
        }
        Ok(())
    }
}
