//! Text for people whose locale knows no UTF-8: in ASCII, where it would come out as a jumble of
//! other characters. What programs read (JSON, CSV) is UTF-8 everywhere and does not pass here.

use std::{borrow::Cow, env, sync::LazyLock};

/// Whether the locale's characters are UTF-8, as `LC_ALL`, `LC_CTYPE` and `LANG` say. Without any of
/// them the locale is `C`, which knows only ASCII.
pub fn is_utf8() -> bool {
    static IS_UTF8: LazyLock<bool> = LazyLock::new(|| {
        // Windows' console takes all characters, whatever these say.
        cfg!(windows) || names_utf8(|name| env::var(name).ok())
    });
    *IS_UTF8
}

/// The first of them that is not empty decides.
fn names_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let name = locale.to_ascii_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}

/// `text` as the locale can show it.
pub fn text(text: &str) -> Cow<'_, str> {
    match is_utf8() {
        true => text.into(),
        false => ascii(text),
    }
}

/// `line` as the locale can show it, each character in its place: for what is laid out in columns.
pub fn columns(line: &str) -> Cow<'_, str> {
    match is_utf8() || line.is_ascii() {
        true => line.into(),
        false => line.chars().map(ascii_char).collect(),
    }
}

/// `text` in ASCII. Letters of other scripts become `?`.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => shown.push_str("..."),
            '→' => shown.push_str("->"),
            '±' => shown.push_str("+/-"),
            '≤' => shown.push_str("<="),
            '≥' => shown.push_str(">="),
            c => shown.push(ascii_char(c)),
        }
    }
    shown.into()
}

/// One character for one.
pub fn ascii_char(c: char) -> char {
    match c {
        c if c.is_ascii() => c,
        '…' => '~',
        // A rise and a fall; directions.
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '→' => '>',
        '←' => '<',
        // Levels, from the lowest to the highest.
        '▁' => '_',
        '▂' => '.',
        '▃' => '-',
        '▄' => '=',
        '▅' => '+',
        '▆' => '*',
        '▇' => '%',
        '█' => '#',
        '·' => '.',
        // Frames.
        '─' | '━' | '═' | '–' | '—' | '−' => '-',
        '│' | '┃' | '║' => '|',
        '\u{2500}'..='\u{257f}' => '+',
        'µ' | 'μ' => 'u',
        '×' => 'x',
        '‘' | '’' => '\'',
        '“' | '”' | '„' => '"',
        '\u{a0}' => ' ',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(variables: &[(&str, &str)]) -> bool {
        names_utf8(|name| {
            let variable = variables.iter().find(|(known, _)| *known == name);
            variable.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_not_empty_names_the_locale() {
        for (variables, is_utf8) in [
            (&[][..], false),
            (&[("LANG", "C.UTF-8")], true),
            (&[("LANG", "de_DE.utf8")], true),
            (&[("LANG", "de_DE")], false),
            (&[("LANG", "de_DE.ISO-8859-15@euro")], false),
            (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], false),
            (&[("LC_ALL", "POSIX"), ("LC_CTYPE", "en_US.UTF-8")], false),
            (&[("LC_ALL", ""), ("LANG", "en_US.UTF-8")], true),
            (&[("LC_CTYPE", "UTF-8"), ("LANG", "C")], true),
            (&[("LC_CTYPE", "C"), ("LANG", "en_US.UTF-8")], false),
        ] {
            assert_eq!(locale(variables), is_utf8, "{variables:?}");
        }
    }

    #[test]
    fn what_we_write_has_a_form_in_ascii() {
        assert_eq!(
            ascii("connecting … 2.5 µs → ±3"),
            "connecting ... 2.5 us -> +/-3"
        );
        assert_eq!(ascii("звонок é"), "?????? ?");
        let laid_out = "██│··· ▲▼ ┌─┐ ▁█ ↑ a…";
        let shown: String = laid_out.chars().map(ascii_char).collect();
        assert_eq!(shown, "##|... ^v +-+ _# ^ a~");
    }
}
