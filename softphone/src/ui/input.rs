//! What a terminal sends: bytes in, with the time; keys and the focus out. Pure.
//!
//! A sequence may come in pieces, over a network even byte by byte: what has come of it is kept until
//! the rest does, and no piece of it is a key.

use std::{mem, str, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use vte::{Params, Parser, Perform};

use super::keys::Input;

/// The rest of a sequence comes within this; otherwise what came was the key Esc, or one with Alt.
const SEQUENCE_TIMEOUT: Duration = Duration::from_millis(250);

/// Reads what a terminal sends.
#[derive(Default)]
pub struct InputDecoder {
    parser: Parser,
    inputs: Inputs,
    /// A character whose rest has not come. Given it so, the parser would lose the key behind it.
    begun: Vec<u8>,
    last: Duration,
}

impl InputDecoder {
    /// Takes `bytes`, and returns what is complete with them.
    pub fn decode(&mut self, bytes: &[u8], now: Duration) -> Vec<Input> {
        if now.saturating_sub(self.last) >= SEQUENCE_TIMEOUT {
            *self = Self::default();
        }
        self.last = now;
        let mut bytes = [mem::take(&mut self.begun).as_slice(), bytes].concat();
        self.begun = bytes.split_off(bytes.len() - begun(&bytes));
        self.parser.advance(&mut self.inputs, &bytes);
        mem::take(&mut self.inputs.complete)
    }
}

/// How many bytes at the end are the beginning of a longer character.
fn begun(bytes: &[u8]) -> usize {
    let end = bytes
        .utf8_chunks()
        .last()
        .map_or(&[][..], |chunk| chunk.invalid());
    match str::from_utf8(end) {
        Err(error) if error.error_len().is_none() => end.len(),
        _ => 0,
    }
}

#[derive(Default)]
struct Inputs {
    complete: Vec<Input>,
    /// What came says which key it is with the next character, and is none of ours.
    names_key: bool,
}

impl Inputs {
    fn press(&mut self, c: char) {
        let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
        self.complete.push(Input::Key(key));
    }

    /// A key in the way of kitty's protocol: `code:shifted ; 1 + modifiers:kind`, of which all but
    /// the code may be left out.
    fn kitty_key(&mut self, params: &Params) {
        const SHIFT: u16 = 1;
        const CONTROL: u16 = 4;
        /// Not the locks.
        const MODIFIERS: u16 = 63;
        let mut params = params.iter();
        let codes = params.next().unwrap_or_default();
        let modified = params.next().unwrap_or_default();
        let modifiers = modified.first().map_or(0, |bits| bits.saturating_sub(1));
        let kind = match modified.get(1) {
            Some(2) => KeyEventKind::Repeat,
            Some(3) => KeyEventKind::Release,
            _ => KeyEventKind::Press,
        };
        let code = match *codes {
            [_, shifted, ..] if modifiers & SHIFT != 0 && shifted != 0 => shifted,
            // Of the keypad.
            [57_412, ..] => '-' as u16,
            [57_413, ..] => '+' as u16,
            [code, ..] => code,
            [] => return,
        };
        let Some(c) = char::from_u32(code.into()) else {
            return;
        };
        // Only a terminal that grants all that we asked of it sends plain text so.
        if c == ' ' && modifiers & MODIFIERS == 0 && kind == KeyEventKind::Press {
            self.complete.push(Input::ReleasesReported);
        }
        let control = match modifiers & CONTROL {
            0 => KeyModifiers::NONE,
            _ => KeyModifiers::CONTROL,
        };
        let key = KeyEvent::new_with_kind(KeyCode::Char(c), control, kind);
        self.complete.push(Input::Key(key));
    }
}

impl Perform for Inputs {
    fn print(&mut self, c: char) {
        if !mem::take(&mut self.names_key) {
            self.press(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        let c = match byte {
            0x03 => 'c',
            0x1a => 'z',
            _ => return,
        };
        let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
        self.complete.push(Input::Key(key));
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, byte: u8) {
        self.names_key = byte == b'O';
        // A key with Alt, or one that follows Esc.
        if intermediates.is_empty() && !self.names_key {
            self.press(byte.into());
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
        if !intermediates.is_empty() {
            return;
        }
        match action {
            'O' => self.complete.push(Input::FocusLost),
            'u' => self.kitty_key(params),
            // F1 to F5 of Linux's console.
            '[' => self.names_key = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(c: char, kind: KeyEventKind) -> Input {
        let code = KeyCode::Char(c);
        Input::Key(KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind))
    }

    fn press(c: char) -> Input {
        key(c, KeyEventKind::Press)
    }

    fn decode(text: &str) -> Vec<Input> {
        InputDecoder::default().decode(text.as_bytes(), Duration::ZERO)
    }

    /// The same in two reads, wherever it is torn.
    fn decode_torn(text: &str) -> Vec<Vec<Input>> {
        let torn = |place| {
            let (one, two) = text.as_bytes().split_at(place);
            let mut decoder = InputDecoder::default();
            let mut inputs = decoder.decode(one, Duration::from_millis(100));
            inputs.extend(decoder.decode(two, Duration::from_millis(300)));
            inputs
        };
        (0..=text.len()).map(torn).collect()
    }

    #[test]
    fn a_report_of_the_focus_is_no_key_wherever_it_is_torn() {
        for inputs in decode_torn("m\x1b[Id\x1b[Oq") {
            let expected = [press('m'), press('d'), Input::FocusLost, press('q')];
            assert_eq!(inputs, expected);
        }
        // One byte at a time, and after Esc.
        let mut decoder = InputDecoder::default();
        let mut inputs = Vec::new();
        for byte in "\x1b\x1b[O\x1b[I".bytes() {
            inputs.extend(decoder.decode(&[byte], Duration::ZERO));
        }
        assert_eq!(inputs, [Input::FocusLost]);
    }

    #[test]
    fn no_key_is_lost_behind_a_character_that_is_torn() {
        for inputs in decode_torn("éH€q") {
            assert_eq!(inputs, ['é', 'H', '€', 'q'].map(press));
        }
    }

    #[test]
    fn kitty_keys_are_read_wherever_they_are_torn() {
        let [press_it, repeat, release] = [
            KeyEventKind::Press,
            KeyEventKind::Repeat,
            KeyEventKind::Release,
        ];
        for (text, c, kind) in [
            ("\x1b[109u", 'm', press_it),
            ("\x1b[32;1:2u", ' ', repeat),
            // Num lock is on.
            ("\x1b[32;129:3u", ' ', release),
            ("\x1b[47:63;2u", '?', press_it),
            ("\x1b[61:43;2:2u", '+', repeat),
            ("\x1b[57412u", '-', press_it),
            ("\x1b[57413u", '+', press_it),
        ] {
            for inputs in decode_torn(text) {
                assert_eq!(inputs, [key(c, kind)], "{text:?}");
            }
        }
    }

    #[test]
    fn a_plain_space_in_the_way_of_kitty_tells_that_releases_are_reported() {
        for text in ["\x1b[32u", "\x1b[32;1:1u", "\x1b[32;65u"] {
            assert_eq!(decode(text), [Input::ReleasesReported, press(' ')]);
        }
        assert_eq!(decode(" "), [press(' ')]);
        // With Ctrl others send it so, too.
        let code = KeyCode::Char(' ');
        let with_control = Input::Key(KeyEvent::new(code, KeyModifiers::CONTROL));
        assert_eq!(decode("\x1b[32;5u"), [with_control]);
    }

    #[test]
    fn keys_that_are_not_ours_are_no_others() {
        // Home, F4 on three terminals, Enter of the keypad, Delete, Enter, Tab, Backspace, Esc.
        for text in [
            "\x1b[H",
            "\x1bOH",
            "\x1bOS",
            "\x1b[S",
            "\x1b[[D",
            "\x1bOM",
            "\x1b[3~",
            "\r",
            "\t",
            "\x08",
            "\x1b",
            "\x1b[1;1:3H",
            "\x1b[?15u",
            "\x1b[?62c",
        ] {
            assert_eq!(decode(text), [], "{text:?}");
        }
    }

    #[test]
    fn control_c_and_control_z_are_one_in_both_ways() {
        for (c, texts) in [
            ('c', ["\x03", "\x1b[99;5u"]),
            ('z', ["\x1a", "\x1b[122;5u"]),
        ] {
            let key = Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
            for text in texts {
                assert_eq!(decode(text), std::slice::from_ref(&key), "{text:?}");
            }
        }
    }

    #[test]
    fn what_was_begun_and_does_not_go_on_swallows_no_key() {
        // Esc; Alt with a key that begins what would go on for ever.
        for begun in ["\x1b", "\x1b[", "\x1bO", "\x1bP", "\x1b]", "\x1b_"] {
            let mut decoder = InputDecoder::default();
            decoder.decode(begun.as_bytes(), Duration::from_secs(1));
            let inputs = decoder.decode(b" ", Duration::from_millis(1_250));
            assert_eq!(inputs, [press(' ')], "{begun:?}");
        }
    }
}
