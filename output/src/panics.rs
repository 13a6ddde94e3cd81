//! The message of a panic, on the queue of stderr: the library's own hook writes at once, and a
//! reader that is stuck would hold the thread that panicked, with all that runs on it.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic, thread,
    time::Duration,
};

use crate::stderr;

/// How long a thread that panicked waits until that is written.
const LAST_WORDS: Duration = Duration::from_millis(100);

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
        // A panic may end the program at once, with all that waits; a reader that is stuck costs this much.
        let _ = stderr().finish(LAST_WORDS);
    }));
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    /// Set in the process that panics.
    const ABORTS: &str = "OUTPUT_TEST_ABORTS";

    #[test]
    fn the_message_of_a_panic_that_aborts_is_written() {
        if env::var_os(ABORTS).is_some() {
            report_panics();
            let _ = panic::catch_unwind(|| panic!("last words"));
            process::abort();
        }
        let name = "panics::tests::the_message_of_a_panic_that_aborts_is_written";
        let child = process::Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(ABORTS, "1")
            .output()
            .unwrap();
        assert!(!child.status.success());
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(said.contains("last words"), "{said}");
    }
}
