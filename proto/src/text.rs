//! Text that came from somebody else: whether it may be carried, and how it is shown.
//!
//! The one rule for screens, logs, statuses and JSON: a character is shown when it can be seen where
//! it stands and nothing obeys it. All others are shown in escaped form, `\n` or `\u{202e}`, so
//! nothing is hidden and nothing is lost. What is shown is cut by [`words`], [`excerpt`] and
//! [`quoted`].

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_width::UnicodeWidthChar;

/// Marks that one letter may carry. No language needs more; stacks of a hundred cover the lines above.
const MAX_MARKS: usize = 4;

/// The most of somebody else's sentence that is shown: four lines of a usual terminal.
const WORDS_COLUMNS: usize = 300;

/// The most of somebody else's name or value that a sentence of ours repeats.
const QUOTED_COLUMNS: usize = 60;

/// Whether a text may be an identifier on the wire: any but those with controls, and with what breaks
/// lines or turns the direction of writing around.
pub fn is_carried(text: &str) -> bool {
    !text.contains(is_obeyed)
}

/// Whether all of `text` is shown as it is.
pub fn is_printable(text: &str) -> bool {
    let mut line = Line::default();
    text.chars().all(|c| line.shows(c))
}

/// `text` as part of one line, however long.
pub fn one_line(text: &str) -> String {
    cleaned(text, usize::MAX)
}

