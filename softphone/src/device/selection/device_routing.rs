//! Which device a stream should be on: the system's default, wherever that moves, or a pinned one,
//! with the default in its place while it is away. Decisions from what was seen, on a clock that is
//! passed in; the supervisor's thread carries them out while the old stream still plays.

use std::time::Duration;

use crate::device::{Placement, Worn};

/// Two moves may follow each other at once, further ones wait: a default that two programs fight
/// about, or a pinned device that is there and cannot be opened, must not cost a gap each second.
const FREE_MOVES: u32 = 2;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// After so long without a move the first ones are free again.
const FORGET: Duration = Duration::from_secs(60);

/// How to know a device again that was opened once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The host's identifier.
    pub(crate) id: String,
    /// Its name, if no other device had the same one: an identifier may change when a headset is
    /// plugged into another socket.
    pub(crate) name: Option<String>,
}

/// What a look at the host found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Identifier of the default device.
    pub(crate) default: Option<String>,
    /// Whether the pinned device is there; false without one.
    pub(crate) pinned: bool,
    /// Whether the device that the stream is on is worn; `None`: nobody was there to ask.
    pub(crate) worn: Option<Worn>,
}

/// Where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// To the device that is the default now.
    Default,
    /// To the default, because the pinned device is gone.
    Fallback,
    /// To the pinned device: it is back, or the host may have moved us away from it.
    Pinned,
}

/// One stream's routing.
#[derive(Debug)]
pub(crate) struct DeviceRouting {
    pinned: bool,
    placement: Placement,
    /// Identifier of the device that the stream was opened on.
    on: String,
    /// The default when it was last seen, if that was while this stream played.
    default: Option<String>,
    /// The host said, or let us guess, that it moved the stream by itself.
    rerouted: bool,
    moves: u32,
    last_move: Duration,
}

impl DeviceRouting {
    /// For a stream that was just opened on `on`.
    pub(crate) fn new(placement: Placement, on: &str) -> Self {
        Self {
            pinned: placement == Placement::Pinned,
            placement,
            on: on.to_owned(),
            default: None,
            rerouted: false,
            moves: 0,
            last_move: Duration::ZERO,
        }
    }

    /// A stream was opened on `on`, after a loss or a move.
    pub(crate) fn opened(&mut self, placement: Placement, on: &str) {
        self.placement = placement;
        on.clone_into(&mut self.on);
        self.default = None;
        self.rerouted = false;
    }

    /// The host said that it moved the stream to another device.
    pub(crate) fn rerouted(&mut self) {
        self.rerouted = true;
    }

    /// What to do about what was seen at `now`. The answer counts as a move, whether it succeeds or
    /// not.
    pub(crate) fn see(&mut self, now: Duration, seen: &Observation) -> Option<Move> {
        let before = std::mem::replace(&mut self.default, seen.default.clone());
        // Audio servers that move streams along with the default take those on the old default,
        // whoever asked for it by name.
        if self.pinned && before.as_ref() == Some(&self.on) && seen.default != before {
            self.rerouted = true;
        }
        let wanted = self.wanted(seen)?;
        if now.saturating_sub(self.last_move) < self.wait() {
            return None;
        }
        if now.saturating_sub(self.last_move) >= FORGET {
            self.moves = 0;
        }
        self.moves += 1;
        self.last_move = now;
        self.rerouted = false;
        Some(wanted)
    }

    fn wanted(&self, seen: &Observation) -> Option<Move> {
        let elsewhere = seen
            .default
            .as_ref()
            .is_some_and(|default| *default != self.on);
        match self.placement {
            Placement::Default if elsewhere || self.rerouted => Some(Move::Default),
            Placement::Pinned if !seen.pinned => Some(Move::Fallback),
            Placement::Pinned if self.rerouted => Some(Move::Pinned),
            Placement::Fallback if seen.pinned => Some(Move::Pinned),
            Placement::Fallback if elsewhere || self.rerouted => Some(Move::Default),
            _ => None,
        }
    }

    fn wait(&self) -> Duration {
        match self.moves.checked_sub(FREE_MOVES) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(5)).min(LAST_WAIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(default: &str, pinned: bool) -> Observation {
        Observation {
            default: Some(default.to_owned()),
            pinned,
            worn: None,
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_follows_goes_where_the_default_goes_and_nowhere_else() {
        let mut routing = DeviceRouting::new(Placement::Default, "a");
        assert_eq!(routing.see(s(1), &seen("a", false)), None);
        assert_eq!(
            routing.see(s(2), &Observation::default()),
            None,
            "no default"
        );
        assert_eq!(routing.see(s(3), &seen("b", false)), Some(Move::Default));
        routing.opened(Placement::Default, "b");
        assert_eq!(routing.see(s(4), &seen("b", false)), None);
    }

    #[test]
    fn who_is_pinned_stays_whatever_the_default_does() {
        let mut routing = DeviceRouting::new(Placement::Pinned, "headset");
        for (second, default) in ["a", "b", "headset", "headset"].iter().enumerate() {
            assert_eq!(routing.see(s(second as u64), &seen(default, true)), None);
        }
        // … and comes back when the server took it along from what was the default.
        assert_eq!(routing.see(s(9), &seen("b", true)), Some(Move::Pinned));
        routing.opened(Placement::Pinned, "headset");
        assert_eq!(routing.see(s(10), &seen("b", true)), None);
    }

    #[test]
    fn a_pinned_device_that_goes_is_replaced_and_reclaimed() {
        let mut routing = DeviceRouting::new(Placement::Pinned, "headset");
        assert_eq!(routing.see(s(1), &seen("a", false)), Some(Move::Fallback));
        routing.opened(Placement::Fallback, "a");
        assert_eq!(routing.see(s(2), &seen("a", false)), None);
        assert_eq!(routing.see(s(3), &seen("b", false)), Some(Move::Default));
        routing.opened(Placement::Fallback, "b");
        assert_eq!(routing.see(s(8), &seen("b", true)), Some(Move::Pinned));
        routing.opened(Placement::Pinned, "headset");
        assert_eq!(routing.see(s(9), &seen("b", true)), None);
    }

    #[test]
    fn a_stream_that_the_host_moved_is_opened_once_more() {
        let mut routing = DeviceRouting::new(Placement::Default, "default");
        routing.rerouted();
        let default = seen("default", false);
        assert_eq!(routing.see(s(1), &default), Some(Move::Default));
        assert_eq!(routing.see(s(2), &default), None);
    }

    #[test]
    fn moves_that_do_not_help_become_rare() {
        let mut routing = DeviceRouting::new(Placement::Fallback, "a");
        let moves = (0..600_000)
            .step_by(500)
            .filter(|&ms| {
                let now = Duration::from_millis(ms);
                routing.see(now, &seen("a", true)).is_some()
            })
            .count();
        assert!((20..30).contains(&moves), "{moves} in ten minutes");
        // After a quiet while they are free again.
        let quiet = s(800);
        assert!(routing.see(quiet, &seen("a", true)).is_some());
        let next = quiet + Duration::from_millis(500);
        assert!(routing.see(next, &seen("a", true)).is_some());
    }
}
