//! Who is in the call, by what the server tells, and what is worth a word to a person. Pure.

use proto::{
    callcenter::{Event, Party as ToldParty, event},
    text::excerpt,
};

use crate::engine::recent_log::RecentLog;

/// The most of somebody's name that is shown.
const NAME_COLUMNS: usize = 32;

/// One party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    leg_id: String,
    /// As it is shown.
    pub name: String,
    /// It is not heard.
    pub muted: bool,
    /// It neither hears nor is heard.
    pub on_hold: bool,
    /// It speaks.
    pub talking: bool,
}

/// Everybody in the call but us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties {
    others: Vec<Party>,
    own_place: Option<usize>,
    /// The server has told who is in the call.
    is_known: bool,
    /// What happened, in words.
    pub news: RecentLog<String>,
}

impl Parties {
    /// Everybody else; empty where nobody is, or the server does not tell.
    pub fn others(&self) -> &[Party] {
        &self.others
    }

    /// Our place in the call, from 0, as everybody counts; `None` until the server has told.
    pub fn own_place(&self) -> Option<usize> {
        self.own_place
    }

    /// Takes what the server tells.
    pub fn apply(&mut self, event: &Event) {
        match &event.event {
            Some(event::Event::Roster(roster)) => {
                let mut places = roster.parties.iter();
                self.own_place = places.position(|party| party.leg_id == roster.own_leg_id);
                let others = roster.parties.iter();
                let others = others.filter(|party| party.leg_id != roster.own_leg_id);
                let others: Vec<_> = others.map(party).collect();
                // On a line that came back it is no news.
                let was_known = std::mem::replace(&mut self.is_known, true);
                let is_news = !was_known || names(&others) != names(&self.others);
                self.others = others;
                if is_news {
                    self.news.push(match self.others.is_empty() {
                        true if was_known => "nobody else is in the call now".to_owned(),
                        true => "nobody else is in the call yet".to_owned(),
                        false => format!("in the call: {}", self.words()),
                    });
                }
            }
            Some(event::Event::Joined(told)) => {
                let party = party(told);
                self.news.push(format!("{} joined the call", party.name));
                self.others.retain(|other| other.leg_id != party.leg_id);
                self.others.push(party);
            }
            Some(event::Event::Left(left)) => {
                let Some(at) = self
                    .others
                    .iter()
                    .position(|party| party.leg_id == left.leg_id)
                else {
                    return;
                };
                let party = self.others.remove(at);
                let reason = excerpt(&left.reason, NAME_COLUMNS);
                let alone = match self.others.is_empty() {
                    true => "; nobody else is in the call now",
                    false => "",
                };
                self.news
                    .push(format!("{} left: {reason}{alone}", party.name));
            }
            Some(event::Event::Muted(muted)) => {
                // By push-to-talk it changes all the time: it is shown, and no news.
                if let Some(party) = self.find(&muted.leg_id) {
                    party.muted = muted.muted;
                }
            }
            Some(event::Event::Hold(hold)) => {
                let words = if hold.on_hold {
                    "is on hold"
                } else {
                    "is back from hold"
                };
                self.change(&hold.leg_id, words, |party| party.on_hold = hold.on_hold);
            }
            Some(event::Event::Talking(talking)) => {
                if let Some(party) = self.find(&talking.leg_id) {
                    party.talking = talking.talking;
                }
            }
            Some(event::Event::Dtmf(dtmf)) => {
                let words = format!("pressed {}", excerpt(&dtmf.digit, 1));
                self.change(&dtmf.leg_id, &words, |_| {});
            }
            // Of a later version.
            None => {}
        }
    }

    /// Everybody else in one line; empty where nobody is.
    pub fn words(&self) -> String {
        let others: Vec<_> = self.others.iter().map(words).collect();
        others.join(", ")
    }

    fn find(&mut self, leg_id: &str) -> Option<&mut Party> {
        self.others.iter_mut().find(|party| party.leg_id == leg_id)
    }

    fn change(&mut self, leg_id: &str, words: &str, change: impl FnOnce(&mut Party)) {
        let Some(party) = self.find(leg_id) else {
            return;
        };
        change(party);
        let news = format!("{} {words}", party.name);
        self.news.push(news);
    }
}

