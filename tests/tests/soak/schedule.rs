//! What happens when, made from a seed. Pure: the same seed and length, the same schedule.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Nothing begins in the last part: what was begun ends, and what was held is given back.
const QUIET_AT_THE_END: Duration = Duration::from_secs(16);

/// A call that is hung up before it connects says nothing.
const SHORTEST_CALL: Duration = Duration::from_secs(5);

/// Lines to the server: on the first there are no faults.
pub(crate) const LINES: usize = 3;

/// Something that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    /// On which line.
    pub(crate) line: usize,
    pub(crate) lasts: Duration,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A call of the softphone.
    Call { codec: &'static str, ends: Ends },
    /// A leg of a program that speaks gRPC.
    Leg(Leg),
    /// A stream of the ticker, of so many symbols, one of which is dropped and added all the time.
    Quotes { symbols: usize },
    /// The ticker client.
    TickerClient,
    /// The line stands still, in both directions or with what the server says.
    Freeze { answers_only: bool },
    /// All connections of the line are reset, new ones, too.
    Reset,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    ByItself,
    Interrupted,
    Killed,
}

/// What a program's leg does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// Speaks in real time, and hangs up.
    Talks,
    /// Sends as fast as it can, and reads all.
    Pours,
    /// Sends what is no sound.
    Garbage,
    /// Speaks, and is gone in the middle.
    GoesAway,
    /// Speaks, and reads nothing.
    NeverReads,
}

/// What happens during `length`, in the order of time.
pub(crate) fn schedule(seed: u64, length: Duration) -> Vec<Event> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut events = Vec::new();
    let end = length.saturating_sub(QUIET_AT_THE_END);
    let mut at = Duration::from_secs(1);
    while at < end {
        let line = random.random_range(0..LINES);
        let left = (end - at).as_millis() as u64;
        let longest = left.clamp(1_000, 15_000);
        let lasts = Duration::from_millis(random.random_range(1_000..=longest));
        let (action, lasts) = match random.random_range(0..20) {
            0..=3 => (call(&mut random), lasts.max(SHORTEST_CALL)),
            4..=10 => (leg(&mut random), lasts),
            11..=13 => {
                let symbols = random.random_range(1..60);
                (Action::Quotes { symbols }, lasts)
            }
            14 => (Action::TickerClient, lasts),
            _ if line == 0 => (leg(&mut random), lasts),
            15..=18 => {
                let answers_only = random.random();
                let lasts = Duration::from_millis(random.random_range(100..2_500));
                (Action::Freeze { answers_only }, lasts)
            }
            _ => {
                let lasts = Duration::from_millis(random.random_range(20..800));
                (Action::Reset, lasts)
            }
        };
        events.push(Event {
            at,
            line,
            lasts,
            action,
        });
        at += Duration::from_millis(random.random_range(200..1_800));
    }
    events
}

fn call(random: &mut Xoshiro256PlusPlus) -> Action {
    let codecs = ["opus", "opus", "pcm", "pcmu"];
    let ends = [
        Ends::ByItself,
        Ends::ByItself,
        Ends::Interrupted,
        Ends::Killed,
    ];
    Action::Call {
        codec: codecs[random.random_range(0..codecs.len())],
        ends: ends[random.random_range(0..ends.len())],
    }
}

fn leg(random: &mut Xoshiro256PlusPlus) -> Action {
    let legs = [
        Leg::Talks,
        Leg::Talks,
        Leg::Pours,
        Leg::Garbage,
        Leg::GoesAway,
        Leg::NeverReads,
    ];
    Action::Leg(legs[random.random_range(0..legs.len())])
}

#[test]
fn the_same_seed_makes_the_same_schedule_and_another_another() {
    let length = Duration::from_secs(120);
    assert_eq!(schedule(1, length), schedule(1, length));
    assert_ne!(schedule(1, length), schedule(2, length));
}

#[test]
fn a_schedule_has_something_of_everything_and_ends_in_time() {
    for seed in 0..20 {
        let length = Duration::from_secs(600);
        let events = schedule(seed, length);
        let has = |wanted: fn(&Action) -> bool| events.iter().any(|event| wanted(&event.action));
        assert!(has(|action| matches!(action, Action::Call { .. })));
        assert!(has(|action| matches!(action, Action::Leg(Leg::NeverReads))));
        assert!(has(|action| matches!(action, Action::Quotes { .. })));
        assert!(has(|action| *action == Action::TickerClient));
        assert!(has(|action| matches!(action, Action::Freeze { .. })));
        assert!(has(|action| *action == Action::Reset));
        for event in events {
            let is_fault = matches!(event.action, Action::Freeze { .. } | Action::Reset);
            assert!(event.line > 0 || !is_fault, "the first line has no faults");
            assert!(event.at + event.lasts <= length - Duration::from_secs(8));
        }
    }
}
