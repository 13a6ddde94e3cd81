//! A set of the parties of one call.

/// So many parties a call has at most.
pub(crate) const MAX_PARTIES: usize = 256;

const WORDS: usize = MAX_PARTIES / 64;

/// One party, by its place in the call. Free again for another one when it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartyId(u8);

impl PartyId {
    /// The place in a list of all parties.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The party at this place; `None` beyond [`MAX_PARTIES`].
    pub(crate) fn at(index: usize) -> Option<Self> {
        u8::try_from(index).ok().map(Self)
    }
}

/// Some of a call's parties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct PartySet([u64; WORDS]);

impl PartySet {
    pub(crate) fn insert(&mut self, party: PartyId) {
        self.change(party, |word, bit| *word |= bit);
    }

    pub(crate) fn remove(&mut self, party: PartyId) {
        self.change(party, |word, bit| *word &= !bit);
    }

    pub(crate) fn contains(&self, party: PartyId) -> bool {
        let word = self.0.get(party.index() / 64).copied().unwrap_or(0);
        word >> (party.index() % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The only one, if there is just one.
    pub(crate) fn only(&self) -> Option<PartyId> {
        match self.len() {
            1 => self.iter().next(),
            _ => None,
        }
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        self.with(other, |own, other| own & other)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.with(other, |own, other| own & !other)
    }

    fn change(&mut self, party: PartyId, change: impl FnOnce(&mut u64, u64)) {
        if let Some(word) = self.0.get_mut(party.index() / 64) {
            change(word, 1 << (party.index() % 64));
        }
    }

    fn with(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut joined = *self;
        for (word, other) in joined.0.iter_mut().zip(other.0) {
            *word = join(*word, other);
        }
        joined
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PartyId> + use<> {
        let mut words = self.0;
        std::iter::from_fn(move || {
            let (at, word) = words.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
            let bit = word.trailing_zeros() as usize;
            *word &= *word - 1;
            PartyId::at(at * 64 + bit)
        })
    }
}

impl FromIterator<PartyId> for PartySet {
    fn from_iter<I: IntoIterator<Item = PartyId>>(parties: I) -> Self {
        let mut set = Self::default();
        for party in parties {
            set.insert(party);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_it_in_order() {
        let numbers = [0, 1, 63, 64, 127, 128, 255];
        let set: PartySet = numbers.into_iter().filter_map(PartyId::at).collect();
        assert!(set.iter().map(PartyId::index).eq(numbers));
        assert_eq!((set.len(), set.only()), (7, None));
        let mut one = set;
        for number in &numbers[1..] {
            one.remove(PartyId::at(*number).unwrap());
        }
        assert_eq!(one.only(), PartyId::at(0));
        assert!(set.and(&one) == one && set.without(&one).len() == 6);
        assert!(PartyId::at(MAX_PARTIES).is_none());
    }
}
