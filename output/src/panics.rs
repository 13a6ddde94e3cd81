//! The message of a panic, on the queue of stderr: the library's own hook writes at once, and a
//! reader that is stuck would hold the thread that panicked, with all that runs on it.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    thread,
    time::Duration,
};

use crate::stderr;

/// How long a thread that panicked waits until that is written.
const LAST_WORDS: Duration = Duration::from_millis(100);

thread_local! {
    /// Whether somebody waits for the words of a panic on this thread.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// The words of the newest panic that is contained.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What `work` returns.
///
/// # Errors
/// It panicked: the words of the panic and, once [`report_panics`] was called, its place. The caller
/// reports them; nothing is written here.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = IS_CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(outer);
    result.map_err(|payload| WORDS.take().unwrap_or_else(|| words(&*payload)))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}

/// From now on a panic on any thread is reported on [`stderr`], unless somebody [contains](contain) it.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        if IS_CONTAINED.get() {
            WORDS.set(Some(info.to_string()));
            return;
        }
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
    fn a_contained_panic_leaves_its_words_and_the_next_one_its_own() {
        for words in ["one", "two"] {
            let result = contain(|| -> u8 { panic!("panic {words}") });
            let said = result.unwrap_err();
            assert!(said.ends_with(&format!("panic {words}")), "{said}");
        }
        assert_eq!(contain(|| 3), Ok(3));
        let within = contain(|| contain(|| panic!("inner")).unwrap_err());
        assert!(within.is_ok_and(|words| words.ends_with("inner")));
    }

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
