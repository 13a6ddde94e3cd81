//! Addresses whose connections were ended because they wore the server out, again and again. Pure:
//! time comes in as a number.
//!
//! Whoever is told goodbye for a flood opens the next connection. Behind the same address there may
//! be others who have done nothing: connections that there are stay as they are, and a new one is
//! served all the same, but later and with less.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// So many such ends, each within [`FORGIVEN_AFTER`] of the one before, and the address is on
/// probation.
pub(super) const MAX_ENDS: u32 = 4;

/// So long after the last of them all is forgotten.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Addresses that are told apart.
const MAX_ADDRESSES: usize = 4_096;

/// What is known of all addresses.
#[derive(Debug, Default)]
pub(super) struct Conduct(HashMap<IpAddr, Ends>);

#[derive(Debug)]
struct Ends {
    count: u32,
    last: Instant,
}

impl Ends {
    fn are_forgiven(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGIVEN_AFTER
    }
}

impl Conduct {
    /// One more connection of this address was ended. Whether its probation begins with that.
    pub(super) fn ended(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.0.len() >= MAX_ADDRESSES {
            self.0.retain(|_, ends| !ends.are_forgiven(now));
        }
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            return false;
        }
        let ends = self.0.entry(address).or_insert(Ends {
            count: 0,
            last: now,
        });
        if ends.are_forgiven(now) {
            ends.count = 0;
        }
        ends.count = ends.count.saturating_add(1);
        ends.last = now;
        ends.count == MAX_ENDS
    }

    /// Whether it is on probation.
    pub(super) fn is_on_probation(&self, address: IpAddr, now: Instant) -> bool {
        let ends = self.0.get(&address);
        ends.is_some_and(|ends| ends.count >= MAX_ENDS && !ends.are_forgiven(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn probation_begins_with_one_end_too_many_and_is_over_after_a_quiet_minute() {
        let (mut conduct, mut now) = (Conduct::default(), Instant::now());
        for round in 0..2 {
            for _ in 1..MAX_ENDS {
                now += FORGIVEN_AFTER / 2;
                assert!(!conduct.ended(ATTACKER, now));
            }
            assert!(!conduct.is_on_probation(ATTACKER, now), "round {round}");
            assert!(conduct.ended(ATTACKER, now));
            // It is said once.
            assert!(!conduct.ended(ATTACKER, now));
            now += FORGIVEN_AFTER / 2;
            assert!(conduct.is_on_probation(ATTACKER, now));
            assert!(!conduct.is_on_probation(OTHER, now));
            now += FORGIVEN_AFTER / 2;
            assert!(!conduct.is_on_probation(ATTACKER, now));
        }
    }

    #[test]
    fn what_is_seldom_does_not_add_up() {
        let (mut conduct, mut now) = (Conduct::default(), Instant::now());
        for _ in 0..10 * MAX_ENDS {
            now += FORGIVEN_AFTER;
            conduct.ended(OTHER, now);
            assert!(!conduct.is_on_probation(OTHER, now));
        }
    }

    #[test]
    fn addresses_without_number_take_no_memory_without_number() {
        let (mut conduct, now) = (Conduct::default(), Instant::now());
        for n in 0..2 * MAX_ADDRESSES as u32 {
            conduct.ended(IpAddr::V4(n.into()), now);
        }
        assert_eq!(conduct.0.len(), MAX_ADDRESSES);
        conduct.ended(ATTACKER, now + FORGIVEN_AFTER);
        assert_eq!(conduct.0.len(), 1);
    }
}
