//! What the programs write to stdout and stderr. A reader may be gone, slow or stuck, a disk may be
//! full, and a write may fail or block at any time.
//!
//! - Beside the work (logs, progress, the screen of a call): [`stdout`] and [`stderr`], one queue and
//!   one thread each. Leaving text there never waits and never fails.
//! - As the work itself (a list, completions, help): [`print()`], [`parse`] and [`wrong_usage`], which
//!   wait for the reader and report what could not be written.
//!
//! What people read passes [`charset`]; whether a terminal understands escapes and colours is asked
//! of [`understands_escapes`] and [`colour`].
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod charset;
mod escapes;
mod log;
mod panics;
mod product;
mod queue;

use std::{
    io,
    sync::LazyLock,
    time::{Duration, Instant},
};

pub use escapes::{colour, understands_escapes};
pub use log::{LogLines, log};
pub use panics::{contain, report_panics};
pub use product::{parse, print, wrong_usage};
pub use queue::Output;

/// The program's stdout.
pub fn stdout() -> &'static Output {
    static STDOUT: LazyLock<Output> = LazyLock::new(|| Output::to(queue::unbuffered(io::stdout())));
    &STDOUT
}

/// The program's stderr, which is for people: what their locale cannot show is written in ASCII, and
/// lines that were lost are counted and reported.
pub fn stderr() -> &'static Output {
    static STDERR: LazyLock<Output> = LazyLock::new(|| {
        Output::to(queue::unbuffered(io::stderr()))
            .reporting_losses()
            .for_people()
    });
    &STDERR
}

/// Writes what still waits when it is dropped. Keep it in `main`.
#[derive(Debug)]
#[must_use = "dropped at once, it writes nothing that comes later"]
pub struct FlushAtExit {
    limit: Duration,
}

/// Both outputs are written to their ends when the value is dropped, as long as that takes no longer
/// than `limit`.
pub fn flush_at_exit(limit: Duration) -> FlushAtExit {
    FlushAtExit { limit }
}

impl Drop for FlushAtExit {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.limit;
        for output in [stdout(), stderr()] {
            // What is lost here nobody can be told.
            let _ = output.finish(deadline.saturating_duration_since(Instant::now()));
        }
    }
}
