//! Text files as editors write them: with or without a mark at the beginning, with the line ends of
//! any system. We read UTF-8; the error for another encoding names it.

/// What some editors begin a text in UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes are no text that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Two bytes a character, with the mark of that at the beginning or without.
    #[error("it is text in UTF-16 (some editors call that Unicode); save it as UTF-8")]
    Utf16,
    /// Something else than UTF-8 from that line on.
    #[error("line {line} is not text in UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// Lines count from 1.
        line: usize,
    },
}

/// The text of a file, or its first lines: without the mark at the beginning.
///
/// # Errors
/// [`TextError`]: it is in another encoding.
pub fn decode(bytes: &[u8]) -> Result<&str, TextError> {
    if is_utf16(bytes) {
        return Err(TextError::Utf16);
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| TextError::NotUtf8 {
        line: bytes
            .iter()
            .take(error.valid_up_to())
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1,
    })
}

/// By its mark, or by the zero in every other byte of what is ASCII otherwise.
fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        [0, first, 0, ..] | [first, 0, _, 0, ..] => *first != 0,
        _ => false,
    }
}

/// `text` with the line ends of this system: those of old Macintoshes (CR alone) become LF, and so do
/// those of Windows (CR LF).
pub fn with_line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes_of: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    #[test]
    fn a_mark_at_the_beginning_is_no_text() {
        assert_eq!(decode(b"\xEF\xBB\xBFAAPL\r\n"), Ok("AAPL\r\n"));
        assert_eq!(decode("é".as_bytes()), Ok("é"));
        assert_eq!(decode(b""), Ok(""));
        assert_eq!(decode(b"\xEF\xBB\xBF"), Ok(""));
    }

    #[test]
    fn utf_16_is_named_with_its_mark_and_without() {
        for text in ["\u{feff}AAPL\n", "AAPL\n", "AB"] {
            for bytes in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)] {
                assert_eq!(decode(&bytes), Err(TextError::Utf16), "{bytes:?}");
            }
        }
        // A zero alone does not make it UTF-16.
        assert_eq!(decode(b"A\0BC"), Ok("A\0BC"));
    }

    #[test]
    fn the_line_that_is_not_utf_8_is_named() {
        assert_eq!(
            decode(b"one\ntwo\nsch\xF6n\n"),
            Err(TextError::NotUtf8 { line: 3 })
        );
    }

    #[test]
    fn every_systems_line_ends_become_line_feeds() {
        assert_eq!(with_line_feeds("a\r\nb\rc\n\r\n"), "a\nb\nc\n\n");
    }
}
