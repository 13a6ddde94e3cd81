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
    change::Change,
    feed_event::FeedEvent,
    keep::{Edits, Watched},
    kept_list::KeptList,
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
    kept: KeptList,
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
            kept: KeptList::new(list.symbols().cloned().collect(), &alerts, list.sort()),
            list,
            alerts,
            open: Open::Table,
            help: Help::default(),
            page: 1,
            file,
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
                self.kept.refuse(&symbol);
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
                self.kept.forget();
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
        self.kept.keep(self.watched());
    }

    /// The arguments that bring the list back, if its changes are lost.
    pub(super) fn unkept(&self) -> Option<String> {
        self.kept.unkept(&self.watched())
    }

    /// What would be kept.
    fn watched(&self) -> Watched {
        let symbols = self.list.symbols().cloned().collect();
        self.kept.watched(symbols, &self.alerts, self.list.sort())
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
mod tests;
