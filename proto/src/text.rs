//! Text that came from somebody else: whether it may be carried, and how it may be shown.

/// Whether `c` is something that a terminal or a log would obey instead of showing: controls, and
/// what breaks lines or turns the direction of writing around.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether all of `text` is shown and nothing of it obeyed.
pub fn is_printable(text: &str) -> bool {
    !text.contains(is_obeyed)
}

/// `text` as part of one line: what would be obeyed is shown in escaped form.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_all_else_stays() {
        assert_eq!(
            one_line("a\nb\x1b[31m\u{202e}"),
            "a\\nb\\u{1b}[31m\\u{202e}"
        );
        assert_eq!(one_line("call \"звонок\\7\" ☎"), "call \"звонок\\7\" ☎");
    }

    #[test]
    fn letters_of_any_script_are_printable_and_controls_are_not() {
        assert!(is_printable("звонок-7 ☎"));
        for bad in ["a\nb", "\0", "\u{7f}", "\u{85}", "\u{2028}", "\u{202e}"] {
            assert!(!is_printable(bad), "{bad:?}");
        }
    }
}
