//! Whose turn it is at the terminal.

/// Whether this process may read and set the terminal on stdin. Out of turn, the system would stop
/// it for trying.
///
/// True where nobody takes turns: stdin is no terminal, or not the one that jobs are controlled from.
#[cfg(unix)]
pub fn is_foreground() -> bool {
    use rustix::{process::getpgrp, stdio::stdin, termios::tcgetpgrp};
    tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// True: there are no turns.
#[cfg(not(unix))]
pub fn is_foreground() -> bool {
    true
}
