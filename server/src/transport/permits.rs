//! How many streams of one kind (legs, ticker streams) there are, and who has them: by address, in
//! all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tonic::Status;

use super::address::{party, share_of_one};

/// However few streams there may be: so many may be unread beside them.
const MIN_UNREAD: usize = 64;

/// The streams of one kind.
#[derive(Debug)]
pub(crate) struct Permits {
    /// What they are called, and which flag sets how many there may be (if one does).
    kind: &'static str,
    flag: &'static str,
    max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Streams that were ended, and whose peers have not read that: the transport still keeps their
    /// last words. They take nobody's place, but are not to be without number; their address goes on
    /// paying for them.
    unread: usize,
}

/// One stream's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    address: Option<IpAddr>,
    is_unread: bool,
}

impl Permits {
    /// At most `max` at once.
    pub(crate) fn new(kind: &'static str, flag: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self {
            kind,
            flag,
            max,
            counts: Mutex::default(),
        })
    }

    /// One more stream for this peer.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED: its address or the server has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Permit, Status> {
        let Self {
            kind, flag, max, ..
        } = &**self;
        let address = peer.map(party);
        let mut counts = self.lock();
        let of_address = address.and_then(|address| counts.by_address.get(&address).copied());
        let share = share_of_one(*max);
        if share < *max && of_address.unwrap_or(0) >= share {
            return Err(Status::resource_exhausted(format!(
                "one address may have {share} of the {max} {kind} that the server carries at once{flag}; try again later"
            )));
        }
        if counts.all >= *max {
            return Err(Status::resource_exhausted(format!(
                "the server carries at most {max} {kind} at once{flag}; try again later"
            )));
        }
        if counts.unread >= (*max).max(MIN_UNREAD) {
            return Err(Status::resource_exhausted(format!(
                "{} {kind} were ended and their peers still keep their connections without reading that; try again later",
                counts.unread
            )));
        }
        counts.all += 1;
        if let Some(address) = address {
            *counts.by_address.entry(address).or_default() += 1;
        }
        Ok(Permit {
            permits: Arc::clone(self),
            address,
            is_unread: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The stream is over, but its peer reads nothing: somebody else may have the place.
    pub(crate) fn give_up_unread(&mut self) {
        if !std::mem::replace(&mut self.is_unread, true) {
            let mut counts = self.permits.lock();
            counts.unread += 1;
            counts.all -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.permits.lock();
        match self.is_unread {
            true => counts.unread -= 1,
            false => counts.all -= 1,
        }
        if let Some(address) = &self.address
            && let Some(count) = counts.by_address.get_mut(address)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn a_place_is_free_when_its_stream_is_over_or_was_not_read() {
        let permits = Permits::new("legs", " (--max-legs)", 2);
        let first = permits.take(None).unwrap();
        let second = permits.take(None).unwrap();
        let error = permits.take(None).unwrap_err();
        assert!(error.message().contains("at most 2 legs"), "{error}");
        drop(second);
        let mut unread: Vec<_> = (0..MIN_UNREAD)
            .map(|_| {
                let mut permit = permits.take(None).unwrap();
                permit.give_up_unread();
                permit.give_up_unread();
                permit
            })
            .collect();
        let error = permits.take(None).unwrap_err();
        assert!(error.message().contains("without reading"), "{error}");
        unread.pop();
        let second = permits.take(None).unwrap();
        assert!(permits.take(None).is_err());
        drop((first, second, unread));
        let counts = permits.lock();
        assert_eq!((counts.all, counts.unread), (0, 0));
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let permits = Permits::new("legs", " (--max-legs)", 8);
        let mut taken: Vec<_> = (0..7)
            .map(|_| permits.take(peer("192.0.2.1")).unwrap())
            .collect();
        let error = permits.take(peer("192.0.2.1")).unwrap_err();
        assert!(error.message().contains("7 of the 8 legs"), "{error}");
        let other = permits.take(peer("192.0.2.2")).unwrap();
        // Given up unread, it is still its address's, and nobody else's.
        taken[0].give_up_unread();
        assert!(permits.take(peer("192.0.2.1")).is_err());
        taken.push(permits.take(peer("192.0.2.2")).unwrap());
        drop((taken, other));
        assert!(permits.lock().by_address.is_empty());
    }
}
