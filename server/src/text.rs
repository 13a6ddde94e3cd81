//! A peer's text as a message or a log repeats it.

/// The most of a peer's text that a message repeats.
const EXCERPT_CHARS: usize = 60;

/// A peer's text in quotes, escaped and cut to a length that fits a line.
pub fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(EXCERPT_CHARS).collect();
    let cut = if chars.next().is_some() { "…" } else { "" };
    format!("\"{}{cut}\"", head.escape_debug())
}

#[cfg(test)]
mod tests {
    use proto::text::is_printable;

    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line_whatever_came() {
        let hostile = "\x1b[31mred\r\nfake log line\u{202e}".repeat(1_000);
        let shown = excerpt(&hostile);
        assert!(shown.len() < 600, "{}", shown.len());
        assert!(is_printable(&shown), "{shown}");
        assert_eq!(excerpt("AAPL"), "\"AAPL\"");
    }
}
