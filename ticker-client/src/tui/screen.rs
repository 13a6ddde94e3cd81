//! What the person does at the screen, and what is open on it: the table, the prompt or the help.
//!
//! Pure: keys and events go in with the time, changes for the server come out.

use crossterm::event::KeyEvent;

use super::{
    keys::{self, Action, Select, Typed},
    prompt::{Edit, Prompt},
};
use crate::{
    alert::Alerts,
    feed::{Change, FeedEvent},
    watchlist::{Moment, Move, Watchlist},
};

/// The screen's state.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) list: Watchlist,
    pub(super) alerts: Alerts,
    pub(super) open: Open,
    /// How many rows were visible when it was last drawn: a page.
    pub(super) page: usize,
}

/// What is open.
#[derive(Debug)]
pub(super) enum Open {
    Table,
    Prompt(Prompt),
    Help,
}

/// What a key asks for that is not the screen's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Suspend,
    DrawAnew,
    Changes(Vec<Change>),
}

impl Wish {
    const NOTHING: Self = Self::Changes(Vec::new());
}

impl Screen {
    pub(super) fn new(list: Watchlist, alerts: Alerts) -> Self {
        Self {
            list,
            alerts,
            open: Open::Table,
            page: 1,
        }
    }

    pub(super) fn take(&mut self, event: FeedEvent, now: Moment) {
        let alarms = match &event {
            FeedEvent::Update(update) => self.alerts.check(update),
            _ => Vec::new(),
        };
        self.list.take(event, now);
        for alarm in alarms {
            self.list
                .raise_alarm(alarm.alert.symbol(), &alarm.to_string(), now);
        }
    }

    pub(super) fn key(&mut self, key: &KeyEvent, now: Moment) -> Wish {
        if keys::is_pressed(key) {
            self.list.key_pressed(now);
        }
        if let Some(action) = keys::anywhere(key) {
            return self.act(action, now);
        }
        match &mut self.open {
            Open::Table => match keys::action(key) {
                Some(action) => self.act(action, now),
                None => Wish::NOTHING,
            },
            Open::Help => {
                if keys::is_pressed(key) {
                    self.open = Open::Table;
                }
                Wish::NOTHING
            }
            Open::Prompt(prompt) => match keys::typed(key) {
                Some(Typed::Edit(edit)) => {
                    prompt.edit(edit);
                    Wish::NOTHING
                }
                Some(Typed::Cancel) => {
                    self.open = Open::Table;
                    Wish::NOTHING
                }
                Some(Typed::Submit) => self.submit(now),
                None => Wish::NOTHING,
            },
        }
    }

    /// Text that the terminal says was pasted: never taken for commands.
    pub(super) fn paste(&mut self, text: String) {
        if let Open::Prompt(prompt) = &mut self.open {
            prompt.edit(Edit::Insert(text));
        }
    }

    fn submit(&mut self, now: Moment) -> Wish {
        let Open::Prompt(prompt) = &mut self.open else {
            return Wish::NOTHING;
        };
        let symbols = prompt.submit();
        if prompt.error().is_none() {
            self.open = Open::Table;
        }
        let add = |symbol| self.list.add(symbol, now);
        Wish::Changes(symbols.into_iter().filter_map(add).collect())
    }

    fn act(&mut self, action: Action, now: Moment) -> Wish {
        match action {
            Action::Quit => return Wish::Quit,
            Action::Suspend => return Wish::Suspend,
            Action::DrawAnew => return Wish::DrawAnew,
            Action::Drop => {
                return Wish::Changes(self.list.drop_selected(now).into_iter().collect());
            }
            Action::Add => self.open = Open::Prompt(Prompt::default()),
            Action::Help => self.open = Open::Help,
            Action::Select(select) => self.list.select(match select {
                Select::To(to) => to,
                Select::PageUp => Move::Up(self.page),
                Select::PageDown => Move::Down(self.page),
            }),
            Action::Unselect => self.list.unselect(),
            Action::NextSort => self.list.sort_by(self.list.sort().next()),
            Action::Reverse => self.list.sort_by(self.list.sort().reversed()),
            Action::Freeze => self.list.toggle_freeze(now),
        }
        Wish::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyModifiers};
    use proto::Symbol;

    use super::*;
    use crate::watchlist::Sort;

    fn symbol(text: &str) -> Symbol {
        text.parse().expect("a symbol")
    }

    fn screen(symbols: &[&str]) -> Screen {
        let symbols = symbols.iter().map(|text| symbol(text));
        Screen::new(Watchlist::new(symbols, Sort::default()), Alerts::default())
    }

    /// Presses one key after the other; `\n` is Enter and `\u{1b}` Esc.
    fn press(screen: &mut Screen, keys: &str) -> Vec<Wish> {
        let press = |c| {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            let key = KeyEvent::new(code, KeyModifiers::NONE);
            screen.key(&key, Moment::default())
        };
        let wishes = keys.chars().map(press);
        wishes.filter(|wish| *wish != Wish::NOTHING).collect()
    }

    #[test]
    fn typed_symbols_are_asked_for_and_a_bad_one_keeps_the_prompt_open() {
        let mut screen = screen(&["AAPL"]);
        let wishes = press(&mut screen, "atsla q$ aapl\n");
        // What is on the list already is not asked for again; `q` was a letter.
        let expected = Wish::Changes(vec![Change::Add(symbol("TSLA"))]);
        assert_eq!(wishes, [expected]);
        let Open::Prompt(prompt) = &screen.open else {
            panic!("closed with a mistake in it");
        };
        assert!(prompt.error().is_some());
        assert_eq!(press(&mut screen, "\u{1b}"), []);
        assert!(matches!(screen.open, Open::Table));
        assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
    }

    #[test]
    fn the_selected_symbol_is_dropped() {
        let mut screen = screen(&["A", "B", "C"]);
        let expected = Wish::Changes(vec![Change::Drop(symbol("B"))]);
        assert_eq!(press(&mut screen, "djjd"), [expected]);
    }

    #[test]
    fn a_key_makes_room_for_the_keys_once_a_notice_was_read() {
        let mut screen = screen(&["A"]);
        let later = Moment {
            since_start: std::time::Duration::from_secs(3),
        };
        press(&mut screen, "d");
        assert!(screen.list.notice(later).is_some());
        let any = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
        screen.key(&any, later);
        assert_eq!(screen.list.notice(later), None);
        press(&mut screen, "dj");
        assert_eq!(
            screen.list.notice(Moment::default()),
            None,
            "one is selected"
        );
    }

    #[test]
    fn what_is_pasted_is_no_command() {
        let mut screen = screen(&[]);
        screen.paste("q".to_owned());
        assert!(matches!(screen.open, Open::Table));
        press(&mut screen, "a");
        screen.paste("AAPL\nTSLA\n".to_owned());
        let expected = ["AAPL", "TSLA"].map(|text| Change::Add(symbol(text)));
        let wishes = press(&mut screen, "\n");
        assert_eq!(wishes, [Wish::Changes(expected.to_vec())]);
    }

    #[test]
    fn any_key_closes_the_help_and_does_nothing_else() {
        let mut screen = screen(&["A"]);
        assert_eq!(press(&mut screen, "?q"), []);
        assert!(matches!(screen.open, Open::Table));
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        press(&mut screen, "?");
        assert_eq!(screen.key(&control_c, Moment::default()), Wish::Quit);
    }
}
