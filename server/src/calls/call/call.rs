//! One call: who takes part in it, and who hears whom.
//!
//! Pure. [`Call::hears`] is the only place that decides who hears whom; routes, recordings and the leak test
//! ask it.

use super::party_set::{MAX_PARTIES, PartyId, PartySet};

/// What the others know of a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Party {
    /// The server's name of its leg.
    pub(crate) leg_id: String,
    /// What it calls itself; may be empty.
    pub(crate) display_name: String,
    /// Nobody hears it.
    pub(crate) is_muted: bool,
    /// Nobody hears it, and it hears nobody.
    pub(crate) is_on_hold: bool,
}

/// Everybody under one call id.
#[derive(Debug, Default)]
pub(crate) struct Call {
    parties: Vec<Option<Party>>,
}

impl Call {
    /// One more party; `None` if there are [`MAX_PARTIES`].
    pub(crate) fn join(&mut self, party: Party) -> Option<PartyId> {
        let free = self.parties.iter().position(Option::is_none);
        let index = free.unwrap_or(self.parties.len());
        if index >= MAX_PARTIES {
            return None;
        }
        match self.parties.get_mut(index) {
            Some(place) => *place = Some(party),
            None => self.parties.push(Some(party)),
        }
        PartyId::at(index)
    }

    /// It is not in the call any more.
    pub(crate) fn leave(&mut self, party: PartyId) -> Option<Party> {
        self.parties.get_mut(party.index())?.take()
    }

    /// What is known of a party.
    pub(crate) fn party(&self, party: PartyId) -> Option<&Party> {
        self.parties.get(party.index())?.as_ref()
    }

    /// The same, to change it.
    pub(crate) fn party_mut(&mut self, party: PartyId) -> Option<&mut Party> {
        self.parties.get_mut(party.index())?.as_mut()
    }

    /// Everybody, in the order of their places.
    pub(crate) fn parties(&self) -> impl Iterator<Item = (PartyId, &Party)> {
        let places = self.parties.iter().enumerate();
        places.filter_map(|(index, party)| Some((PartyId::at(index)?, party.as_ref()?)))
    }

    /// Whom a party hears: everybody else who is neither muted nor on hold, and nobody while it is on
    /// hold itself. Never itself.
    pub(crate) fn hears(&self, listener: PartyId) -> PartySet {
        match self.party(listener) {
            Some(party) if !party.is_on_hold => self
                .parties()
                .filter(|(id, party)| *id != listener && !party.is_muted && !party.is_on_hold)
                .map(|(id, _)| id)
                .collect(),
            _ => PartySet::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(parties: usize) -> (Call, Vec<PartyId>) {
        let mut call = Call::default();
        let ids = (0..parties).map(|_| call.join(Party::default()).unwrap());
        let ids = ids.collect();
        (call, ids)
    }

    #[test]
    fn everybody_hears_everybody_else_and_never_themselves() {
        let (call, ids) = call(4);
        for &listener in &ids {
            let others: PartySet = ids.iter().copied().filter(|id| *id != listener).collect();
            assert_eq!(call.hears(listener), others);
        }
    }

    #[test]
    fn who_is_muted_hears_and_is_not_heard_and_who_is_on_hold_neither() {
        let (mut call, ids) = call(3);
        call.party_mut(ids[1]).unwrap().is_muted = true;
        assert_eq!(call.hears(ids[0]).only(), Some(ids[2]));
        assert_eq!(call.hears(ids[1]).len(), 2);
        call.party_mut(ids[2]).unwrap().is_on_hold = true;
        assert!(call.hears(ids[0]).is_empty() && call.hears(ids[2]).is_empty());
        assert_eq!(call.hears(ids[1]).only(), Some(ids[0]));
    }

    #[test]
    fn who_has_left_is_not_heard_and_its_place_is_free() {
        let (mut call, ids) = call(MAX_PARTIES);
        assert!(call.join(Party::default()).is_none());
        call.leave(ids[7]).unwrap();
        assert!(!call.hears(ids[0]).contains(ids[7]));
        assert!(call.hears(ids[7]).is_empty());
        assert_eq!(call.join(Party::default()), Some(ids[7]));
    }
}
