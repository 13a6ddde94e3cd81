//! From what is known about an echo to what is done about it. Pure.

use audio::near_end::{EchoCanceller, LoopGuard};

/// An echo that is weaker than this is not worth the delay, nor what a canceller costs in quality.
pub const AUDIBLE_DB: f32 = -40.0;

/// The most by which our server's gain control amplifies.
const FAR_GAIN_DB: f32 = 12.0;

/// Of it, so much is taken out of a loop that is cancelled. All of it would make one's voice soft until
/// the far end has raised it.
const LOOP_MARGIN_DB: f32 = 6.0;
/// And so much at most.
const MAX_LOOP_MARGIN_DB: f32 = 2.0 * FAR_GAIN_DB;

/// By how much a loop that goes round by itself is turned down: it is gone after two rounds.
const LOOP_END_DB: f32 = 30.0;

/// A loudspeaker of which nothing is known is believed to be heard no louder than this.
const UNKNOWN_GAIN_DB: f32 = 6.0;

/// In a call that returns one's own voice a loop that loses more than this dies away, whatever the
/// server's gain control adds. And there a canceller would take one's own voice for echo.
const HOWLING_DB: f32 = -FAR_GAIN_DB - 3.0;

/// The way of sound from the speaker to the microphone, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum EchoPath {
    /// It was not measured, or in vain.
    #[default]
    Unknown,
    /// The microphone does not hear the speaker.
    None,
    /// It does.
    Some {
        /// Level of what is captured against what was played, in dB.
        gain_db: f32,
        /// From the hand-over to the speaker to the arrival from the microphone, in milliseconds.
        lag_ms: u32,
    },
}

/// All that a decision depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// The way from speaker to microphone.
    pub path: EchoPath,
    /// Why the speaker must be on somebody's ears, if it is.
    pub worn: Option<String>,
    /// Whether the far end returns what it is sent; `None` if it does not say.
    pub returns_own_voice: Option<bool>,
    /// The call was heard to howl with these devices.
    pub howled: bool,
}

/// Whether the echo canceller is to be on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoStatus {
    /// Which one is on; `None`: none is.
    pub kind: Option<EchoCanceller>,
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people: a sentence without its full stop.
    pub message: String,
    /// How often that changed during the call.
    pub changes: u32,
}

impl EchoStatus {
    /// A decision that was not changed yet.
    pub(crate) fn new(kind: Option<EchoCanceller>, reason: &'static str, why: &str) -> Self {
        let state = if kind.is_some() { "on" } else { "off" };
        Self {
            kind,
            reason,
            message: format!("echo canceller {state}: {why}"),
            changes: 0,
        }
    }

    /// Whether one is on.
    pub fn canceller(&self) -> bool {
        self.kind.is_some()
    }
}

impl Default for EchoStatus {
    fn default() -> Self {
        Self::new(None, "undecided", "not decided yet")
    }
}

/// What follows.
pub fn decide(known: &Known) -> EchoStatus {
    let on = Some(kind(known));
    if known.howled {
        return EchoStatus::new(on, "howl", "the sound went round in a loop");
    }
    match (&known.path, &known.worn) {
        (&EchoPath::Some { gain_db, .. }, _) if gain_db < AUDIBLE_DB => EchoStatus::new(
            None,
            "too_weak",
            &format!(
                "the microphone hardly hears the speaker ({:.0} dB)",
                gain_db
            ),
        ),
        (&EchoPath::Some { gain_db, .. }, _)
            if known.returns_own_voice == Some(true) && gain_db < HOWLING_DB =>
        {
            EchoStatus::new(
                None,
                "dies_away",
                &format!(
                    "the call returns your own voice, and of the speaker the microphone hears too \
                     little for it to go round ({gain_db:.0} dB)"
                ),
            )
        }
        (&EchoPath::Some { gain_db, lag_ms }, _) => EchoStatus::new(
            on,
            "heard",
            &format!("the microphone hears the speaker ({gain_db:.0} dB, after {lag_ms} ms)"),
        ),
        (EchoPath::None, _) => EchoStatus::new(
            None,
            "not_heard",
            "the microphone does not hear the speaker",
        ),
        (EchoPath::Unknown, Some(why)) => {
            EchoStatus::new(None, "worn", &format!("the speaker is worn ({why})"))
        }
        (EchoPath::Unknown, None) => EchoStatus::new(
            None,
            "unknown",
            "nothing is known of an echo yet; the call is listened to",
        ),
    }
}

/// By how many dB what the near end leaves is to be changed. A loop that is only just cancelled dies
/// away, until the far end's gain control takes what is left for soft speech and raises it: a part
/// of that gain is taken out of the loop beforehand, and more of it with each loop that goes on by itself
/// all the same. A voice is as loud in the end, for it is raised instead.
pub fn gain_db(known: &Known, canceller: Option<EchoCanceller>, guard: &LoopGuard) -> f32 {
    match (canceller, known.returns_own_voice) {
        (Some(EchoCanceller::Aec3), Some(true)) => {
            let margin_db = LOOP_MARGIN_DB * (1 + guard.loops()) as f32;
            let end_db = if guard.is_loop() { LOOP_END_DB } else { 0.0 };
            -margin_db.min(MAX_LOOP_MARGIN_DB) - end_db
        }
        _ => 0.0,
    }
}

