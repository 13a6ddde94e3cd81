//! Words for the person beside the quotes, on the standard error.

use std::fmt;

/// One line more. Whoever does not read it makes no quote wait.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    output::stderr().line(format!("{line}\n"));
}