fn party(told: &ToldParty) -> Party {
    let name = match told.display_name.trim() {
        "" => excerpt(&told.leg_id, NAME_COLUMNS),
        name => excerpt(name, NAME_COLUMNS),
    };
    Party {
        leg_id: told.leg_id.clone(),
        name,
        muted: told.muted,
        on_hold: told.on_hold,
        talking: false,
    }
}

/// In an order of their own: that of the server may change.
fn names(parties: &[Party]) -> Vec<&str> {
    let mut names: Vec<_> = parties.iter().map(|party| party.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn words(party: &Party) -> String {
    let state = if party.on_hold {
        " (on hold)"
    } else if party.muted {
        " (muted)"
    } else if party.talking {
        " (talking)"
    } else {
        ""
    };
    format!("{}{state}", party.name)
}

#[cfg(test)]
mod tests {
    use proto::callcenter::{Dtmf, Hold, Left, Muted, Roster, Talking};

    use super::*;

    fn told(leg_id: &str, name: &str) -> ToldParty {
        ToldParty {
            leg_id: leg_id.to_owned(),
            display_name: name.to_owned(),
            ..ToldParty::default()
        }
    }

    fn apply(parties: &mut Parties, event: event::Event) {
        parties.apply(&Event { event: Some(event) });
    }

    fn roster(parties: &[ToldParty]) -> event::Event {
        event::Event::Roster(Roster {
            parties: parties.to_vec(),
            own_leg_id: "leg-1".to_owned(),
        })
    }

    #[test]
    fn who_comes_goes_and_does_something_is_told_by_name() {
        let mut parties = Parties::default();
        let me = told("leg-1", "me");
        apply(&mut parties, roster(std::slice::from_ref(&me)));
        apply(&mut parties, event::Event::Joined(told("leg-2", "Ada")));
        apply(&mut parties, event::Event::Joined(told("leg-3", "")));
        let leg_id = || "leg-2".to_owned();
        apply(
            &mut parties,
            event::Event::Talking(Talking {
                leg_id: leg_id(),
                talking: true,
            }),
        );
        assert_eq!(parties.words(), "Ada (talking), leg-3");
        apply(
            &mut parties,
            event::Event::Muted(Muted {
                leg_id: leg_id(),
                muted: true,
            }),
        );
        apply(
            &mut parties,
            event::Event::Hold(Hold {
                leg_id: leg_id(),
                on_hold: true,
            }),
        );
        let dtmf = Dtmf {
            leg_id: leg_id(),
            digit: "5".to_owned(),
            duration_ms: 100,
        };
        apply(&mut parties, event::Event::Dtmf(dtmf));
        assert_eq!(parties.words(), "Ada (on hold), leg-3");
        for leg_id in ["leg-3", "leg-2"] {
            let left = Left {
                leg_id: leg_id.to_owned(),
                reason: "hung up".to_owned(),
            };
            apply(&mut parties, event::Event::Left(left));
        }
        assert_eq!(
            parties.news.after(0),
            [
                "nobody else is in the call yet",
                "Ada joined the call",
                "leg-3 joined the call",
                "Ada is on hold",
                "Ada pressed 5",
                "leg-3 left: hung up",
                "Ada left: hung up; nobody else is in the call now",
            ]
        );
    }

    #[test]
    fn a_line_that_comes_back_to_the_same_people_is_no_news() {
        let mut parties = Parties::default();
        let (me, ada) = (told("leg-1", "me"), told("leg-2", "Ada"));
        for _ in 0..2 {
            apply(&mut parties, roster(&[me.clone(), ada.clone()]));
        }
        assert_eq!(parties.news.after(0), ["in the call: Ada"]);
        apply(&mut parties, roster(&[me]));
        assert_eq!(parties.news.count(), 2);
    }

    #[test]
    fn hostile_names_are_shown_harmlessly_and_unknown_legs_ignored() {
        let mut parties = Parties::default();
        let name = format!("\x1b[2J\n{}", "x".repeat(500));
        apply(&mut parties, roster(&[told("leg-2", &name)]));
        let words = parties.words();
        assert!(
            !words.contains(['\x1b', '\n']) && words.len() < 200,
            "{words}"
        );
        let muted = Muted {
            leg_id: "leg-9".to_owned(),
            muted: true,
        };
        apply(&mut parties, event::Event::Muted(muted));
        parties.apply(&Event { event: None });
        assert_eq!(parties.news.count(), 1);
    }
}
