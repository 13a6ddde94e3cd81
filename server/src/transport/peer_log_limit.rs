//! How many lines of log a peer may cause: whoever opens streams as fast as the machine takes them
//! must not fill the disk with their beginnings and ends.
//!
//! Every event that has a field `peer` counts, by the address in it, IPv6 by network (/64). What goes
//! over the limit is left out, counted, and reported.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Event, Subscriber, field, warn};
use tracing_subscriber::layer::{Context, Layer};

use super::{party, token_bucket::TokenBucket};

/// Lines that a peer may cause at once, and those that it may cause each second after that.
const BURST: u32 = 500;
const LINES_PER_SECOND: u32 = 10;

/// How often what was left out is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Peers that are told apart. All others share one limit.
const MAX_PEERS: usize = 1_024;

/// A layer of the log; all clones are one.
#[derive(Debug, Clone)]
pub struct PeerLogLimit {
    started: Instant,
    peers: Arc<Mutex<HashMap<Peer, Budget>>>,
}

/// Who is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Peer {
    Address(IpAddr),
    /// Without an address, or one too many.
    Other,
}

#[derive(Debug)]
struct Budget {
    lines: TokenBucket,
    left_out: u64,
}

impl Default for PeerLogLimit {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            peers: Arc::default(),
        }
    }
}

impl PeerLogLimit {
    /// Reports every ten seconds whose lines were left out; for ever.
    pub async fn report(self) {
        let mut ticks = interval_at(Instant::now() + REPORT_INTERVAL, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.report_now();
        }
    }

    /// Reports whose lines were left out since the last time.
    pub fn report_now(&self) {
        // Logged without the lock: the lines come back here.
        for (peer, left_out) in self.take_left_out(self.started.elapsed()) {
            warn!("{left_out} lines of log about {peer} were left out: too many in a short time");
        }
    }

    /// Returns whose lines were left out and how many, and forgets who has been quiet.
    fn take_left_out(&self, now: Duration) -> Vec<(Peer, u64)> {
        let mut peers = self.lock();
        let mut left_out: Vec<_> = peers
            .iter_mut()
            .map(|(peer, budget)| (*peer, std::mem::take(&mut budget.left_out)))
            .filter(|(_, left_out)| *left_out > 0)
            .collect();
        peers.retain(|_, budget| !budget.lines.is_full(now));
        left_out.sort_unstable();
        left_out
    }

    fn may_log(&self, peer: Peer, now: Duration) -> bool {
        let mut peers = self.lock();
        let peer = match peers.len() < MAX_PEERS || peers.contains_key(&peer) {
            true => peer,
            false => Peer::Other,
        };
        let budget = peers.entry(peer).or_insert(Budget {
            lines: TokenBucket::new(BURST, LINES_PER_SECOND, now),
            left_out: 0,
        });
        let enough = budget.lines.take(1, now);
        if !enough {
            budget.left_out += 1;
        }
        enough
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Peer, Budget>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for PeerLogLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if event.metadata().fields().field("peer").is_none() {
            return true;
        }
        let mut found = PeerField::default();
        event.record(&mut found);
        self.may_log(Peer::of(&found.0), self.started.elapsed())
    }
}

impl Peer {
    fn of(text: &str) -> Self {
        match text.parse::<SocketAddr>().map(|addr| addr.ip()) {
            Ok(ip) => Self::Address(party(ip)),
            Err(_) => Self::Other,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(ip)) if !ip.is_loopback() => write!(f, "{ip}/64"),
            Self::Address(ip) => write!(f, "{ip}"),
            Self::Other => f.write_str("other peers"),
        }
    }
}

/// The value of the field `peer`.
#[derive(Default)]
struct PeerField(String);

impl field::Visit for PeerField {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            self.0.clear();
            // A string takes everything.
            let _ = write!(self.0, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &field::Field, value: &str) {
        if field.name() == "peer" {
            value.clone_into(&mut self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(limit: &PeerLogLimit, peer: &str, lines: usize, now: Duration) -> usize {
        let may_log = |_: &usize| limit.may_log(Peer::of(peer), now);
        (0..lines).filter(may_log).count()
    }

    #[test]
    fn a_flood_is_cut_to_its_limit_counted_and_no_other_peers_loss() {
        let limit = PeerLogLimit::default();
        let now = Duration::ZERO;
        assert_eq!(logged(&limit, "192.0.2.1:1", 100_000, now), 500);
        // From other ports the same.
        assert_eq!(logged(&limit, "192.0.2.1:2", 1, now), 0);
        assert_eq!(logged(&limit, "192.0.2.2:1", 10, now), 10);
        let later = now + Duration::from_secs(10);
        assert_eq!(logged(&limit, "192.0.2.1:1", 1_000, later), 100);
        let left_out = limit.take_left_out(later);
        let told: Vec<_> = left_out.iter().map(|(p, n)| (p.to_string(), *n)).collect();
        assert_eq!(told, [("192.0.2.1".to_owned(), 99_500 + 1 + 900)]);
        assert!(limit.take_left_out(later).is_empty(), "told once");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_ipv4_within_it_is_ipv4() {
        let limit = PeerLogLimit::default();
        let now = Duration::ZERO;
        assert_eq!(logged(&limit, "[2001:db8::1]:1", 400, now), 400);
        assert_eq!(logged(&limit, "[2001:db8::2]:1", 400, now), 100);
        assert_eq!(logged(&limit, "[2001:db8:0:1::2]:1", 400, now), 400);
        assert_eq!(logged(&limit, "[::ffff:192.0.2.1]:1", 400, now), 400);
        assert_eq!(logged(&limit, "192.0.2.1:1", 400, now), 100);
    }

    #[test]
    fn who_is_quiet_is_forgotten_and_who_is_one_too_many_shares() {
        let limit = PeerLogLimit::default();
        let now = Duration::ZERO;
        for n in 0..5_000_u32 {
            let peer = SocketAddr::new(IpAddr::V4(n.into()), 1).to_string();
            logged(&limit, &peer, 1, now);
        }
        assert_eq!(limit.lock().len(), MAX_PEERS + 1);
        let left_out = limit.take_left_out(now);
        let others = 5_000 - MAX_PEERS as u64 - u64::from(BURST);
        assert_eq!(left_out, [(Peer::Other, others)]);
        let later = now + Duration::from_secs(3_600);
        assert!(limit.take_left_out(later).is_empty());
        assert!(limit.lock().is_empty());
    }
}
