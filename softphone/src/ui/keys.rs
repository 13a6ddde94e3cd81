//! What a key means. Pure: what the terminal sends in, with the time; wishes out.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Where a terminal does not tell a key that is held from one that is pressed often, presses that
/// follow so soon are the former.
const REPEAT_WITHIN: Duration = Duration::from_millis(150);

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Mute, or unmute.
    Mute,
    /// Unmute until [`Key::TalkEnd`].
    Talk,
    /// The space bar, where it is not known yet whether its release will be reported: mute, or
    /// unmute. [`Key::Talk`] or [`Key::TalkEnd`] follows where it will.
    TalkOrMute,
    /// As it was before the space bar was pressed.
    TalkEnd,
    /// Play the far end louder.
    Louder,
    /// Play it more quietly.
    Quieter,
    /// Say where the time goes, or no longer.
    Details,
    /// Be on hold, or come back.
    Hold,
    /// A key of a telephone, for the others in the call.
    Dtmf(char),
    /// List the keys, or no longer.
    Help,
    /// Stop, as any program does at Ctrl-Z, until the shell lets us go on.
    Suspend,
    /// Hang up.
    HangUp,
}

/// What a terminal sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// Whatever key is held will be let go elsewhere, and not be reported.
    FocusLost,
    /// Of each key that is pressed from now on, the release will be reported.
    ReleasesReported,
}

/// Reads keys one by one.
#[derive(Debug, Default)]
pub(super) struct KeyReader {
    /// The terminal tells when a key is let go, as it has done so before or is known to.
    reports_releases: bool,
    /// The space bar is known to be held.
    is_held: bool,
    space_pressed: Option<Duration>,
    /// What the space bar means was not known when it was pressed.
    is_unsure: bool,
}

impl KeyReader {
    /// What the input means, if anything. The space key is push-to-talk where releases are reported,
    /// otherwise it mutes and unmutes.
    pub(super) fn read(&mut self, input: &Input, now: Duration) -> Option<Key> {
        match input {
            Input::Key(key) => self.key(key, now),
            // A press that was not known to be held may have been a tap, which stays.
            Input::FocusLost => std::mem::take(&mut self.is_held).then_some(Key::TalkEnd),
            Input::ReleasesReported => {
                self.reports_releases = true;
                None
            }
        }
    }

