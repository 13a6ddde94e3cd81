//! What the keys of the microphone make of it: mute, and the space bar. Pure.

use super::keys::Key;

/// Whether the space bar is held, and what there was before.
#[derive(Debug, Default)]
pub struct PushToTalk {
    /// Whether the microphone was muted when the space bar was pressed.
    was_muted: Option<bool>,
}

impl PushToTalk {
    /// Whether the microphone is muted after `key`.
    pub fn muted_after(&mut self, key: Key, is_muted: bool) -> bool {
        match key {
            Key::Mute => {
                // Whoever mutes while the space bar is held wants that to stay.
                self.was_muted = None;
                !is_muted
            }
            Key::TalkOrMute => {
                self.was_muted.get_or_insert(is_muted);
                !is_muted
            }
            Key::Talk => {
                self.was_muted.get_or_insert(is_muted);
                false
            }
            Key::TalkEnd => self.was_muted.take().unwrap_or(is_muted),
            _ => is_muted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is muted after each of `keys`.
    fn muted_after(mut is_muted: bool, keys: &[Key]) -> Vec<bool> {
        let mut space = PushToTalk::default();
        let mut press = |&key: &Key| {
            is_muted = space.muted_after(key, is_muted);
            is_muted
        };
        keys.iter().map(&mut press).collect()
    }

    #[test]
    fn the_microphone_is_open_while_space_is_held_and_then_as_before() {
        let hold = [Key::Talk, Key::TalkEnd, Key::Talk, Key::TalkEnd];
        assert_eq!(muted_after(true, &hold), [false, true, false, true]);
        assert_eq!(muted_after(false, &hold), [false; 4]);
    }

    #[test]
    fn a_press_that_was_not_known_to_be_held_is_mended() {
        let hold = [Key::TalkOrMute, Key::Talk, Key::TalkEnd];
        assert_eq!(muted_after(false, &hold), [true, false, false]);
        assert_eq!(muted_after(true, &hold), [false, false, true]);
        let tap = [Key::TalkOrMute, Key::TalkEnd];
        assert_eq!(muted_after(false, &tap), [true, false]);
        assert_eq!(muted_after(true, &tap), [false, true]);
        // A terminal that reports repetitions as presses.
        let hold = [Key::TalkOrMute, Key::TalkOrMute, Key::TalkEnd];
        assert_eq!(muted_after(false, &hold), [true, false, false]);
        assert_eq!(muted_after(true, &hold), [false, true, true]);
    }

    #[test]
    fn where_no_release_is_reported_space_mutes_and_unmutes() {
        let taps = [Key::TalkOrMute; 3];
        assert_eq!(muted_after(false, &taps), [true, false, true]);
    }

    #[test]
    fn muting_while_space_is_held_stays() {
        let keys = [Key::Talk, Key::Mute, Key::TalkEnd];
        assert_eq!(muted_after(false, &keys), [false, true, true]);
        assert_eq!(muted_after(true, &keys), [false, true, true]);
    }
}
