//! What happens in a call of several: who comes and goes, what they do, what they hear and are told.
//!
//! Pure: `now` is passed in, and every 10 ms somebody calls [`Bridge::tick`]. What is to be sent is taken
//! after each.

use std::time::Duration;

use audio::{Gap, mixing::Arrived};
use proto::callcenter::{self, Event, event};

use crate::calls::{
    call::{Call, Party, PartyId},
    route::{LegFormat, Outgoing, Routing},
};

/// At and above this level (−dBov, RFC 6464) a party speaks.
const TALKING_LEVEL: u8 = 45;

/// Of no sound at all.
const SILENT_LEVEL: u8 = 127;

/// A pause of this length is within what it says.
const TALKING_PAUSE: Duration = Duration::from_millis(400);

/// How long a key is pressed whose sender does not say.
const DTMF_DURATION_MS: u32 = 100;

/// What a party does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Mute(bool),
    Hold(bool),
    Dtmf { digit: String, duration_ms: u32 },
}

/// For one party.
#[derive(Debug)]
pub(crate) enum Output {
    Send(Outgoing),
    Tell(Event),
}

/// Whether a party speaks.
#[derive(Debug, Clone, Copy, Default)]
struct Talk {
    loud_at: Option<Duration>,
    is_told: bool,
}

/// A call of several.
#[derive(Default)]
pub(crate) struct Bridge {
    call: Call,
    routing: Routing,
    talks: Vec<Talk>,
    outputs: Vec<(PartyId, Output)>,
}

impl Bridge {
    /// One more party; `None` if there is no place. `knows`: it has been told who is in the call.
    pub(crate) fn join(
        &mut self,
        party: Party,
        format: LegFormat,
        knows: bool,
        now: Duration,
    ) -> Option<PartyId> {
        let joined = contract_party(&party);
        let own_leg_id = party.leg_id.clone();
        let id = self.call.join(party)?;
        match self.talks.get_mut(id.index()) {
            Some(talk) => *talk = Talk::default(),
            None => self.talks.resize(id.index() + 1, Talk::default()),
        }
        self.routing.join(id, format);
        self.tell_others(id, &event::Event::Joined(joined));
        if !knows {
            let parties = self.call.parties();
            let parties = parties.map(|(_, party)| contract_party(party)).collect();
            let roster = callcenter::Roster {
                parties,
                own_leg_id,
            };
            self.tell(id, event::Event::Roster(roster));
        }
        self.update(now);
        Some(id)
    }

    /// A party has gone, for this reason.
    pub(crate) fn leave(&mut self, party: PartyId, reason: &str, now: Duration) {
        let Some(gone) = self.call.leave(party) else {
            return;
        };
        self.routing.leave(party);
        self.outputs.retain(|(to, _)| *to != party);
        let left = callcenter::Left {
            leg_id: gone.leg_id,
            reason: reason.to_owned(),
        };
        self.tell_others(party, &event::Event::Left(left));
        self.update(now);
    }

    /// Takes a chunk of a party as it arrives.
    ///
    /// # Errors
    /// A fault of ours: the party cannot go on. The words are for the log.
    pub(crate) fn insert(&mut self, party: PartyId, arrived: Arrived) -> Result<(), String> {
        let says_nothing = arrived.payload.is_empty() && arrived.gap != Gap::None;
        if says_nothing {
            self.stop_talking(party);
        } else if let Some(level) = arrived.level {
            self.watch(party, level, arrived.at);
        }
        let now = arrived.at;
        self.routing.insert(party, arrived)?;
        if self.routing.is_dirty() {
            self.update(now);
        }
        Ok(())
    }

    /// A party does something.
    pub(crate) fn act(&mut self, party: PartyId, act: Act, now: Duration) {
        let Some(actor) = self.call.party_mut(party) else {
            return;
        };
        let leg_id = actor.leg_id.clone();
        match act {
            Act::Mute(muted) => {
                if std::mem::replace(&mut actor.is_muted, muted) == muted {
                    return;
                }
                self.stop_talking(party);
                self.tell_all(&muted_event(leg_id, muted));
                self.update(now);
            }
            Act::Hold(on_hold) => {
                if std::mem::replace(&mut actor.is_on_hold, on_hold) == on_hold {
                    return;
                }
                self.stop_talking(party);
                self.tell_all(&hold_event(leg_id, on_hold));
                self.update(now);
            }
            Act::Dtmf { digit, duration_ms } => {
                let duration_ms = match duration_ms {
                    0 => DTMF_DURATION_MS,
                    duration_ms => duration_ms,
                };
                let dtmf = callcenter::Dtmf {
                    leg_id,
                    digit,
                    duration_ms,
                };
                self.tell_others(party, &event::Event::Dtmf(dtmf));
            }
        }
    }

