//! How a call went, in one word, one sentence and one exit code.

use std::{ops::Range, time::Duration};

use audio::ToneReport;
use line::{Impairment, sending_rule::LONGEST_WAIT};
use serde::{Serialize, Serializer};

use super::line_trace;
use crate::session::SessionEnd;

/// Most of the playing time that may be concealed.
const MOST_CONCEALED: f64 = 0.01;

/// The longest stretch that may be missing; longer ones are heard as a hole.
const LONGEST_MISSING_MS: f32 = 60.0;

/// How far the tone may be off: what no ear and no codec of ours would do.
const FREQUENCY_TOLERANCE: f32 = 0.01;
const LEVEL_TOLERANCE_DB: f32 = 2.0;

/// What the program ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// The call went as it should.
    Good,
    /// The command line asks for what is not there.
    Usage,
    /// No server, or it went away for good.
    NoConnection,
    /// The server would not have us.
    Rejected,
    /// Connected, but nothing to hear, or no device to hear it with.
    NoAudio,
    /// Something to hear, but not what was sent.
    WrongAudio,
    /// The call went as it should, but what was to be written of it could not be.
    NotWritten,
}

impl ExitCode {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Usage => 2,
            Self::NoConnection => 3,
            Self::Rejected => 4,
            Self::NoAudio => 5,
            Self::WrongAudio => 6,
            Self::NotWritten => 7,
        }
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Usage => "usage",
            Self::NoConnection => "no connection",
            Self::Rejected => "rejected",
            Self::NoAudio => "no audio",
            Self::WrongAudio => "wrong audio",
            Self::NotWritten => "not written",
        }
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The judgement and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub exit: ExitCode,
    /// The sentence.
    pub why: String,
}

impl Verdict {
    /// A judgement with its reason.
    pub fn new(exit: ExitCode, why: impl Into<String>) -> Self {
        Self {
            exit,
            why: why.into(),
        }
    }
}

/// Judges how the stream ended; `None` when there is nothing to say against it.
pub fn judge_line(end: &SessionEnd) -> Option<Verdict> {
    match end {
        SessionEnd::Completed => None,
        SessionEnd::NeverConnected(why) => Some(Verdict::new(ExitCode::NoConnection, why.clone())),
        SessionEnd::Lost(why) => Some(Verdict::new(
            ExitCode::NoConnection,
            format!("the line was lost and did not come back: {why}"),
        )),
        SessionEnd::Rejected(why) => Some(Verdict::new(
            ExitCode::Rejected,
            format!("the server rejected the call: {why}"),
        )),
        SessionEnd::WrongFormat(why) => Some(Verdict::new(ExitCode::WrongAudio, why.clone())),
    }
}

/// What a synthetic call must come back with.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The tone's frequency.
    pub frequency_hz: f32,
    /// The tone's level; `None` when the effects asked for may change it.
    pub level_dbfs: Option<f32>,
    /// Whether nothing at all may be missing.
    pub strict: bool,
    /// What the line was told to take.
    pub stalled: Stalled,
}

/// Stalls that a line was told to have: what they take themselves is not held against the call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stalled {
    /// The part of the call in which nothing could arrive.
    pub ratio: f64,
    /// The longest of them, in milliseconds, and how much more than itself it may cost: what is sent
    /// after it begins where sound is no older than the sender lets it become.
    pub longest_ms: f32,
}

impl Stalled {
    /// Of a call of this length.
    pub fn of(line: &Impairment, length: Option<Duration>) -> Self {
        let length = length.unwrap_or_default();
        let stalls = line_trace::stalls(line, length);
        let lasts = |stall: &Range<Duration>| stall.end - stall.start;
        let all: Duration = stalls.iter().map(lasts).sum();
        let longest = stalls.iter().map(lasts).max();
        Self {
            ratio: all.as_secs_f64() / length.as_secs_f64().max(1e-3),
            longest_ms: longest.map_or(0.0, |stall| (stall + LONGEST_WAIT).as_secs_f32() * 1e3),
        }
    }
}

