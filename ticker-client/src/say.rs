//! Words for the person beside the quotes, on the standard error.

use std::{
    fmt,
    io::{self, Write},
};

/// One line more. Unlike `eprintln!`, does not panic when nobody reads it any more.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