/// `text` as lines: the same, but for its line feeds.
pub fn lines(text: &str) -> String {
    text.split('\n')
        .map(one_line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Somebody else's sentence as part of one line, cut to a length that people read.
pub fn words(text: &str) -> String {
    excerpt(text, WORDS_COLUMNS)
}

/// The beginning of `text` in at most so many columns, with an ellipsis where it does not end.
pub fn excerpt(text: &str, columns: usize) -> String {
    cleaned(text, columns)
}

/// Somebody else's name or value in quotes, short.
pub fn quoted(text: &str) -> String {
    let text = excerpt(text, QUOTED_COLUMNS);
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn cleaned(text: &str, columns: usize) -> String {
    let mut line = Line::default();
    let mut out = String::with_capacity(text.len().min(columns));
    let mut left = columns;
    // Where it is cut, if it has to be: the ellipsis needs a column.
    let mut cut = 0;
    for c in text.chars() {
        let before = out.len();
        let needed = if line.shows(c) {
            out.push(c);
            c.width().unwrap_or(0)
        } else {
            out.extend(c.escape_default());
            out.len() - before
        };
        if needed > left {
            out.truncate(cut);
            out.extend((columns > 0).then_some('…'));
            return out;
        }
        left -= needed;
        if left > 0 {
            cut = out.len();
        }
    }
    out
}

/// What a character is to whoever reads it.
enum Kind {
    /// It has columns of its own.
    Letter,
    /// It is drawn onto the letter before it.
    Mark,
    /// It is not seen, or obeyed.
    Hidden,
}

/// The line so far.
#[derive(Default)]
struct Line {
    /// How many more marks the newest letter may carry.
    marks_left: usize,
}

impl Line {
    /// Whether the next character is shown as it is.
    fn shows(&mut self, c: char) -> bool {
        match kind(c) {
            Kind::Letter => {
                self.marks_left = MAX_MARKS;
                true
            }
            Kind::Mark if self.marks_left > 0 => {
                self.marks_left -= 1;
                true
            }
            Kind::Mark | Kind::Hidden => {
                self.marks_left = 0;
                false
            }
        }
    }
}

fn kind(c: char) -> Kind {
    if matches!(c, ' '..='~') {
        return Kind::Letter;
    }
    // Controls, format characters (directions, joiners, tags), private use, and what is no character.
    let is_other = c.general_category_group() == GeneralCategoryGroup::Other;
    let is_separator = matches!(
        c.general_category(),
        GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
    );
    if is_other || is_separator || is_ignorable(c) {
        return Kind::Hidden;
    }
    match c.width() {
        Some(0) => Kind::Mark,
        _ => Kind::Letter,
    }
}

/// Of what Unicode calls default ignorable, that which is no format character: joiners, fillers and
/// variation selectors. A text may hide a thousand of them.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether `c` is something that a terminal or a log would obey: controls, and what breaks lines or
/// turns the direction of writing around.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must never be shown: some of each kind.
    const HOSTILE: [char; 42] = [
        '\0',
        '\n',
        '\r',
        '\t',
        '\u{7}',
        '\u{8}',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{ad}',
        '\u{34f}',
        '\u{600}',
        '\u{61c}',
        '\u{115f}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202c}',
        '\u{202e}',
        '\u{2060}',
        '\u{2064}',
        '\u{2066}',
        '\u{2069}',
        '\u{206f}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{fff9}',
        '\u{e000}',
        '\u{ffff}',
        '\u{1d173}',
        '\u{e0001}',
        '\u{e0041}',
        '\u{e0100}',
    ];

    #[test]
    fn what_is_obeyed_or_not_seen_is_escaped_and_all_else_stays() {
        assert_eq!(
            one_line("a\nb\x1b[31m\u{202e}"),
            "a\\nb\\u{1b}[31m\\u{202e}"
        );
        for text in [
            "call \"звонок\\7\" ☎",
            "שלום עליכם",
            "日本語　マイク",
            "e\u{301}\u{323}",
            "नमस्ते",
            "ภาษาไทยที่นี่",
            "👍🏽 🇩🇪",
        ] {
            assert_eq!(one_line(text), text);
            assert!(is_printable(text), "{text}");
        }
        for c in HOSTILE {
            for text in [format!("{c}"), format!("a{c}"), format!("日{c}本")] {
                let shown = one_line(&text);
                assert!(!shown.contains(c), "{c:?}: {shown:?}");
                assert!(is_printable(&shown) && !is_printable(&text), "{c:?}");
                assert!(shown.contains(&c.escape_default().to_string()), "{shown}");
            }
        }
    }

    #[test]
    fn a_letter_carries_a_few_marks_and_a_mark_without_a_letter_is_escaped() {
        let stack = format!("a{}", "\u{301}".repeat(1_000));
        let shown = one_line(&stack);
        assert_eq!(shown.matches('\u{301}').count(), MAX_MARKS);
        assert!(is_printable(&shown));
        assert_eq!(one_line("\u{301}a"), "\\u{301}a");
    }

    #[test]
    fn every_character_is_shown_in_columns_or_escaped() {
        for c in ('\0'..=char::MAX).filter(|c| !matches!(kind(*c), Kind::Mark)) {
            let shown = one_line(&c.to_string());
            let is_itself = shown == c.to_string();
            assert!(
                !is_itself || c.width().is_some_and(|columns| columns > 0),
                "{c:?}"
            );
            assert!(is_itself || shown.is_ascii(), "{c:?}");
        }
    }

    #[test]
    fn an_excerpt_has_its_columns_whatever_the_width_of_its_letters() {
        for (text, columns, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a\nb", 4, "a\\nb"),
            ("a\nbc", 4, "a\\n…"),
            ("ab\n", 3, "ab…"),
            ("e\u{301}e", 2, "e\u{301}e"),
            ("e\u{301}ee", 2, "e\u{301}…"),
            ("a", 0, ""),
            ("", 3, ""),
        ] {
            assert_eq!(excerpt(text, columns), shown, "{text:?} {columns}");
        }
        let hostile = "\x1b[31mred\r\n\u{202e}\u{301}\u{301}".repeat(10_000);
        for shown in [words(&hostile), quoted(&hostile)] {
            let columns: usize = shown.chars().filter_map(|c| c.width()).sum();
            assert!(columns <= WORDS_COLUMNS, "{columns}");
            assert!(is_printable(&shown), "{shown:?}");
        }
        assert_eq!(quoted("AAPL"), "\"AAPL\"");
        assert_eq!(quoted("a\" b"), "\"a\\\" b\"");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(lines("a\r\nb\u{7}\n"), "a\\r\nb\\u{7}\n");
    }

    #[test]
    fn an_identifier_may_be_in_any_script_but_not_obeyed() {
        for good in ["звонок-7 ☎", "👩\u{200d}👧", "می\u{200c}خواهم"] {
            assert!(is_carried(good), "{good}");
        }
        for bad in ["a\nb", "\0", "\u{7f}", "\u{85}", "\u{2028}", "\u{202e}"] {
            assert!(!is_carried(bad), "{bad:?}");
        }
    }
}