/// Judges what the ear of a synthetic call heard. `concealed` is the part of the playing time.
pub fn judge_tone(expected: Expected, heard: &ToneReport, concealed: f64) -> Verdict {
    let wrong = |why: String| Verdict::new(ExitCode::WrongAudio, why);
    let hz = expected.frequency_hz;
    if !heard.heard {
        return if heard.sound_dbfs < -70.0 {
            Verdict::new(
                ExitCode::NoAudio,
                format!(
                    "chunks came back, but silent: the {hz:.0} Hz tone was not in them; if effects were asked for, try --effects none (a noise suppressor removes a steady tone)"
                ),
            )
        } else {
            wrong(format!(
                "sound came back ({:.1} dBFS), but no tone: {hz:.0} Hz was sent",
                heard.sound_dbfs
            ))
        };
    }
    if (heard.frequency_hz / hz - 1.0).abs() > FREQUENCY_TOLERANCE {
        return wrong(format!(
            "a tone of {:.1} Hz came back, {hz:.1} Hz was sent",
            heard.frequency_hz
        ));
    }
    if let Some(level) = expected.level_dbfs
        && (heard.level_dbfs - level).abs() > LEVEL_TOLERANCE_DB
    {
        return wrong(format!(
            "the tone came back at {:.1} dBFS, {level:.1} dBFS was sent",
            heard.level_dbfs
        ));
    }
    // In a short call a single chunk is more than that share.
    let short_call = f64::from(LONGEST_MISSING_MS / heard.listened_ms.max(1.0));
    let most_concealed = MOST_CONCEALED.max(short_call) + expected.stalled.ratio;
    if concealed > most_concealed {
        return wrong(format!(
            "{:.1} % of the sound had to be concealed; accepted is {:.0} %: the line or this machine is too slow at times",
            concealed * 100.0,
            most_concealed * 100.0
        ));
    }
    let longest_ms = LONGEST_MISSING_MS + expected.stalled.longest_ms;
    if heard.longest_missing_ms > longest_ms {
        return wrong(format!(
            "the tone was missing for {:.0} ms at once; accepted is {longest_ms:.0} ms",
            heard.longest_missing_ms
        ));
    }
    if expected.strict && (heard.missing_ms > 0.0 || concealed > 0.0) {
        return wrong(format!(
            "{:.0} ms of the tone were missing and {:.2} % concealed; --strict accepts nothing",
            heard.missing_ms,
            concealed * 100.0
        ));
    }
    Verdict::new(
        ExitCode::Good,
        format!(
            "the tone came back: {:.1} Hz at {:.1} dBFS, {:.2} % concealed, {:.0} ms missing",
            heard.frequency_hz,
            heard.level_dbfs,
            concealed * 100.0,
            heard.missing_ms
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected {
        frequency_hz: 440.0,
        level_dbfs: Some(-20.0),
        strict: false,
        stalled: Stalled {
            ratio: 0.0,
            longest_ms: 0.0,
        },
    };

    fn good() -> ToneReport {
        ToneReport {
            heard: true,
            frequency_hz: 440.2,
            level_dbfs: -20.1,
            purity_db: 40.0,
            missing_ms: 10.0,
            longest_missing_ms: 10.0,
            onset_ms: Some(40.0),
            clicks: 0,
            sound_dbfs: -23.0,
            listened_ms: 10_000.0,
        }
    }

    fn exit_of(report: ToneReport, concealed: f64) -> ExitCode {
        judge_tone(EXPECTED, &report, concealed).exit
    }

    #[test]
    fn each_fault_has_its_exit_code() {
        assert_eq!(exit_of(good(), 0.005), ExitCode::Good);
        assert_eq!(exit_of(good(), 0.02), ExitCode::WrongAudio);
        let wrong = |change: fn(&mut ToneReport)| {
            let mut report = good();
            change(&mut report);
            exit_of(report, 0.0)
        };
        assert_eq!(wrong(|r| r.frequency_hz = 450.0), ExitCode::WrongAudio);
        assert_eq!(wrong(|r| r.level_dbfs = -26.0), ExitCode::WrongAudio);
        assert_eq!(wrong(|r| r.longest_missing_ms = 70.0), ExitCode::WrongAudio);
        assert_eq!(wrong(|r| r.heard = false), ExitCode::WrongAudio);
        assert_eq!(
            wrong(|r| {
                r.heard = false;
                r.sound_dbfs = -127.0;
            }),
            ExitCode::NoAudio
        );
    }

    #[test]
    fn in_a_short_call_60_ms_may_be_concealed_whatever_their_share() {
        let lasting = |ms: f32| ToneReport {
            listened_ms: ms,
            ..good()
        };
        for (ms, concealed, exit) in [
            (1_000.0, 0.01, ExitCode::Good),
            (1_000.0, 0.059, ExitCode::Good),
            (1_000.0, 0.061, ExitCode::WrongAudio),
            (3_000.0, 0.021, ExitCode::WrongAudio),
            (60_000.0, 0.011, ExitCode::WrongAudio),
        ] {
            assert_eq!(
                exit_of(lasting(ms), concealed),
                exit,
                "{ms} ms, {concealed}"
            );
        }
    }

    #[test]
    fn strict_accepts_nothing_missing() {
        let strict = Expected {
            strict: true,
            ..EXPECTED
        };
        assert_eq!(judge_tone(strict, &good(), 0.0).exit, ExitCode::WrongAudio);
        let whole = ToneReport {
            missing_ms: 0.0,
            longest_missing_ms: 0.0,
            ..good()
        };
        assert_eq!(judge_tone(strict, &whole, 0.0).exit, ExitCode::Good);
        assert_eq!(
            judge_tone(strict, &whole, 0.000_1).exit,
            ExitCode::WrongAudio
        );
    }
}
