//! What the person does at the screen, and what is open on it: the table, the prompt, the help, or the
//! question whether a changed list is to be kept.
//!
//! Pure: keys and events go in with the time, changes for the server come out.

use std::path::PathBuf;

use crossterm::event::KeyEvent;
use proto::Symbol;

use super::{
    help::Help,
    keys::{self, Action, Answer, InHelp, Select, Typed},
    prompt::{Edit, Prompt, Purpose},
};
use crate::{
    alert::{Alert, Alerts, Subject, alerts_of_line},
    feed::{Change, FeedEvent},
    keep::{Edits, Watched},
    watchlist::{Moment, Move, Watchlist},
};

/// The screen's state.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) list: Watchlist,
    pub(super) alerts: Alerts,
    pub(super) open: Open,
    pub(super) help: Help,
    /// How many rows were visible when it was last drawn: a page.
    pub(super) page: usize,
    /// Where a changed list can be kept.
    pub(super) file: Option<PathBuf>,
    /// The list as it was last kept, or at the start.
    kept: Watched,
    /// Symbols that the server took off the list, and not the person.
    refused: Vec<Symbol>,
    /// Whether the person wants no changes kept.
    is_forgotten: bool,
}

/// What is open.
#[derive(Debug)]
pub(super) enum Open {
    Table,
    Prompt(Prompt),
    Help,
    /// Whether the changes are to be kept; then it ends.
    Question(Edits),
}

/// What a key asks for that is not the screen's own.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    Suspend,
    DrawAnew,
    Changes(Vec<Change>),
    /// The edits are to be written, and then perhaps it ends.
    Keep {
        edits: Edits,
        then_quit: bool,
    },
}

impl Wish {
    const NOTHING: Self = Self::Changes(Vec::new());
}

impl Screen {
    pub(super) fn new(list: Watchlist, alerts: Alerts, file: Option<PathBuf>) -> Self {
        Self {
            kept: Watched {
                symbols: list.symbols().cloned().collect(),
                alerts: alerts.iter().cloned().collect(),
                sort: list.sort(),
            },
            refused: Vec::new(),
            list,
            alerts,
            open: Open::Table,
            help: Help::default(),
            page: 1,
            file,
            is_forgotten: false,
        }
    }

