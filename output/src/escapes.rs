//! What may be written to a terminal beside plain text.

use std::{env, ffi::OsString};

/// Whether the terminal can do more than write line after line. On Unix one without a name (`TERM`
/// is not set) is taken for one that cannot.
pub fn understands_escapes() -> bool {
    can_more(env::var_os("TERM"))
}

fn can_more(term: Option<OsString>) -> bool {
    match term {
        Some(term) => !term.is_empty() && term != "dumb",
        None => cfg!(windows),
    }
}

/// Whether to write in colour to something that is a terminal, or is none: unless told otherwise
/// (<https://no-color.org>), or on one that has none.
pub fn colour(is_terminal: bool) -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !is_unwanted && understands_escapes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_is_dumb_or_unknown_gets_plain_lines() {
        assert!(can_more(Some("xterm-256color".into())));
        assert!(can_more(Some("linux".into())));
        assert!(!can_more(Some("dumb".into())));
        assert!(!can_more(Some("".into())));
        assert_eq!(can_more(None), cfg!(windows));
    }
}