    fn key(&mut self, key: &KeyEvent, now: Duration) -> Option<Key> {
        // Only such a terminal tells a repetition from a press.
        self.reports_releases |= key.kind != KeyEventKind::Press;
        if key.code == KeyCode::Char(' ') {
            return self.space(key.kind, now);
        }
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.is_unsure = false;
        match key.code {
            KeyCode::Char('+' | '=') => return Some(Key::Louder),
            KeyCode::Char('-' | '_') => return Some(Key::Quieter),
            _ if key.kind == KeyEventKind::Repeat => return None,
            _ => {}
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Key::HangUp)
            }
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Key::Suspend)
            }
            KeyCode::Char('q' | 'Q') => Some(Key::HangUp),
            KeyCode::Char('m' | 'M') => Some(Key::Mute),
            KeyCode::Char('d' | 'D') => Some(Key::Details),
            KeyCode::Char('h' | 'H') => Some(Key::Hold),
            KeyCode::Char(digit @ ('0'..='9' | '*' | '#')) => Some(Key::Dtmf(digit)),
            KeyCode::Char('?') => Some(Key::Help),
            _ => None,
        }
    }

    fn space(&mut self, kind: KeyEventKind, now: Duration) -> Option<Key> {
        match kind {
            KeyEventKind::Release => {
                self.is_held = false;
                Some(Key::TalkEnd)
            }
            // It is held, as is known now.
            KeyEventKind::Repeat if std::mem::take(&mut self.is_unsure) => {
                self.is_held = true;
                Some(Key::Talk)
            }
            KeyEventKind::Repeat => None,
            KeyEventKind::Press if self.reports_releases => {
                self.is_unsure = false;
                self.is_held = true;
                Some(Key::Talk)
            }
            KeyEventKind::Press => {
                let before = self.space_pressed.replace(now);
                let is_repeat = before.is_some_and(|before| now - before < REPEAT_WITHIN);
                self.is_unsure = true;
                (!is_repeat).then_some(Key::TalkOrMute)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(c: char, kind: KeyEventKind) -> Input {
        let code = KeyCode::Char(c);
        Input::Key(KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind))
    }

    fn press(reader: &mut KeyReader, c: char, ms: u64) -> Option<Key> {
        let at = Duration::from_millis(ms);
        reader.read(&event(c, KeyEventKind::Press), at)
    }

    fn release(reader: &mut KeyReader, c: char) -> Option<Key> {
        reader.read(&event(c, KeyEventKind::Release), Duration::ZERO)
    }

    #[test]
    fn digits_are_for_the_others_and_h_is_hold() {
        let mut reader = KeyReader::default();
        for digit in ['0', '5', '9', '*', '#'] {
            assert_eq!(press(&mut reader, digit, 0), Some(Key::Dtmf(digit)));
        }
        assert_eq!(press(&mut reader, 'h', 0), Some(Key::Hold));
        assert_eq!(press(&mut reader, '?', 0), Some(Key::Help));
        assert_eq!(press(&mut reader, 'a', 0), None);
    }

    #[test]
    fn space_is_push_to_talk_where_releases_are_reported() {
        let mut reader = KeyReader::default();
        assert_eq!(press(&mut reader, 'd', 0), Some(Key::Details));
        assert_eq!(release(&mut reader, 'd'), None);
        assert_eq!(press(&mut reader, ' ', 10), Some(Key::Talk));
        let repeat = event(' ', KeyEventKind::Repeat);
        assert_eq!(reader.read(&repeat, Duration::from_millis(500)), None);
        assert_eq!(release(&mut reader, ' '), Some(Key::TalkEnd));
        // Quickly again.
        assert_eq!(press(&mut reader, ' ', 20), Some(Key::Talk));
    }

    #[test]
    fn a_space_bar_that_is_held_is_known_by_its_repetition() {
        let mut reader = KeyReader::default();
        assert_eq!(press(&mut reader, ' ', 0), Some(Key::TalkOrMute));
        let repeat = event(' ', KeyEventKind::Repeat);
        let at = Duration::from_millis;
        assert_eq!(reader.read(&repeat, at(400)), Some(Key::Talk));
        assert_eq!(reader.read(&repeat, at(430)), None);
        assert_eq!(release(&mut reader, ' '), Some(Key::TalkEnd));
        assert_eq!(press(&mut reader, ' ', 2_000), Some(Key::Talk));
    }

    #[test]
    fn push_to_talk_ends_with_the_focus() {
        let mut reader = KeyReader::default();
        let repeat = event(' ', KeyEventKind::Repeat);
        let lose_focus = |reader: &mut KeyReader| reader.read(&Input::FocusLost, Duration::ZERO);
        assert_eq!(lose_focus(&mut reader), None);
        // Known to be held by its repetition, then from its press on.
        press(&mut reader, ' ', 0);
        let at = Duration::from_millis(400);
        assert_eq!(reader.read(&repeat, at), Some(Key::Talk));
        assert_eq!(lose_focus(&mut reader), Some(Key::TalkEnd));
        assert_eq!(lose_focus(&mut reader), None);
        assert_eq!(press(&mut reader, ' ', 500), Some(Key::Talk));
        assert_eq!(lose_focus(&mut reader), Some(Key::TalkEnd));
        // The focus comes back while it is still held: it is to be pressed anew.
        assert_eq!(reader.read(&repeat, Duration::from_millis(900)), None);
        assert_eq!(release(&mut reader, ' '), Some(Key::TalkEnd));
        assert_eq!(press(&mut reader, ' ', 1_000), Some(Key::Talk));
        release(&mut reader, ' ');
        assert_eq!(lose_focus(&mut reader), None);
    }

    #[test]
    fn the_focus_undoes_no_mute_where_releases_are_not_reported() {
        let mut reader = KeyReader::default();
        assert_eq!(press(&mut reader, ' ', 0), Some(Key::TalkOrMute));
        assert_eq!(reader.read(&Input::FocusLost, Duration::ZERO), None);
    }

    #[test]
    fn space_is_push_to_talk_from_the_first_press_where_that_tells_of_releases() {
        let mut reader = KeyReader::default();
        assert_eq!(reader.read(&Input::ReleasesReported, Duration::ZERO), None);
        assert_eq!(press(&mut reader, ' ', 0), Some(Key::Talk));
        assert_eq!(release(&mut reader, ' '), Some(Key::TalkEnd));
    }

    #[test]
    fn a_space_bar_that_repeats_after_another_key_opens_nothing() {
        let mut reader = KeyReader::default();
        assert_eq!(press(&mut reader, ' ', 0), Some(Key::TalkOrMute));
        assert_eq!(press(&mut reader, 'm', 200), Some(Key::Mute));
        let repeat = event(' ', KeyEventKind::Repeat);
        assert_eq!(reader.read(&repeat, Duration::from_millis(400)), None);
    }

    #[test]
    fn space_mutes_and_unmutes_where_they_are_not_and_does_not_flutter_when_held() {
        let mut reader = KeyReader::default();
        assert_eq!(press(&mut reader, ' ', 0), Some(Key::TalkOrMute));
        assert_eq!(press(&mut reader, ' ', 400), Some(Key::TalkOrMute));
        for ms in (430..2_000).step_by(30) {
            assert_eq!(press(&mut reader, ' ', ms), None);
        }
        assert_eq!(press(&mut reader, ' ', 3_000), Some(Key::TalkOrMute));
    }

    #[test]
    fn volume_keys_repeat_and_others_do_not() {
        let mut reader = KeyReader::default();
        let mut repeat = |c| reader.read(&event(c, KeyEventKind::Repeat), Duration::ZERO);
        assert_eq!(repeat('+'), Some(Key::Louder));
        assert_eq!(repeat('-'), Some(Key::Quieter));
        assert_eq!(repeat('m'), None);
        assert_eq!(repeat('q'), None);
    }

    #[test]
    fn control_c_hangs_up_and_control_z_stops_but_the_letters_do_not() {
        let mut reader = KeyReader::default();
        for (c, key) in [('c', Key::HangUp), ('z', Key::Suspend)] {
            assert_eq!(press(&mut reader, c, 0), None);
            let control = Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
            assert_eq!(reader.read(&control, Duration::ZERO), Some(key));
        }
    }
}
