//! Who may connect: how many connections there are, and how many of one address.
//!
//! A connection costs a descriptor, whatever it says. Nobody may have them all, and a few are kept
//! for ourselves: a server without any left cannot even tell a peer so.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::address::{party, share_of_one};

/// Descriptors that are not for connections: listeners, outputs, and peers that are being turned
/// away; and those of the runtime of each worker thread.
const RESERVED_DESCRIPTORS: usize = 40;
const DESCRIPTORS_PER_THREAD: usize = 4;

/// What is asked for where the most that may be had has no number, as on macOS.
#[cfg(unix)]
const ENOUGH_DESCRIPTORS: u64 = 10_240;

/// Counts connections.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    max: usize,
    max_of_address: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    address: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "{address} has {max} connections to this server, the most that one address may; close some \
         (or start the server with a higher --max-connections-per-address and more open files)"
    )]
    Address { address: IpAddr, max: usize },
    #[error(
        "the server has {max} connections, the most that its open files allow (ulimit -n); try again later"
    )]
    Server { max: usize },
}

impl Admission {
    /// As many as the process may have descriptors for, and of one address at most `max_of_address`.
    pub(crate) fn new(max_of_address: usize) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let of_threads = threads * DESCRIPTORS_PER_THREAD;
        Self::of(descriptors().saturating_sub(of_threads), max_of_address)
    }

    fn of(descriptors: usize, max_of_address: usize) -> Self {
        let max = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        Self {
            max,
            max_of_address: max_of_address.min(share_of_one(max)),
            counts: Arc::default(),
        }
    }

    /// Takes a connection from this address, or says why not.
    pub(crate) fn admit(&self, ip: IpAddr) -> Result<Admitted, Refusal> {
        let address = party(ip);
        let mut counts = lock(&self.counts);
        if counts.all >= self.max {
            return Err(Refusal::Server { max: self.max });
        }
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= self.max_of_address {
            let max = self.max_of_address;
            return Err(Refusal::Address { address, max });
        }
        *of_address += 1;
        counts.all += 1;
        Ok(Admitted {
            address,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many descriptors this process may have: all that it can be given.
#[cfg(unix)]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // A desktop's usual 1,024 are for programs that still use select().
    let enough = maximum.map_or(ENOUGH_DESCRIPTORS, |most| most.min(ENOUGH_DESCRIPTORS));
    let had = [maximum, Some(enough)].into_iter().find(|&current| {
        let raised = Rlimit { current, maximum };
        setrlimit(Resource::Nofile, raised).is_ok()
    });
    had.unwrap_or(current).map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_leaves_some_for_others_and_a_closed_connection_makes_room() {
        let admission = Admission::of(RESERVED_DESCRIPTORS + 16, 1_024);
        let mut taken: Vec<_> = (0..14)
            .map(|_| admission.admit(ip("192.0.2.1")).unwrap())
            .collect();
        let refusal = admission.admit(ip("192.0.2.1")).unwrap_err().to_string();
        for words in ["192.0.2.1 has 14", "--max-connections-per-address"] {
            assert!(refusal.contains(words), "{refusal}");
        }
        let others: Vec<_> = ["192.0.2.2", "2001:db8::1"]
            .map(|other| admission.admit(ip(other)).unwrap())
            .into();
        let refusal = admission.admit(ip("192.0.2.3")).unwrap_err().to_string();
        assert!(refusal.contains("has 16 connections"), "{refusal}");
        taken.pop();
        taken.push(admission.admit(ip("192.0.2.1")).unwrap());
        drop((taken, others));
        let counts = lock(&admission.counts);
        assert!(counts.all == 0 && counts.by_address.is_empty());
    }

    #[test]
    fn the_limit_of_an_address_is_the_one_that_was_set() {
        let admission = Admission::of(100_000, 2);
        let _two = [(); 2].map(|()| admission.admit(ip("::1")).unwrap());
        assert!(admission.admit(ip("::1")).is_err());
        assert!(admission.admit(ip("127.0.0.1")).is_ok());
    }
}