    pub(super) fn take(&mut self, event: FeedEvent, now: Moment) {
        let alarms = match &event {
            FeedEvent::Update(update) => self.alerts.check(update),
            _ => Vec::new(),
        };
        let event = match event {
            FeedEvent::Refused {
                symbol,
                why,
                stays: false,
            } => {
                self.refused.push(symbol.clone());
                FeedEvent::Refused {
                    why: match self.alerts.pause(&symbol) {
                        Some(alerts) => format!("{why} ({alerts})"),
                        None => why,
                    },
                    symbol,
                    stays: false,
                }
            }
            event => event,
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
                match keys::in_help(key) {
                    Some(InHelp::Scroll(select)) => self.help.scroll(select),
                    Some(InHelp::Close) => self.open = Open::Table,
                    None => {}
                }
                Wish::NOTHING
            }
            Open::Question(edits) => {
                let edits = std::mem::take(edits);
                match keys::answer(key) {
                    Some(answer) => self.answer(answer, edits),
                    None => {
                        self.open = Open::Question(edits);
                        Wish::NOTHING
                    }
                }
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
                Some(Typed::Submit) => match prompt.purpose().clone() {
                    Purpose::Add => self.add(now),
                    Purpose::Alerts(of) => self.set_alerts(of, now),
                },
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

    fn add(&mut self, now: Moment) -> Wish {
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

    /// Puts what is in the prompt in the place of the alerts that it was opened with, or of none when
    /// something in it is wrong.
    fn set_alerts(&mut self, of: Option<Symbol>, now: Moment) -> Wish {
        let Open::Prompt(prompt) = &mut self.open else {
            return Wish::NOTHING;
        };
        let subject = of.clone().map(|symbol| Subject {
            price: self.list.price_of(&symbol),
            symbol,
        });
        let alerts = match alerts_of_line(&prompt.text(), subject.as_ref()) {
            Ok(alerts) => alerts,
            Err(error) => {
                prompt.fail(error.to_string());
                return Wish::NOTHING;
            }
        };
        self.open = Open::Table;
        let mut changes = Vec::new();
        for alert in &alerts {
            // One that is paused because its symbol was dropped does not bring it back.
            let is_new = self.alerts.iter().all(|there| there != alert);
            if is_new && !self.list.has(alert.symbol()) {
                changes.extend(self.list.add(alert.symbol().clone(), now));
            }
        }
        self.alerts.replace(of.as_ref(), alerts);
        Wish::Changes(changes)
    }

    fn edit_alerts(&mut self, now: Moment) {
        let of = self.list.selected().cloned();
        let alerts: Vec<_> = match &of {
            Some(symbol) => self.alerts.of(symbol).map(Alert::to_string).collect(),
            None => self.alerts.iter().map(Alert::to_string).collect(),
        };
        match Prompt::alerts(of, &alerts.join(" ")) {
            Some(prompt) => self.open = Open::Prompt(prompt),
            None => {
                let text = "there are too many alerts for one line; select a row first";
                self.list.tell(text.to_owned(), now);
            }
        }
    }

    fn drop_selected(&mut self, now: Moment) -> Wish {
        let Some(change) = self.list.drop_selected(now) else {
            return Wish::NOTHING;
        };
        if let Change::Drop(symbol) = &change
            && let Some(alerts) = self.alerts.pause(symbol)
        {
            self.list
                .tell(format!("{symbol} is dropped; {alerts}"), now);
        }
        Wish::Changes(vec![change])
    }

    /// What has changed since the list was kept.
    fn edits(&self) -> Edits {
        self.kept.edits_to(&self.watched())
    }

    fn quit(&mut self) -> Wish {
        let edits = self.edits();
        if edits.is_empty() || self.file.is_none() {
            return Wish::Quit;
        }
        self.open = Open::Question(edits);
        Wish::NOTHING
    }

    fn answer(&mut self, answer: Answer, edits: Edits) -> Wish {
        self.open = Open::Table;
        match answer {
            Answer::Keep => Wish::Keep {
                edits,
                then_quit: true,
            },
            Answer::Forget => {
                self.is_forgotten = true;
                Wish::Quit
            }
            Answer::Stay => Wish::NOTHING,
        }
    }

    fn keep(&mut self, now: Moment) -> Wish {
        let edits = self.edits();
        let why_not = match (&self.file, edits.is_empty()) {
            (None, _) => "there is no place for a configuration file here",
            (Some(_), true) => "nothing has changed since it was kept",
            (Some(_), false) => {
                return Wish::Keep {
                    edits,
                    then_quit: false,
                };
            }
        };
        self.list.tell(why_not.to_owned(), now);
        Wish::NOTHING
    }

    /// The edits were written; what is on the screen is what is kept.
    pub(super) fn has_kept(&mut self) {
        self.kept = self.watched();
    }

    /// The arguments that bring the list back, if it was changed and neither kept nor meant to be
    /// forgotten.
    pub(super) fn unkept(&self) -> Option<String> {
        let is_lost = !self.is_forgotten && !self.edits().is_empty();
        is_lost.then(|| self.watched().arguments())
    }

    /// What would be kept: the list, with what the server alone took off it, for it may be another server
    /// next time; and the alerts that are not paused by the person, whose symbols would come back.
    fn watched(&self) -> Watched {
        let mut symbols: Vec<_> = self.list.symbols().cloned().collect();
        for (place, symbol) in self.kept.symbols.iter().enumerate() {
            if self.refused.contains(symbol) && !symbols.contains(symbol) {
                symbols.insert(place.min(symbols.len()), symbol.clone());
            }
        }
        let alerts = self.alerts.iter();
        Watched {
            alerts: alerts
                .filter(|alert| symbols.contains(alert.symbol()))
                .cloned()
                .collect(),
            symbols,
            sort: self.list.sort(),
        }
    }

    fn act(&mut self, action: Action, now: Moment) -> Wish {
        match action {
            Action::Quit => return Wish::Quit,
            Action::AskToQuit => return self.quit(),
            Action::Suspend => return Wish::Suspend,
            Action::DrawAnew => return Wish::DrawAnew,
            Action::Drop => return self.drop_selected(now),
            Action::Keep => return self.keep(now),
            Action::Alerts => self.edit_alerts(now),
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
        Screen::new(
            Watchlist::new(symbols, Sort::default()),
            Alerts::default(),
            Some("/home/me/config.toml".into()),
        )
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
    fn the_help_scrolls_and_closes_by_its_keys_alone() {
        let mut screen = screen(&["A"]);
        for close in ["q", "?", "\u{1b}"] {
            assert_eq!(press(&mut screen, "?adswxf"), []);
            assert!(matches!(screen.open, Open::Help));
            assert_eq!(press(&mut screen, close), []);
            assert!(matches!(screen.open, Open::Table));
        }
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        press(&mut screen, "?");
        assert_eq!(screen.key(&control_c, Moment::default()), Wish::Quit);
    }

    fn update(screen: &mut Screen, name: &str, price: f64) {
        let update = proto::fin::StockUpdate {
            ticker_symbol: name.to_owned(),
            current_price: price,
            ..Default::default()
        };
        screen.take(FeedEvent::Update(Box::new(update)), Moment::default());
    }

    fn alerts(screen: &Screen) -> String {
        let alerts: Vec<_> = screen.alerts.iter().map(Alert::to_string).collect();
        alerts.join(" ")
    }

    fn said(screen: &Screen) -> String {
        screen.list.notice(Moment::default()).unwrap_or_default()
    }

    #[test]
    fn alerts_of_the_selected_row_are_edited() {
        let mut screen = screen(&["AAPL", "F"]);
        update(&mut screen, "AAPL", 230.0);
        assert_eq!(press(&mut screen, "je$250 -2%\n"), []);
        assert_eq!(alerts(&screen), "AAPL>=250 AAPL%<=-2");
        // What is there stands in the line.
        press(&mut screen, "e");
        let Open::Prompt(prompt) = &screen.open else {
            panic!("no prompt");
        };
        assert_eq!(prompt.text(), "AAPL>=250 AAPL%<=-2");
        // A mistake changes nothing and stays to be mended.
        press(&mut screen, " >x\n");
        let Open::Prompt(prompt) = &screen.open else {
            panic!("closed with a mistake in it");
        };
        assert!(
            prompt
                .error()
                .is_some_and(|error| error.contains("\"x\" is no number"))
        );
        assert_eq!(alerts(&screen), "AAPL>=250 AAPL%<=-2");
        screen.open = Open::Table;
        // Those of other symbols are not touched, and an empty line is none.
        screen.alerts.replace(
            None,
            vec![
                "F>1".parse().expect("an alert"),
                "AAPL>1".parse().expect("an alert"),
            ],
        );
        press(&mut screen, "e");
        let control_u = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
        screen.key(&control_u, Moment::default());
        press(&mut screen, "\n");
        assert_eq!(alerts(&screen), "F>1");
    }

    #[test]
    fn without_a_selection_all_alerts_are_edited_and_a_new_symbol_is_added() {
        let mut screen = screen(&["AAPL"]);
        let wishes = press(&mut screen, "eAAPL>250 tsla<-2%\n");
        assert_eq!(wishes, [Wish::Changes(vec![Change::Add(symbol("TSLA"))])]);
        assert_eq!(alerts(&screen), "AAPL>250 TSLA%<-2");
        screen.list.unselect();
        let many = (0..500).map(|n| format!("S{n}>1").parse().expect("an alert"));
        screen.alerts.replace(None, many.collect());
        press(&mut screen, "e");
        assert!(matches!(screen.open, Open::Table), "they do not fit");
        assert!(said(&screen).contains("select a row first"));
    }

    #[test]
    fn a_dropped_or_refused_symbol_says_what_becomes_of_its_alert() {
        let mut screen = screen(&["AAPL", "F"]);
        press(&mut screen, "eAAPL>250 F<1\n");
        press(&mut screen, "kd");
        assert_eq!(
            said(&screen),
            "AAPL is dropped; its alert AAPL>250 waits until it is added again"
        );
        screen.take(
            FeedEvent::Refused {
                symbol: symbol("F"),
                why: "not listed here".to_owned(),
                stays: false,
            },
            Moment::default(),
        );
        assert!(
            said(&screen).contains("its alert F<1 waits"),
            "{}",
            said(&screen)
        );
        assert_eq!(alerts(&screen), "AAPL>250 F<1");
        // Edited meanwhile, neither brings its symbol back.
        assert_eq!(
            press(&mut screen, "e F<2\n"),
            [Wish::Changes(vec![Change::Add(symbol("F"))])]
        );
        assert!(!screen.list.has(&symbol("AAPL")));
        press(&mut screen, "aAAPL\n");
        update(&mut screen, "AAPL", 251.0);
        assert!(said(&screen).contains("AAPL 251.00 is above 250"));
    }

    fn keep_wish(wishes: &[Wish]) -> (String, bool) {
        match wishes {
            [Wish::Keep { edits, then_quit }] => (edits.what(), *then_quit),
            wishes => panic!("{wishes:?}"),
        }
    }

    #[test]
    fn a_changed_list_is_asked_about_before_the_end() {
        let mut screen = screen(&["AAPL", "F"]);
        assert_eq!(press(&mut screen, "q"), [Wish::Quit], "nothing has changed");
        // Selecting, freezing and adding what is there are no changes.
        assert_eq!(press(&mut screen, "jfaF\nq"), [Wish::Quit]);
        press(&mut screen, "atsla\ns");
        assert_eq!(press(&mut screen, "q"), []);
        assert!(matches!(screen.open, Open::Question(_)));
        assert_eq!(press(&mut screen, "x\u{1b}"), []);
        assert!(matches!(screen.open, Open::Table));
        let wishes = press(&mut screen, "qy");
        assert_eq!(keep_wish(&wishes), ("symbols and order".to_owned(), true));
        assert_eq!(
            screen.unkept().as_deref(),
            Some("AAPL F TSLA --sort symbol"),
            "it was not written yet"
        );
        assert_eq!(press(&mut screen, "qn"), [Wish::Quit]);
        assert_eq!(screen.unkept(), None, "it is not wanted");
    }

    #[test]
    fn what_is_kept_is_no_change_any_more() {
        let mut screen = screen(&["AAPL", "F"]);
        assert_eq!(press(&mut screen, "w"), []);
        assert!(said(&screen).contains("nothing has changed"));
        press(&mut screen, "jd");
        assert_eq!(
            keep_wish(&press(&mut screen, "w")),
            ("symbols".to_owned(), false)
        );
        screen.has_kept();
        assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
        assert_eq!(screen.unkept(), None);
    }

    #[test]
    fn without_a_place_for_a_file_nothing_is_asked_and_the_arguments_are_told() {
        let mut screen = screen(&["AAPL"]);
        screen.file = None;
        press(&mut screen, "aF\n");
        assert_eq!(press(&mut screen, "w"), []);
        assert!(said(&screen).contains("no place"));
        assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
        assert_eq!(screen.unkept().as_deref(), Some("AAPL F"));
    }

    #[test]
    fn what_the_server_refuses_is_no_change_of_the_persons() {
        let mut screen = screen(&["AAPL", "APPL", "F"]);
        let refuse = |screen: &mut Screen, name: &str| {
            let event = FeedEvent::Refused {
                symbol: symbol(name),
                why: "not listed here".to_owned(),
                stays: false,
            };
            screen.take(event, Moment::default());
        };
        refuse(&mut screen, "APPL");
        press(&mut screen, "aTYPO\n");
        refuse(&mut screen, "TYPO");
        assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
        press(&mut screen, "aGM\n");
        assert_eq!(screen.unkept().as_deref(), Some("AAPL APPL F GM"));
    }

    #[test]
    fn control_c_asks_nothing() {
        let mut screen = screen(&["AAPL"]);
        press(&mut screen, "aF\n");
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.key(&control_c, Moment::default()), Wish::Quit);
        assert!(screen.unkept().is_some());
    }
}
