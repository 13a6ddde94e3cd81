//! What a terminal sends to the softphone: torn anywhere it means the same, it holds no memory, and
//! after a pause the next key is a key.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use softphone::ui::{Input, InputDecoder};

/// Longer than any sequence is waited for.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(bytes: &[u8]) -> String {
    // The first byte says how it is torn.
    let (torn, bytes) = match bytes.split_first() {
        Some((first, rest)) => (usize::from(*first) + 1, rest),
        None => (1, bytes),
    };
    let mut decoder = InputDecoder::default();
    let whole = decoder.decode(bytes, Duration::ZERO);
    assert!(whole.len() <= 2 * bytes.len(), "{} inputs", whole.len());

    let mut pieces = InputDecoder::default();
    let mut inputs = Vec::new();
    for piece in bytes.chunks(torn) {
        inputs.extend(pieces.decode(piece, Duration::ZERO));
    }
    // Of what is no UTF-8, torn or not, only the number of its marks differs; they are nobody's keys.
    let keys = |inputs: &[Input]| -> Vec<Input> {
        let marks = KeyCode::Char(char::REPLACEMENT_CHARACTER);
        let is_mark = |input: &&Input| matches!(input, Input::Key(key) if key.code == marks);
        inputs
            .iter()
            .filter(|input| !is_mark(input))
            .cloned()
            .collect()
    };
    assert_eq!(keys(&inputs), keys(&whole), "torn after each {torn} bytes");

    let quit = Input::Key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE));
    assert_eq!(decoder.decode(b"q", PAUSE), [quit], "after a pause");

    let has = |wanted: fn(&Input) -> bool| whole.iter().any(wanted);
    format!(
        "{} inputs, focus {}, releases {}, modified {}",
        whole.len().next_power_of_two(),
        has(|input| *input == Input::FocusLost),
        has(|input| *input == Input::ReleasesReported),
        has(|input| matches!(input, Input::Key(key) if !key.modifiers.is_empty())),
    )
}
