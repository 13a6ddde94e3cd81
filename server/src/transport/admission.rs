//! Who may connect, and with what: how many connections there are, how many of one address, how much
//! of its memory each may use, and whether the address has misbehaved.
//!
//! A connection costs a descriptor, whatever it says. Nobody may have them all, and a few are kept
//! for ourselves: a server without any left cannot even tell a peer so.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use super::{
    address::{party, share_of_one},
    conduct::Conduct,
    frames::{AddressFrames, MAX_FRAMES_OF_ADDRESS},
    window_share::WindowShare,
};

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
    share: WindowShare,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, OfAddress>,
    conduct: Conduct,
}

/// The connections of one address.
#[derive(Debug)]
struct OfAddress {
    count: usize,
    /// The sum of their windows.
    windows: u64,
    frames: AddressFrames,
}

impl OfAddress {
    fn new(now: Instant) -> Self {
        Self {
            count: 0,
            windows: 0,
            frames: AddressFrames::new(MAX_FRAMES_OF_ADDRESS, now),
        }
    }
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    address: IpAddr,
    window: u64,
    frames: AddressFrames,
    is_on_probation: bool,
    counts: Arc<Mutex<Counts>>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "{address} has {max} connections to this server, the most that one address may; close some \
         (or start the server with a higher --max-connections-per-address, --max-memory-per-address and \
         more open files)"
    )]
    Address { address: IpAddr, max: usize },
    #[error(
        "the server has {max} connections, the most that its open files allow (ulimit -n); try again later"
    )]
    Server { max: usize },
}

impl Admission {
    /// As many as the process may have descriptors for, and of one address at most `max_of_address`,
    /// which have `memory` bytes together.
    pub(crate) fn new(max_of_address: usize, memory: u64) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let of_threads = threads * DESCRIPTORS_PER_THREAD;
        let descriptors = descriptors().saturating_sub(of_threads);
        Self::of(descriptors, max_of_address, memory)
    }

    fn of(descriptors: usize, max_of_address: usize, memory: u64) -> Self {
        let max = descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        let max_of_address = max_of_address.min(share_of_one(max));
        let (share, max_of_address) = WindowShare::new(memory, max_of_address);
        Self {
            max,
            max_of_address,
            share,
            counts: Arc::default(),
        }
    }

    /// Takes a connection from this address, or says why not.
    pub(crate) fn admit(&self, ip: IpAddr, now: Instant) -> Result<Admitted, Refusal> {
        let address = party(ip);
        let mut counts = lock(&self.counts);
        if counts.all >= self.max {
            return Err(Refusal::Server { max: self.max });
        }
        let of_address = counts
            .by_address
            .entry(address)
            .or_insert_with(|| OfAddress::new(now));
        if of_address.count >= self.max_of_address {
            let max = self.max_of_address;
            return Err(Refusal::Address { address, max });
        }
        let window = self.share.next(of_address.count, of_address.windows);
        of_address.count += 1;
        of_address.windows += window;
        let frames = of_address.frames.clone();
        counts.all += 1;
        Ok(Admitted {
            address,
            window,
            frames,
            is_on_probation: counts.conduct.is_on_probation(address, now),
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Admitted {
    /// What may wait unread on it, in bytes.
    pub(super) fn window(&self) -> u32 {
        u32::try_from(self.window).unwrap_or(u32::MAX)
    }

    /// What the connections of its address may send together.
    pub(super) fn frames(&self) -> AddressFrames {
        self.frames.clone()
    }

    /// Whether its address had misbehaved, again and again, when it came.
    pub(super) fn is_on_probation(&self) -> bool {
        self.is_on_probation
    }

    /// It is ended because it wears us out. Returns the address whose probation begins with that.
    pub(super) fn misbehaved(&self, now: Instant) -> Option<IpAddr> {
        let begins = lock(&self.counts).conduct.ended(self.address, now);
        begins.then_some(self.address)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            of_address.count -= 1;
            of_address.windows -= self.window;
            if of_address.count == 0 {
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

    const MEMORY: u64 = 1 << 30;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_leaves_some_for_others_and_a_closed_connection_makes_room() {
        let now = Instant::now();
        let admission = Admission::of(RESERVED_DESCRIPTORS + 16, 1_024, MEMORY);
        let mut taken: Vec<_> = (0..14)
            .map(|_| admission.admit(ip("192.0.2.1"), now).unwrap())
            .collect();
        let refusal = admission
            .admit(ip("192.0.2.1"), now)
            .unwrap_err()
            .to_string();
        for words in ["192.0.2.1 has 14", "--max-connections-per-address"] {
            assert!(refusal.contains(words), "{refusal}");
        }
        let others: Vec<_> = ["192.0.2.2", "2001:db8::1"]
            .map(|other| admission.admit(ip(other), now).unwrap())
            .into();
        let refusal = admission
            .admit(ip("192.0.2.3"), now)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("has 16 connections"), "{refusal}");
        taken.pop();
        taken.push(admission.admit(ip("192.0.2.1"), now).unwrap());
        drop((taken, others));
        let counts = lock(&admission.counts);
        assert!(counts.all == 0 && counts.by_address.is_empty());
    }

    #[test]
    fn the_limit_of_an_address_is_the_one_that_was_set() {
        let now = Instant::now();
        let admission = Admission::of(100_000, 2, MEMORY);
        let _two = [(); 2].map(|()| admission.admit(ip("::1"), now).unwrap());
        assert!(admission.admit(ip("::1"), now).is_err());
        assert!(admission.admit(ip("127.0.0.1"), now).is_ok());
    }

    #[test]
    fn the_windows_of_an_address_are_of_one_memory_and_come_back() {
        let now = Instant::now();
        let admission = Admission::of(100_000, 1_024, MEMORY);
        let first = admission.admit(ip("192.0.2.1"), now).unwrap().window();
        let crowd: Vec<_> = (0..200)
            .map(|_| admission.admit(ip("192.0.2.1"), now).unwrap())
            .collect();
        let last = admission.admit(ip("192.0.2.1"), now).unwrap().window();
        assert!(last < first / 100, "{last} of {first}");
        let other = admission.admit(ip("192.0.2.2"), now).unwrap();
        assert_eq!(other.window(), first);
        drop(crowd);
        let again = admission.admit(ip("192.0.2.1"), now).unwrap();
        assert_eq!(again.window(), first);
    }

    #[test]
    fn only_what_connects_after_the_misconduct_is_on_probation() {
        let now = Instant::now();
        let admission = Admission::of(100_000, 1_024, MEMORY);
        let before = admission.admit(ip("192.0.2.1"), now).unwrap();
        let said: Vec<_> = (0..20).filter_map(|_| before.misbehaved(now)).collect();
        assert_eq!(said, [ip("192.0.2.1")]);
        assert!(!before.is_on_probation());
        let after = admission.admit(ip("192.0.2.1"), now).unwrap();
        assert!(after.is_on_probation());
        let other = admission.admit(ip("192.0.2.2"), now).unwrap();
        assert!(!other.is_on_probation());
    }
}
