//! The message of a panic, on the queue of stderr: the library's own hook writes at once, and a
//! reader that is stuck would hold the thread that panicked, with all that runs on it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic, thread,
};

use crate::stderr;

/// From now on a panic on any thread is reported on [`stderr`].
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        // Only if RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let text = match backtrace.status() {
            BacktraceStatus::Captured => format!("thread '{name}' {info}\n{backtrace}\n"),
            _ => format!("thread '{name}' {info}\n"),
        };
        stderr().line(text);
    }));
}
