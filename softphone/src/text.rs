//! Text that came from somebody else, as it may be put on a terminal.

/// `text` as part of one line: line feeds, escape sequences and what turns the writing direction
/// around are shown, not done.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn controls_are_shown_and_all_else_stays() {
        assert_eq!(
            one_line("a\nb\x1b[31m\u{202e}"),
            "a\\nb\\u{1b}[31m\\u{202e}"
        );
        assert_eq!(one_line("call \"звонок\\7\" ☎"), "call \"звонок\\7\" ☎");
    }
}
