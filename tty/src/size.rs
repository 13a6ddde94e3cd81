//! How large the terminal is.

use std::env;

/// Columns and rows of the terminal on stdout, stderr or stdin; what `COLUMNS` and `LINES` say where
/// it does not know (a serial line, a recorder of sessions), and otherwise 80 and 24.
pub fn size() -> (u16, u16) {
    let (columns, rows) = known_size().unwrap_or((0, 0));
    let or = |known: u16, name: &str, usual: u16| match known {
        0 => variable(name).unwrap_or(usual),
        known => known,
    };
    (or(columns, "COLUMNS", 80), or(rows, "LINES", 24))
}

fn variable(name: &str) -> Option<u16> {
    let value = env::var(name).ok()?;
    value.trim().parse().ok().filter(|&number| number > 0)
}

#[cfg(unix)]
fn known_size() -> Option<(u16, u16)> {
    use rustix::{
        stdio::{stderr, stdin, stdout},
        termios::tcgetwinsize,
    };
    let sizes = [stdout(), stderr(), stdin()].map(|stream| tcgetwinsize(stream).ok());
    let size = sizes.into_iter().flatten().next()?;
    Some((size.ws_col, size.ws_row))
}

/// The console's, by the library of whoever draws on it.
#[cfg(not(unix))]
fn known_size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok()
}
