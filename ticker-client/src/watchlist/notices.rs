//! What is said at the foot of the screen for a while, and what takes its place.

use std::{collections::VecDeque, time::Duration};

use proto::Symbol;

/// How long something said stays on the screen.
const SHOWN_FOR: Duration = Duration::from_secs(10);

/// How long a key leaves it there, because it may have been pressed before anything was said.
const SAFE_FROM_KEYS: Duration = Duration::from_secs(2);

/// No more are kept beside each other; no screen has room for them.
const MAX_JOINED: usize = 30;

/// Something to be said. What is in it is a line, and nothing that a terminal obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// An alert has fired.
    Alert(String),
    /// The server did not take a symbol on, for this reason.
    Refused { symbol: Symbol, why: String },
    /// A row has to be selected first.
    SelectFirst,
    /// Anything else.
    News(String),
}

impl Notice {
    /// Whether both are to be read, one beside the other.
    fn joins(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Alert(_), Self::Alert(_)) | (Self::Refused { .. }, Self::Refused { .. })
        )
    }
}

/// What was said, and when.
#[derive(Debug, Default)]
pub(super) struct Notices(VecDeque<(Notice, Duration)>);

impl Notices {
    /// Takes the place of what was said before, but for alerts beside alerts and refusals beside
    /// refusals.
    pub(super) fn say(&mut self, notice: Notice, now: Duration) {
        self.0.retain(|(before, said)| {
            before.joins(&notice) && *before != notice && is_shown(*said, now)
        });
        if self.0.len() == MAX_JOINED {
            self.0.pop_front();
        }
        self.0.push_back((notice, now));
    }

    /// The person has done something: what is no alert has been read.
    pub(super) fn key_pressed(&mut self, now: Duration) {
        self.0.retain(|(notice, said)| {
            matches!(notice, Notice::Alert(_)) || now.saturating_sub(*said) < SAFE_FROM_KEYS
        });
    }

    /// A row is selected now.
    pub(super) fn selected(&mut self) {
        self.0.retain(|(notice, _)| *notice != Notice::SelectFirst);
    }

    /// All of it as one line; `None`: there is nothing to say.
    pub(super) fn text(&self, now: Duration) -> Option<String> {
        let mut parts: Vec<(Vec<&str>, &str)> = Vec::new();
        for (notice, _) in self.0.iter().filter(|(_, said)| is_shown(*said, now)) {
            match notice {
                Notice::Alert(text) | Notice::News(text) => parts.push((Vec::new(), text)),
                Notice::SelectFirst => {
                    parts.push((Vec::new(), "select a row first, with the arrow keys"));
                }
                Notice::Refused { symbol, why } => {
                    // One reason for several is said once.
                    match parts.iter_mut().find(|(_, reason)| reason == why) {
                        Some((symbols, _)) => symbols.push(symbol.as_str()),
                        None => parts.push((vec![symbol.as_str()], why)),
                    }
                }
            }
        }
        let said = parts.into_iter().map(|(symbols, text)| match &*symbols {
            [] => text.to_owned(),
            [symbol] => format!("{symbol} was refused: {text}"),
            symbols => format!("{} were refused: {text}", symbols.join(", ")),
        });
        let said: Vec<_> = said.collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

fn is_shown(said: Duration, now: Duration) -> bool {
    now.saturating_sub(said) < SHOWN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refused(symbol: &str, why: &str) -> Notice {
        Notice::Refused {
            symbol: symbol.parse().expect("a symbol"),
            why: why.to_owned(),
        }
    }

    fn alert(text: &str) -> Notice {
        Notice::Alert(text.to_owned())
    }

    fn news(text: &str) -> Notice {
        Notice::News(text.to_owned())
    }

    fn text(notices: &Notices, now: u64) -> String {
        notices.text(at(now)).unwrap_or_default()
    }

    #[test]
    fn several_refusals_are_all_to_be_read() {
        let mut notices = Notices::default();
        notices.say(news("connected again"), at(1));
        notices.say(refused("A", "closed"), at(2));
        notices.say(refused("B", "unknown"), at(2));
        notices.say(refused("C", "closed"), at(3));
        notices.say(refused("B", "unknown"), at(3));
        assert_eq!(
            text(&notices, 4),
            "A, C were refused: closed; B was refused: unknown"
        );
        notices.say(news("connected again"), at(5));
        assert_eq!(text(&notices, 5), "connected again");
    }

    #[test]
    fn alerts_stand_beside_each_other_each_for_its_time() {
        let mut notices = Notices::default();
        notices.say(alert("A is above 1"), at(0));
        notices.say(alert("B is above 2"), at(5));
        assert_eq!(text(&notices, 9), "A is above 1; B is above 2");
        assert_eq!(text(&notices, 10), "B is above 2");
        assert_eq!(text(&notices, 15), "");
        for second in 20..100 {
            notices.say(alert(&format!("{second}")), at(20));
        }
        assert_eq!(notices.0.len(), MAX_JOINED);
        assert!(text(&notices, 20).ends_with("98; 99"));
    }

    #[test]
    fn a_key_takes_away_what_has_been_read_but_no_alert() {
        let mut notices = Notices::default();
        notices.say(news("connection lost"), at(10));
        notices.key_pressed(at(11));
        assert_eq!(text(&notices, 11), "connection lost");
        notices.key_pressed(at(12));
        assert_eq!(text(&notices, 12), "");
        notices.say(alert("A is above 1"), at(20));
        notices.key_pressed(at(25));
        assert_eq!(text(&notices, 25), "A is above 1");
    }

    #[test]
    fn the_hint_to_select_a_row_is_gone_when_one_is() {
        let mut notices = Notices::default();
        notices.say(Notice::SelectFirst, at(0));
        assert!(text(&notices, 0).starts_with("select a row"));
        notices.selected();
        assert_eq!(text(&notices, 0), "");
    }
}
