//! Text that came from a peer: what may be carried, and how it is shown in a message or a log.

/// The most of a peer's text that a message repeats.
const EXCERPT_CHARS: usize = 60;

/// Whether `text` holds no control characters, neither the ASCII ones nor those that turn lines
/// or writing direction around.
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// A peer's text in quotes, escaped and cut to a length that fits a line.
pub fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(EXCERPT_CHARS).collect();
    let cut = if chars.next().is_some() { "…" } else { "" };
    format!("\"{}{cut}\"", head.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line_whatever_came() {
        let hostile = "\x1b[31mred\r\nfake log line\u{202e}".repeat(1_000);
        let shown = excerpt(&hostile);
        assert!(shown.len() < 600, "{}", shown.len());
        assert!(is_printable(&shown), "{shown}");
        assert_eq!(excerpt("AAPL"), "\"AAPL\"");
    }

    #[test]
    fn letters_of_any_script_are_printable_and_controls_are_not() {
        assert!(is_printable("звонок-7 ☎"));
        for bad in ["a\nb", "\0", "\u{7f}", "\u{85}", "\u{2028}", "\u{202e}"] {
            assert!(!is_printable(bad), "{bad:?}");
        }
    }
}
