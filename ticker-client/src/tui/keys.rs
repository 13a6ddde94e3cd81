//! Which key means what. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::prompt::Edit;
use crate::watchlist::Move;

/// What a key means while the table is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// At once.
    Quit,
    /// Unless something is to be asked first.
    AskToQuit,
    /// Stop, as any program does at Ctrl-Z, until the shell lets us go on.
    Suspend,
    /// Draw all of it, whatever another program has written over it.
    DrawAnew,
    Add,
    Drop,
    Select(Select),
    Unselect,
    NextSort,
    Reverse,
    Freeze,
    Alerts,
    Keep,
    Help,
}

/// A move of the selection; how long a page is, the screen knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Select {
    To(Move),
    PageUp,
    PageDown,
}

/// What a key means while the help is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InHelp {
    Close,
    Scroll(Select),
}

/// What a key means as the answer to whether a changed list is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Keep,
    Forget,
    /// Neither: do not quit.
    Stay,
}

/// What a key means while something is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Edit(Edit),
    Submit,
    Cancel,
}

/// The lines of the help, in the order of their use.
pub(super) const HELP: [(&str, &str); 11] = [
    ("a", "add symbols"),
    ("d, Delete", "drop the selected one"),
    ("↑ ↓, k j", "select; also PgUp, PgDn, Home, End"),
    ("Esc", "select none, back to the top"),
    ("e", "edit alerts: of the selected one, or all"),
    ("s", "sort by the next column"),
    ("S, r", "the other way round"),
    ("f, Space", "freeze the picture; go on"),
    (
        "w",
        "write symbols, alerts and order to the configuration file",
    ),
    ("Ctrl-Z", "suspend; Ctrl-L: draw anew"),
    (
        "q, Ctrl-C",
        "quit; q asks whether a changed list is to be kept",
    ),
];

/// What the key means whatever is on the screen.
pub(super) fn anywhere(key: &KeyEvent) -> Option<Action> {
    if !is_pressed(key) || !key.modifiers.contains(KeyModifiers::CONTROL) {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('c') => Action::Quit,
        KeyCode::Char('z') => Action::Suspend,
        KeyCode::Char('l') => Action::DrawAnew,
        _ => return None,
    })
}

/// What the key means while the table is looked at.
pub(super) fn action(key: &KeyEvent) -> Option<Action> {
    let others = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SUPER;
    if !is_pressed(key) || key.modifiers.intersects(others) {
        return None;
    }
    let to = |to| Action::Select(Select::To(to));
    Some(match key.code {
        KeyCode::Char('q') => Action::AskToQuit,
        KeyCode::Char('a') => Action::Add,
        KeyCode::Char('d') | KeyCode::Delete => Action::Drop,
        KeyCode::Char('k') | KeyCode::Up => to(Move::Up(1)),
        KeyCode::Char('j') | KeyCode::Down => to(Move::Down(1)),
        KeyCode::PageUp => Action::Select(Select::PageUp),
        KeyCode::PageDown => Action::Select(Select::PageDown),
        KeyCode::Home => to(Move::First),
        KeyCode::End => to(Move::Last),
        KeyCode::Esc => Action::Unselect,
        KeyCode::Char('s') => Action::NextSort,
        KeyCode::Char('S' | 'r') => Action::Reverse,
        KeyCode::Char('f' | ' ') => Action::Freeze,
        KeyCode::Char('e') => Action::Alerts,
        KeyCode::Char('w') => Action::Keep,
        KeyCode::Char('?') => Action::Help,
        _ => return None,
    })
}

/// What the key means while the help is open.
pub(super) fn in_help(key: &KeyEvent) -> Option<InHelp> {
    Some(match action(key)? {
        Action::AskToQuit | Action::Unselect | Action::Help => InHelp::Close,
        Action::Select(select) => InHelp::Scroll(select),
        // The space bar, as in a pager.
        Action::Freeze if key.code == KeyCode::Char(' ') => InHelp::Scroll(Select::PageDown),
        _ => return None,
    })
}

