//! Symbols as people type them: several on a line, with commas or blanks, in any case; while it
//! runs, with `+` or nothing before one that is added, and `-` before one that is dropped.
//!
//! A line of the standard input that begins with `#` says nothing.
//!
//! A mistake on the command line ends the program before it connects; one on the standard input is
//! said and forgotten, because quotes that run must not stop for a typo.

use std::mem;

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt},
    sync::mpsc,
};

use proto::{
    Symbol, SymbolError,
    text_file::{self, TextError},
};

use crate::{change::Change, say::say};

/// A longer line is read in pieces, so that one without an end holds no memory.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The symbols of the command line, each argument one or more of them.
///
/// # Errors
///
/// What is wrong with the first that is none.
pub(crate) fn symbols_of_args(args: &[String]) -> Result<Vec<Symbol>, SymbolError> {
    let mut symbols = Vec::new();
    for arg in args {
        let before = symbols.len();
        for word in words(arg) {
            symbols.push(word.parse()?);
        }
        if symbols.len() == before {
            return Err(SymbolError::Empty);
        }
    }
    Ok(symbols)
}

/// Sends on what is read from `input` until its end, and says on stderr what is no symbol.
pub(crate) async fn read_changes<I>(mut input: I, changes_tx: mpsc::Sender<Change>)
where
    I: AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    let mut is_comment = false;
    let mut is_first = true;
    loop {
        let is_new_line = line.last().is_none_or(|&byte| byte == b'\n');
        line.clear();
        let mut piece = (&mut input).take(MAX_LINE_BYTES);
        // An input that cannot be read has no more symbols than one that has ended.
        if piece.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if mem::take(&mut is_first) {
            match text_file::decode(&line) {
                Ok(text) => line = text.as_bytes().to_vec(),
                Err(error @ TextError::Utf16) => {
                    say(format_args!("the input cannot be read: {error}"));
                    return;
                }
                // Only the words that it is in are none.
                Err(TextError::NotUtf8 { .. }) => {}
            }
        }
        if is_new_line {
            is_comment = line.trim_ascii_start().starts_with(b"#");
        }
        if is_comment {
            continue;
        }
        for word in words(&String::from_utf8_lossy(&line)) {
            match change(word) {
                Ok(change) => {
                    if changes_tx.send(change).await.is_err() {
                        return;
                    }
                }
                Err(error) => say(format_args!("neither added nor dropped: {error}")),
            }
        }
    }
}

fn change(word: &str) -> Result<Change, SymbolError> {
    match word.strip_prefix('-') {
        Some(symbol) => symbol.parse().map(Change::Drop),
        None => {
            let symbol = word.strip_prefix('+').unwrap_or(word);
            symbol.parse().map(Change::Add)
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_args(args: &[&str]) -> Result<Vec<String>, SymbolError> {
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let symbols = symbols_of_args(&args)?;
        Ok(symbols.iter().map(ToString::to_string).collect())
    }

    /// What is made of a text, `+` for what is added.
    async fn typed(text: &[u8]) -> Vec<String> {
        let (changes_tx, mut changes_rx) = mpsc::channel(4);
        let input = std::io::Cursor::new(text.to_vec());
        let reader = tokio::spawn(read_changes(input, changes_tx));
        let mut changes = Vec::new();
        while let Some(change) = changes_rx.recv().await {
            changes.push(match change {
                Change::Add(symbol) => format!("+{symbol}"),
                Change::Drop(symbol) => format!("-{symbol}"),
            });
        }
        reader.await.expect("the reader does not panic");
        changes
    }

    #[test]
    fn arguments_may_hold_several_symbols() {
        let symbols = of_args(&["aapl", "GOOGL,tsla", "brk.b, v"]).expect("symbols");
        assert_eq!(symbols, ["AAPL", "GOOGL", "TSLA", "BRK.B", "V"]);
    }

    #[test]
    fn one_bad_argument_refuses_all() {
        assert_eq!(of_args(&["AAPL", ""]), Err(SymbolError::Empty));
        assert_eq!(of_args(&[" , "]), Err(SymbolError::Empty));
        assert!(of_args(&["AAPL", "G$"]).is_err());
    }

    #[tokio::test]
    async fn a_typo_does_not_stop_the_next_symbol() {
        let symbols = typed(b"nvda, $$$ msft\r\n\n\xff\xfe bf-b\nlast").await;
        assert_eq!(symbols, ["+NVDA", "+MSFT", "+BF-B", "+LAST"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_read_in_pieces() {
        let mut text = vec![b' '; 3 * MAX_LINE_BYTES as usize];
        text.extend_from_slice(b" AAPL");
        assert_eq!(typed(&text).await, ["+AAPL"]);
    }

    #[tokio::test]
    async fn a_comment_is_no_symbol_however_long() {
        assert_eq!(typed(b"# comment\nF\n #AAPL\n\nT").await, ["+F", "+T"]);
        let mut text = b"# ".repeat(MAX_LINE_BYTES as usize);
        text.extend_from_slice(b" AAPL\nTSLA\n");
        assert_eq!(typed(&text).await, ["+TSLA"]);
    }

    #[tokio::test]
    async fn a_sign_says_whether_it_is_added_or_dropped() {
        let changes = typed(b"+tsla -AAPL, -bf-b,f - + -- +-A\n-F").await;
        assert_eq!(changes, ["+TSLA", "-AAPL", "-BF-B", "+F", "-F"]);
    }
}
