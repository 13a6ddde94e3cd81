//! Text in a given number of columns. Pure.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands between two parts of a line, and between two columns.
const SPACE: &str = "  ";

/// A piece of a line, of which the less important give way on a narrow terminal.
#[derive(Debug)]
pub struct Part {
    importance: u8,
    text: String,
    short: Option<String>,
    /// Columns that are left of it when its end is cut off; `None`: it is not cut.
    min_columns: Option<usize>,
}

impl Part {
    /// The higher `importance`, the longer it stays.
    pub fn new(importance: u8, text: impl Into<String>) -> Self {
        Self {
            importance,
            text: text.into(),
            short: None,
            min_columns: None,
        }
    }

    /// With `short` instead of the text before it goes altogether.
    pub fn or(self, short: impl Into<String>) -> Self {
        Self {
            short: Some(short.into()),
            ..self
        }
    }

    /// Cut to what there is room for, before it goes altogether; but not to less than `columns`.
    pub fn cut_to(self, columns: usize) -> Self {
        Self {
            min_columns: Some(columns),
            ..self
        }
    }
}

/// Columns that `text` takes.
pub fn columns_of(text: &str) -> usize {
    text.width()
}

/// As many of `parts` as fit into `width` columns, in their order: the least important are shortened
/// first, then left out. The last one is cut.
pub fn fit(mut parts: Vec<Part>, width: usize) -> String {
    loop {
        let excess = columns_of(&joined(&parts)).saturating_sub(width);
        if excess == 0 || parts.len() <= 1 {
            break;
        }
        let least = (0..parts.len()).min_by_key(|&index| parts[index].importance);
        let least = least.unwrap_or(0);
        let part = &mut parts[least];
        let room = columns_of(&part.text).saturating_sub(excess);
        if let Some(short) = part.short.take() {
            part.text = short;
        } else if part.min_columns.take().is_some_and(|min| room >= min) {
            part.text = cut(&part.text, room);
        } else {
            parts.remove(least);
        }
    }
    cut(joined(&parts).trim_end(), width)
}

fn joined(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    texts.join(SPACE)
}

/// The beginning of `text`, with an ellipsis where it does not fit.
pub fn cut(text: &str, width: usize) -> String {
    if columns_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        cut.push(c);
    }
    cut.extend((width > 0).then_some('…'));
    cut
}

/// `text` in lines of `width` columns, broken between words; each line but the first begins like the
/// first, with its blanks and `hanging` more. A word that is longer than a line is cut into pieces.
pub fn wrap(text: &str, width: usize, hanging: usize) -> Vec<String> {
    if columns_of(text) <= width {
        return vec![text.to_owned()];
    }
    let width = width.max(1);
    let begin = text.len() - text.trim_start_matches(' ').len();
    let indent = |line: usize| match line {
        0 => begin,
        _ => begin + hanging,
    };
    // On the narrowest there is no room for order.
    let indent = |line| indent(line).min(width / 4);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && columns_of(&line) + 1 + columns_of(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        line += &match line.is_empty() {
            true => " ".repeat(indent(lines.len())),
            false => " ".to_owned(),
        };
        for c in word.chars() {
            if columns_of(&line) + c.width().unwrap_or(0) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// `cells` side by side, as many as fit, in columns of one width, row by row.
pub fn table(cells: &[String], width: usize) -> Vec<String> {
    let cell_width = cells.iter().map(|cell| columns_of(cell)).max().unwrap_or(0);
    let per_row = (width + SPACE.len()) / (cell_width + SPACE.len());
    let rows = cells.chunks(per_row.max(1)).map(|row| {
        let padded: Vec<String> = row
            .iter()
            .map(|cell| format!("{cell}{}", " ".repeat(cell_width - columns_of(cell))))
            .collect();
        cut(padded.join(SPACE).trim_end(), width)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_part_is_shortened_then_left_out() {
        let parts = || {
            vec![
                Part::new(3, "in call"),
                Part::new(2, "delay 50 ms").or("50 ms"),
                Part::new(1, "MOS 4"),
            ]
        };
        assert_eq!(fit(parts(), 99), "in call  delay 50 ms  MOS 4");
        assert_eq!(fit(parts(), 26), "in call  delay 50 ms");
        assert_eq!(fit(parts(), 19), "in call  50 ms");
        assert_eq!(fit(parts(), 13), "in call");
        assert_eq!(fit(parts(), 5), "in c…");
        assert_eq!(fit(parts(), 0), "");
    }

    #[test]
    fn a_part_that_may_be_cut_takes_the_room_that_is_left() {
        let parts = || {
            vec![
                Part::new(1, "Loudspeakers").cut_to(5),
                Part::new(2, "+6 dB"),
            ]
        };
        assert_eq!(fit(parts(), 19), "Loudspeakers  +6 dB");
        assert_eq!(fit(parts(), 16), "Loudspea…  +6 dB");
        assert_eq!(fit(parts(), 12), "Loud…  +6 dB");
        assert_eq!(fit(parts(), 11), "+6 dB");
    }

    #[test]
    fn text_is_broken_between_words_only() {
        let text = "  of which capture device 4.0, framing 10.0";
        assert_eq!(wrap(text, 80, 2), [text]);
        assert_eq!(
            wrap(text, 20, 2),
            ["  of which capture", "    device 4.0,", "    framing 10.0"]
        );
        assert_eq!(
            wrap("a verylongword b", 6, 0),
            ["a", "verylo", "ngword", "b"]
        );
        assert_eq!(wrap("", 10, 0), [""]);
        assert_eq!(wrap("日本 日本語", 6, 0), ["日本", "日本語"]);
    }

    #[test]
    fn cells_stand_in_columns() {
        let cells = ["a 1", "long 22", "c 3"].map(str::to_owned);
        assert_eq!(table(&cells, 30), ["a 1      long 22  c 3"]);
        assert_eq!(table(&cells, 16), ["a 1      long 22", "c 3"]);
        assert_eq!(table(&cells, 5), ["a 1", "long…", "c 3"]);
        assert!(table(&[], 5).is_empty());
    }
}
