//! The line in which symbols or alerts are typed. Pure: keys in, symbols or text out; what is none stays
//! to be mended.

use proto::{Symbol, text::is_printable};

/// More is not taken; no list that a person types is longer.
const MAX_CHARS: usize = 2_000;

/// What is typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Symbols to be added.
    #[default]
    Add,
    /// All alerts of a symbol, or all there are.
    Alerts(Option<Symbol>),
}

/// A line that is being edited.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    purpose: Purpose,
    text: Vec<char>,
    /// How many characters stand before the cursor.
    cursor: usize,
    error: Option<String>,
}

/// What a key does to the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    Insert(String),
    Left,
    Right,
    Home,
    End,
    Backspace,
    Delete,
    DeleteWord,
    DeleteToStart,
}

impl Prompt {
    /// With the alerts that there are, to be edited. `None` if that is too much for a line.
    pub(super) fn alerts(of: Option<Symbol>, text: &str) -> Option<Self> {
        let mut prompt = Self {
            purpose: Purpose::Alerts(of),
            ..Self::default()
        };
        prompt.insert(text);
        (prompt.text.len() == text.chars().count()).then_some(prompt)
    }

    pub(super) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// What stands before the line.
    pub(super) fn label(&self) -> String {
        match &self.purpose {
            Purpose::Add => "Add: ".to_owned(),
            Purpose::Alerts(None) => "Alerts: ".to_owned(),
            Purpose::Alerts(Some(symbol)) => format!("Alerts of {symbol}: "),
        }
    }

    /// What stands behind it, if there is room.
    pub(super) fn hint(&self) -> &'static str {
        match &self.purpose {
            Purpose::Add => "Enter: add, Esc: cancel",
            Purpose::Alerts(Some(_)) if self.text.is_empty() => "such as >250, $250 or -2%",
            Purpose::Alerts(_) => "Enter: set, Esc: cancel",
        }
    }

    /// All of the line.
    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// The line stays as it is, and this is what is wrong with it.
    pub(super) fn fail(&mut self, error: String) {
        self.error = Some(error);
    }

    pub(super) fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Insert(text) => self.insert(&text),
            Edit::Left => self.cursor = self.cursor.saturating_sub(1),
            Edit::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            Edit::Home => self.cursor = 0,
            Edit::End => self.cursor = self.text.len(),
            Edit::Backspace => self.delete_back_to(self.cursor.saturating_sub(1)),
            Edit::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
                self.error = None;
            }
            Edit::Delete => {}
            Edit::DeleteWord => {
                let before = &self.text[..self.cursor];
                let word = before.iter().rposition(|c| !is_between(*c)).unwrap_or(0);
                let start = before[..word].iter().rposition(|c| is_between(*c));
                self.delete_back_to(start.map_or(0, |start| start + 1));
            }
            Edit::DeleteToStart => self.delete_back_to(0),
        }
    }

    fn insert(&mut self, text: &str) {
        for c in text.chars().take(MAX_CHARS - self.text.len()) {
            // A pasted list may have one symbol on each line.
            let c = if c.is_whitespace() { ' ' } else { c };
            if is_printable(c.encode_utf8(&mut [0; 4])) {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
        }
        self.error = None;
    }

    fn delete_back_to(&mut self, start: usize) {
        self.text.drain(start..self.cursor);
        self.cursor = start;
        self.error = None;
    }

    /// The symbols of the line. What is none stays in it, and [`error`](Self::error) says why.
    pub(super) fn submit(&mut self) -> Vec<Symbol> {
        let text: String = self.text.iter().collect();
        let mut symbols = Vec::new();
        let mut wrong = Vec::new();
        self.error = None;
        for word in text.split(is_between).filter(|word| !word.is_empty()) {
            match word.parse() {
                Ok(symbol) => symbols.push(symbol),
                Err(error) => {
                    wrong.push(word);
                    self.error.get_or_insert_with(|| format!("{error}"));
                }
            }
        }
        self.text = wrong.join(" ").chars().collect();
        self.cursor = self.text.len();
        symbols
    }

    /// What was wrong with the line when it was submitted.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The text before the cursor, and that from it on.
    pub(super) fn halves(&self) -> (String, String) {
        let (before, after) = self.text.split_at(self.cursor);
        (before.iter().collect(), after.iter().collect())
    }
}

/// Whether it stands between symbols.
fn is_between(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.edit(Edit::Insert(text.to_owned()));
        prompt
    }

    /// The line with `|` for the cursor.
    fn line(prompt: &Prompt) -> String {
        let (before, after) = prompt.halves();
        format!("{before}|{after}")
    }

    #[test]
    fn the_line_is_edited_at_its_cursor() {
        let mut prompt = typed("AAPL TSLA");
        for (edit, expected) in [
            (Edit::Right, "AAPL TSLA|"),
            (Edit::Left, "AAPL TSL|A"),
            (Edit::Delete, "AAPL TSL|"),
            (Edit::Delete, "AAPL TSL|"),
            (Edit::Backspace, "AAPL TS|"),
            (Edit::DeleteWord, "AAPL |"),
            (Edit::Insert("é界".to_owned()), "AAPL é界|"),
            (Edit::Home, "|AAPL é界"),
            (Edit::Backspace, "|AAPL é界"),
            (Edit::DeleteWord, "|AAPL é界"),
            (Edit::Left, "|AAPL é界"),
            (Edit::Insert("X ".to_owned()), "X |AAPL é界"),
            (Edit::DeleteWord, "|AAPL é界"),
            (Edit::End, "AAPL é界|"),
            (Edit::DeleteToStart, "|"),
        ] {
            let said = format!("{edit:?}");
            prompt.edit(edit);
            assert_eq!(line(&prompt), expected, "{said}");
        }
    }

    #[test]
    fn several_symbols_are_taken_at_once() {
        let mut prompt = typed("aapl, brk.b\r\nTSLA");
        let symbols: Vec<_> = prompt.submit().iter().map(Symbol::to_string).collect();
        assert_eq!(symbols, ["AAPL", "BRK.B", "TSLA"]);
        assert_eq!((line(&prompt).as_str(), prompt.error()), ("|", None));
        assert!(typed(" , ").submit().is_empty());
    }

    #[test]
    fn what_is_no_symbol_stays_and_is_said_until_it_is_mended() {
        let mut prompt = typed("AAPL G$ TSLA");
        assert_eq!(prompt.submit().len(), 2);
        assert_eq!(line(&prompt), "G$|");
        let error = prompt.error().expect("an error");
        assert!(error.contains("\"G$\" cannot have '$'"), "{error}");
        prompt.edit(Edit::Backspace);
        assert_eq!(prompt.error(), None);
        assert_eq!(prompt.submit(), ["G".parse().expect("a symbol")]);
    }

    #[test]
    fn what_is_pasted_is_neither_endless_nor_obeyed() {
        let mut prompt = typed(&"\u{1b}[2J\u{202e}A".repeat(10_000));
        let (before, _) = prompt.halves();
        assert!(before.chars().count() <= MAX_CHARS);
        assert!(is_printable(&before));
        assert!(prompt.submit().is_empty());
        prompt.edit(Edit::Insert("A".repeat(MAX_CHARS)));
        prompt.edit(Edit::Insert("A".repeat(MAX_CHARS)));
    }
}
