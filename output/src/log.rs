//! Lines of a log on stderr, by the rule of [`proto::text`]: also what a library logs of a peer. Only
//! the colours of the log's own making are obeyed.

use std::io::{self, Write};

use proto::text::excerpt;

use crate::{Output, stderr};

/// No line of a log has more columns. Our own have a few hundred; a library's may repeat all that came.
const MAX_COLUMNS: usize = 2_000;

/// Takes each write as one line of a log.
#[derive(Debug)]
pub struct LogLines(&'static Output);

/// The program's log.
pub fn log() -> LogLines {
    LogLines(stderr())
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(cleaned(&String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cleaned(line: &str) -> String {
    let mut rest = line.strip_suffix('\n').unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut left = MAX_COLUMNS;
    loop {
        let (text, colour) = next_colour(rest);
        let text_shown = excerpt(text, left);
        // Escapes are ASCII, and all else has at least as many bytes as columns.
        left = left.saturating_sub(text_shown.len());
        out += &text_shown;
        out += colour;
        if colour.is_empty() {
            break;
        }
        rest = &rest[text.len() + colour.len()..];
    }
    out.push('\n');
    out
}

/// The text before the next colour, and the colour: `ESC [ 3 1 m`; empty where there is none any more.
fn next_colour(text: &str) -> (&str, &str) {
    const BEGIN: &str = "\x1b[";
    for (at, _) in text.match_indices(BEGIN) {
        let code =
            text[at + BEGIN.len()..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        let end = text.len() - code.len() + 1;
        if code.starts_with('m') && end - at < 16 {
            return (&text[..at], &text[at..end]);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_colours_and_nothing_else_that_is_obeyed() {
        for (line, shown) in [
            ("plain\n", "plain\n"),
            (
                "\x1b[2mtime\x1b[0m \x1b[32m INFO\x1b[0m said \x1b[2J\u{202e}x\ny\n",
                "\x1b[2mtime\x1b[0m \x1b[32m INFO\x1b[0m said \\u{1b}[2J\\u{202e}x\\ny\n",
            ),
            ("\x1b[1;31mred", "\x1b[1;31mred\n"),
            ("\x1b[", "\\u{1b}[\n"),
            ("\x1b[31\x1b[0m", "\\u{1b}[31\x1b[0m\n"),
        ] {
            assert_eq!(cleaned(line), shown);
        }
    }

    #[test]
    fn no_line_fills_a_screen() {
        for part in ["x", "\x1b[0mx", "日", "\u{1b}"] {
            let line = cleaned(&part.repeat(100_000));
            let text = line.replace("\x1b[0m", "");
            assert!(text.chars().count() <= MAX_COLUMNS + 1, "{}", text.len());
        }
    }
}
