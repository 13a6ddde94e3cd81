//! One call of several parties.
//!
//! `call` knows who takes part and who hears whom; `party_set` is a set of them. Both are pure.

mod call;
mod party_set;

pub(crate) use call::{Call, Party};
pub(crate) use party_set::{MAX_PARTIES, PartyId, PartySet};