/// What the key means as an answer.
pub(super) fn answer(key: &KeyEvent) -> Option<Answer> {
    if !is_pressed(key) || key.modifiers.contains(KeyModifiers::CONTROL) {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('y' | 'Y') | KeyCode::Enter => Answer::Keep,
        // Who presses it again means it.
        KeyCode::Char('n' | 'N' | 'q') => Answer::Forget,
        KeyCode::Esc => Answer::Stay,
        _ => return None,
    })
}

/// What the key means while something is typed.
pub(super) fn typed(key: &KeyEvent) -> Option<Typed> {
    if !is_pressed(key) {
        return None;
    }
    let edit = match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Enter, _) => return Some(Typed::Submit),
        (KeyCode::Esc, _) => return Some(Typed::Cancel),
        (KeyCode::Left, _) | (KeyCode::Char('b'), true) => Edit::Left,
        (KeyCode::Right, _) | (KeyCode::Char('f'), true) => Edit::Right,
        (KeyCode::Home, _) | (KeyCode::Char('a'), true) => Edit::Home,
        (KeyCode::End, _) | (KeyCode::Char('e'), true) => Edit::End,
        (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) => Edit::Backspace,
        (KeyCode::Delete, _) | (KeyCode::Char('d'), true) => Edit::Delete,
        (KeyCode::Char('w'), true) => Edit::DeleteWord,
        (KeyCode::Char('u'), true) => Edit::DeleteToStart,
        (KeyCode::Char(c), false) => Edit::Insert(c.to_string()),
        _ => return None,
    };
    Some(Typed::Edit(edit))
}

/// Some terminals also report when a key is let go.
pub(super) fn is_pressed(key: &KeyEvent) -> bool {
    key.kind != KeyEventKind::Release
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn control(c: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    #[test]
    fn a_letter_is_a_command_at_the_table_and_a_letter_in_the_prompt() {
        for c in [
            'q', 'a', 'd', 'e', 'w', 's', 'S', 'f', 'r', 'j', 'k', ' ', '?',
        ] {
            let key = key(KeyCode::Char(c));
            assert!(action(&key).is_some(), "{c}");
            let inserted = Typed::Edit(Edit::Insert(c.to_string()));
            assert_eq!(typed(&key), Some(inserted));
        }
    }

    #[test]
    fn control_c_quits_everywhere_and_other_controls_do_no_harm() {
        assert_eq!(anywhere(&control('c')), Some(Action::Quit));
        for c in ['q', 'd', 's', 'a'] {
            assert_eq!(anywhere(&control(c)), None);
            assert_eq!(action(&control(c)), None);
        }
        assert_eq!(typed(&control('x')), None);
    }

    #[test]
    fn in_the_help_keys_scroll_or_close_and_others_do_nothing() {
        for code in ['q', '?']
            .map(KeyCode::Char)
            .into_iter()
            .chain([KeyCode::Esc])
        {
            assert_eq!(in_help(&key(code)), Some(InHelp::Close), "{code:?}");
        }
        for code in [
            KeyCode::Down,
            KeyCode::PageDown,
            KeyCode::End,
            KeyCode::Char(' '),
        ] {
            assert!(
                matches!(in_help(&key(code)), Some(InHelp::Scroll(_))),
                "{code:?}"
            );
        }
        for c in ['a', 'd', 'f', 'x', 's', 'w'] {
            assert_eq!(in_help(&key(KeyCode::Char(c))), None, "{c}");
        }
    }

    #[test]
    fn a_key_that_is_let_go_does_nothing() {
        let released = KeyEvent {
            kind: KeyEventKind::Release,
            ..key(KeyCode::Char('q'))
        };
        assert_eq!(action(&released), None);
        assert_eq!((in_help(&released), answer(&released)), (None, None));
        assert_eq!(typed(&released), None);
    }
}