/// By how many dB an echo is louder than what was played, at most.
pub fn loudest_echo_db(path: &EchoPath) -> f32 {
    match path {
        EchoPath::Some { gain_db, .. } => *gain_db,
        EchoPath::Unknown | EchoPath::None => UNKNOWN_GAIN_DB,
    }
}

/// Which canceller is used where one is needed: Kalman lets both talk, but only where the far end says
/// that it does not return one's own voice, and nothing has howled.
pub fn kind(known: &Known) -> EchoCanceller {
    match known.returns_own_voice {
        Some(false) if !known.howled => EchoCanceller::Kalman,
        _ => EchoCanceller::Aec3,
    }
}

/// Why a speaker of this name is obviously worn, so that the microphone does not hear it.
pub fn worn_by_name(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let words = ["headset", "headphone", "earphone", "earbud", "airpods"];
    let is_worn = words.iter().any(|word| lower.contains(word));
    is_worn.then(|| format!("it is called \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(gain_db: f32) -> Known {
        Known {
            path: EchoPath::Some {
                gain_db,
                lag_ms: 130,
            },
            ..Known::default()
        }
    }

    #[test]
    fn it_is_on_where_the_speaker_is_heard_and_off_where_not() {
        let on = decide(&heard(-20.0));
        assert!(on.canceller());
        assert_eq!(
            on.message,
            "echo canceller on: the microphone hears the speaker (-20 dB, after 130 ms)"
        );
        let off = decide(&Known {
            path: EchoPath::None,
            ..Known::default()
        });
        assert!(!off.canceller());
        assert_eq!(
            off.message,
            "echo canceller off: the microphone does not hear the speaker"
        );
        assert!(!decide(&heard(-45.0)).canceller());
        assert_eq!(decide(&heard(-45.0)).reason, "too_weak");
        assert!(!decide(&Known::default()).canceller());
    }

    #[test]
    fn in_an_echo_call_only_what_would_howl_is_cancelled() {
        for (gain_db, canceller) in [(-20.0, false), (-10.0, true), (0.0, true), (6.0, true)] {
            let known = Known {
                returns_own_voice: Some(true),
                ..heard(gain_db)
            };
            assert_eq!(decide(&known).canceller(), canceller, "{gain_db} dB");
        }
    }

    #[test]
    fn both_may_talk_where_ones_own_voice_is_known_not_to_return() {
        for (returns_own_voice, howled, is) in [
            (None, false, EchoCanceller::Aec3),
            (Some(true), false, EchoCanceller::Aec3),
            (Some(false), false, EchoCanceller::Kalman),
            (Some(false), true, EchoCanceller::Aec3),
        ] {
            let known = Known {
                returns_own_voice,
                howled,
                ..Known::default()
            };
            assert_eq!(kind(&known), is, "{known:?}");
        }
    }

    #[test]
    fn only_a_call_that_can_loop_is_turned_down_and_more_so_after_each_loop() {
        let mut guard = LoopGuard::new();
        let mut loop_for = |frames, dbfs| {
            (0..frames).for_each(|_| guard.push(dbfs, dbfs, 0.0));
            [
                (Some(EchoCanceller::Aec3), Some(true)),
                (Some(EchoCanceller::Aec3), None),
                (Some(EchoCanceller::Kalman), Some(false)),
                (None, Some(true)),
            ]
            .map(|(canceller, returns_own_voice)| {
                let known = Known {
                    returns_own_voice,
                    ..heard(-3.0)
                };
                gain_db(&known, canceller, &guard)
            })
        };
        assert_eq!(loop_for(100, -30.0), [-6.0, 0.0, 0.0, 0.0]);
        assert_eq!(loop_for(100, -30.0), [-42.0, 0.0, 0.0, 0.0]);
        assert_eq!(loop_for(100, -90.0), [-12.0, 0.0, 0.0, 0.0]);
        for _ in 0..5 {
            loop_for(300, -30.0);
            loop_for(100, -90.0);
        }
        assert_eq!(loop_for(1, -90.0)[0], -24.0);
    }

    #[test]
    fn a_worn_speaker_is_believed_until_it_is_heard() {
        let worn = |path| {
            decide(&Known {
                path,
                worn: worn_by_name("Jabra HEADSET Mono"),
                ..Known::default()
            })
        };
        assert_eq!(worn(EchoPath::Unknown).reason, "worn");
        assert!(worn(heard(-12.0).path).canceller());
        for name in ["Headphones (USB)", "Anna's AirPods Pro"] {
            assert!(worn_by_name(name).is_some(), "{name}");
        }
        assert_eq!(worn_by_name("Built-in Audio Analog Stereo"), None);
    }

    #[test]
    fn what_has_howled_is_cancelled_whatever_was_measured() {
        let known = Known {
            howled: true,
            path: EchoPath::None,
            ..Known::default()
        };
        assert!(decide(&known).canceller());
    }
}
