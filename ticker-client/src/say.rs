//! Words for the person beside the quotes, on the standard error.

use std::fmt;

/// One line more. Whoever does not read it makes no quote wait.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    output::stderr().line(format!("{line}\n"));
}

/// The last words about changes that are kept nowhere.
pub(crate) fn say_unkept(arguments: &str) {
    say(format_args!(
        "The list was changed and is not kept. To have it again: ticker-client {arguments}"
    ));
}
