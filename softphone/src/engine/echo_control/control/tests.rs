//! When the tone sounds, and what becomes of one that a device tore.

use super::*;

/// What arrives from the microphone at a time.
const BATCH: Duration = Duration::from_millis(10);
/// That, at 48 kHz: nearly nothing, as of a microphone that is on.
const CAPTURED: [f32; 480] = [1e-6; 480];

const NO_ECHO: EchoPath = EchoPath::None;
const ECHO: EchoPath = EchoPath::Some {
    gain_db: -12.0,
    lag_ms: 80,
};

/// A control on devices that nothing is known of, and its clock.
struct Bench {
    control: EchoControl,
    now: Duration,
}

impl Bench {
    /// In a call that is accepted.
    fn new() -> Self {
        let mut bench = Self::unanswered();
        bench.control.answered();
        bench
    }

    fn unanswered() -> Self {
        let choice = NearEndChoice {
            echo: EchoChoice::Auto,
            ..NearEndChoice::default()
        };
        let mut control = EchoControl::new(choice, true, true, EchoMemory::default()).unwrap();
        let pair = DevicePair {
            microphone: "microphone".to_owned(),
            speaker: "speaker".to_owned(),
        };
        control.follow_devices(&pair, &Worn::default()).unwrap();
        Self {
            control,
            now: Duration::ZERO,
        }
    }

    /// A batch goes by. Whether the tone begins.
    fn begins(&mut self) -> bool {
        self.now += BATCH;
        self.control
            .hear(Rendered {
                samples: &[0.0; 480],
                sample_rate_hz: 48_000,
                latency_us: 10_000,
            })
            .unwrap();
        self.control.listen(&CAPTURED, BATCH, self.now);
        self.control.wants_tone(BATCH, self.now)
    }

    /// Whether a tone sounds within two seconds and is recorded to its end.
    fn sounds(&mut self) -> bool {
        let mut has_sounded = false;
        for _ in 0..200 {
            has_sounded |= self.begins();
            if self.control.take_recording().is_some() {
                return has_sounded;
            }
        }
        false
    }
}

#[test]
fn the_tone_waits_for_the_answer_but_not_for_ever() {
    let mut bench = Bench::unanswered();
    for _ in 0..40 {
        assert!(!bench.begins(), "after {:?}", bench.now);
    }
    bench.control.answered();
    assert!(bench.begins());

    // A far end that says nothing until it hears something.
    let mut bench = Bench::unanswered();
    assert!(bench.sounds());
    bench.control.measured(NO_ECHO, false);
    assert!(!bench.control.withholds());
    let longest = Duration::from_millis(1_600);
    assert!(bench.now < longest, "after {:?}", bench.now);
}

#[test]
fn a_torn_tone_sounds_once_more() {
    for nothing in [NO_ECHO, EchoPath::Unknown] {
        let mut bench = Bench::new();
        assert!(bench.sounds());
        bench.control.measured(nothing, true);
        assert!(bench.control.withholds(), "nothing is decided yet");
        assert_eq!(bench.control.status().reason, "undecided");
        assert!(bench.sounds());
        bench.control.measured(NO_ECHO, false);
        assert!(!bench.control.withholds());
        assert_eq!(bench.control.status().reason, "not_heard");
        assert_eq!(bench.control.take_learned().len(), 1);
    }
}

#[test]
fn a_tone_that_is_torn_again_decides_nothing_and_is_not_remembered() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        assert!(bench.sounds());
        bench.control.measured(NO_ECHO, true);
    }
    assert!(!bench.control.withholds(), "the microphone waits no longer");
    assert_eq!(bench.control.status().reason, "unknown");
    assert_eq!(bench.control.take_learned(), []);
    assert!(!bench.sounds(), "it is enough");
}

#[test]
fn what_was_heard_of_a_torn_tone_counts() {
    let mut bench = Bench::new();
    assert!(bench.sounds());
    bench.control.measured(ECHO, true);
    assert_eq!(bench.control.status().reason, "heard");
    assert!(!bench.sounds());
}

#[test]
fn a_voice_that_comes_back_is_not_judged_where_the_microphone_hears_it() {
    let faint = EchoPath::Some {
        gain_db: -50.0,
        lag_ms: 80,
    };
    let weak = EchoPath::Some {
        gain_db: -20.0,
        lag_ms: 80,
    };
    for (path, returns, harms) in [
        (NO_ECHO, Some(true), false),
        (faint, Some(true), false),
        // Its canceller stays off, and the echo is heard.
        (weak, Some(true), true),
        (ECHO, Some(true), true),
        (ECHO, None, true),
        (ECHO, Some(false), false),
    ] {
        let mut bench = Bench::new();
        bench.control.far_end_returns(returns);
        assert!(bench.sounds());
        bench.control.measured(path, false);
        let found = bench.control.may_harm_own_voice();
        assert_eq!(found, harms, "{path:?}, {returns:?}");
    }
}