    /// The next 10 ms. What it returns is a fault of ours: those parties cannot go on.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<PartyId> {
        let faults = self.routing.tick(now);
        let levels: Vec<_> = self
            .call
            .parties()
            .filter_map(|(party, _)| Some((party, self.routing.level(party)?)))
            .collect();
        for (party, level) in levels {
            self.watch(party, level, now);
        }
        faults
    }

    /// Whether ticks are needed: not where everything is relayed.
    pub(crate) fn needs_ticks(&self) -> bool {
        self.routing.needs_ticks()
    }

    /// How many packets were encoded so far.
    pub(crate) fn encoded(&self) -> u64 {
        self.routing.encoded()
    }

    /// How many take part.
    pub(crate) fn parties(&self) -> usize {
        self.call.parties().count()
    }

    /// What is to be sent by now, in order.
    pub(crate) fn take_outputs(&mut self) -> Vec<(PartyId, Output)> {
        let deliveries = self.routing.take_deliveries().into_iter();
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.extend(deliveries.map(|delivery| (delivery.to, Output::Send(delivery.outgoing))));
        outputs
    }

    fn update(&mut self, now: Duration) {
        // Only a codec that cannot be set up is a fault here; the party then hears nothing.
        for party in self.routing.update(&self.call, now) {
            tracing::error!(
                leg = self.leg_id(party),
                "no codec could be set up for this leg in its call"
            );
        }
    }

    fn leg_id(&self, party: PartyId) -> &str {
        self.call.party(party).map_or("", |party| &party.leg_id)
    }

    /// What a party said is over.
    fn stop_talking(&mut self, party: PartyId) {
        if let Some(talk) = self.talks.get_mut(party.index()) {
            talk.loud_at = None;
        }
        self.watch(party, SILENT_LEVEL, Duration::ZERO);
    }

    /// Takes note of how loud a party is.
    fn watch(&mut self, party: PartyId, level: u8, now: Duration) {
        let Some(talk) = self.talks.get_mut(party.index()) else {
            return;
        };
        if level <= TALKING_LEVEL {
            talk.loud_at = Some(now);
        }
        let talking = talk
            .loud_at
            .is_some_and(|loud_at| now.saturating_sub(loud_at) < TALKING_PAUSE);
        if std::mem::replace(&mut talk.is_told, talking) != talking {
            let leg_id = self.leg_id(party).to_owned();
            let talking = callcenter::Talking { leg_id, talking };
            self.tell_others(party, &event::Event::Talking(talking));
        }
    }

    fn tell(&mut self, to: PartyId, event: event::Event) {
        let event = Event { event: Some(event) };
        self.outputs.push((to, Output::Tell(event)));
    }

    fn tell_all(&mut self, event: &event::Event) {
        let parties: Vec<_> = self.call.parties().map(|(party, _)| party).collect();
        for party in parties {
            self.tell(party, event.clone());
        }
    }

    fn tell_others(&mut self, but: PartyId, event: &event::Event) {
        let parties: Vec<_> = self.call.parties().map(|(party, _)| party).collect();
        for party in parties.into_iter().filter(|party| *party != but) {
            self.tell(party, event.clone());
        }
    }
}

/// That a party is muted, or heard again.
pub(super) fn muted_event(leg_id: String, muted: bool) -> event::Event {
    event::Event::Muted(callcenter::Muted { leg_id, muted })
}

/// That a party is on hold, or back.
pub(super) fn hold_event(leg_id: String, on_hold: bool) -> event::Event {
    event::Event::Hold(callcenter::Hold { leg_id, on_hold })
}

/// A party as the contract tells of it.
pub(super) fn contract_party(party: &Party) -> callcenter::Party {
    callcenter::Party {
        leg_id: party.leg_id.clone(),
        display_name: party.display_name.clone(),
        muted: party.is_muted,
        on_hold: party.is_on_hold,
    }
}

#[cfg(test)]
mod tests;
