//! The help: its lines at any width, and which of them are seen. Pure.

use super::keys::{self, Select};
use crate::watchlist::Move;

/// The width of a key and the blank behind it.
const KEY_WIDTH: usize = 12;

/// A narrower help has each key on a line of its own.
const MIN_WIDTH: usize = 30;

/// What the marks of the table mean.
const LEGEND: [(&str, &str); 5] = [
    ("▲ ▼ =", "against the previous close"),
    ("!", "an alert's condition holds"),
    ("dim", "from before the connection was lost"),
    ("Age", "since it came (>: or older)"),
    (
        "narrow",
        "on a narrow screen these go first: name, trend, bid and ask, volume, change, age, %",
    ),
];

/// Which part of the help is seen.
#[derive(Debug, Default)]
pub(super) struct Help {
    top: usize,
    /// As of the last picture: the lines seen, and how many there are.
    page: usize,
    lines: usize,
}

impl Help {
    pub(super) fn scroll(&mut self, select: Select) {
        let top = match select {
            Select::To(Move::Up(lines)) => self.top.saturating_sub(lines),
            Select::To(Move::Down(lines)) => self.top.saturating_add(lines),
            Select::To(Move::First) => 0,
            Select::To(Move::Last) => usize::MAX,
            Select::PageUp => self.top.saturating_sub(self.page),
            Select::PageDown => self.top.saturating_add(self.page),
        };
        self.top = top.min(self.lines.saturating_sub(self.page));
    }

    /// The lines that a window of this size shows, the first of them by its number from 0, and how many
    /// there are.
    pub(super) fn visible(&mut self, width: usize, height: usize) -> (Vec<String>, usize, usize) {
        let mut lines = lines(width);
        self.page = height.max(1);
        self.lines = lines.len();
        self.top = self.top.min(self.lines.saturating_sub(self.page));
        let shown = lines.drain(self.top..).take(height).collect();
        (shown, self.top, self.lines)
    }
}

fn lines(width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, does) in keys::HELP {
        entry(&mut lines, key, does, width);
    }
    lines.push(String::new());
    for (mark, means) in LEGEND {
        entry(&mut lines, mark, means, width);
    }
    lines
}

fn entry(lines: &mut Vec<String>, key: &str, does: &str, width: usize) {
    let is_narrow = width < MIN_WIDTH;
    let indent = if is_narrow { 3 } else { KEY_WIDTH + 1 };
    let words = wrapped(does, width.saturating_sub(indent).max(1));
    if is_narrow {
        lines.push(format!(" {key}"));
    }
    for (n, text) in words.into_iter().enumerate() {
        lines.push(match n {
            0 if !is_narrow => format!(" {key:<KEY_WIDTH$}{text}"),
            _ => format!("{:indent$}{text}", ""),
        });
    }
}

/// The words, as many on a line as there is room for.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_lost_at_any_width() {
        let words = |lines: Vec<String>| {
            let mut words: Vec<_> = lines
                .iter()
                .flat_map(|line| line.split_whitespace().map(str::to_owned))
                .collect();
            words.sort();
            words
        };
        let all = words(lines(100));
        for width in 16..100 {
            assert_eq!(words(lines(width)), all, "{width}");
            for line in lines(width) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn every_line_can_be_reached_and_no_farther() {
        for (width, height) in [(38, 7), (48, 30), (20, 1)] {
            let all = lines(width);
            let mut help = Help::default();
            let mut seen = Vec::new();
            loop {
                let (shown, top, count) = help.visible(width, height);
                assert_eq!((count, top), (all.len(), help.top));
                seen.truncate(top);
                seen.extend(shown);
                let before = help.top;
                help.scroll(Select::PageDown);
                if help.top == before {
                    break;
                }
            }
            assert_eq!(seen, all, "{width}x{height}");
            help.scroll(Select::To(Move::Down(1)));
            help.scroll(Select::To(Move::Up(1)));
            let last = all.len().saturating_sub(height);
            assert_eq!(help.top, last.saturating_sub(1));
            help.scroll(Select::To(Move::First));
            assert_eq!(help.top, 0);
        }
    }
}
