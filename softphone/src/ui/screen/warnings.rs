//! What a person does not notice by themselves about their own voice. Pure: levels in, words out.
//!
//! Speech is told from a steady noise by its level against the quietest of the last seconds.

use std::{collections::VecDeque, time::Duration};

use crate::engine::EngineStatus;

/// What is looked back on.
const WINDOW: Duration = Duration::from_secs(5);

/// A warning stays at least so long.
const SHOWN_FOR: Duration = Duration::from_secs(3);

/// By how much speech stands out of the quietest moment, and what it is louder than in any case.
const ABOVE_FLOOR_DB: f32 = 12.0;
const MIN_SPEECH_DBFS: f32 = -65.0;

/// Moments with speech in the last second that make it speech, of ten: a door is shorter.
const SPEECH_MOMENTS: usize = 3;

/// Moments with speech in the window before its level is judged, and the mean that is too low.
const JUDGED_MOMENTS: usize = 15;
const QUIET_DBFS: f32 = -45.0;

/// A peak so near to full scale was likely cut off there; twice is no accident.
const CLIPPED_DBFS: f32 = -0.1;
const CLIPPED_MOMENTS: usize = 2;

/// The other side is heard: what the microphone hears may be that.
const FAR_END_DBFS: f32 = -50.0;

/// Something that a person would want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warning {
    SpeakingWhileMuted,
    Clipping,
    TooQuiet,
}

impl Warning {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::SpeakingWhileMuted => "you speak while muted",
            Self::Clipping => "clipping: the microphone is too loud",
            Self::TooQuiet => "too quiet: go nearer to the microphone",
        }
    }
}

/// Follows the levels of a call, some ten moments a second.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    moments: VecDeque<Moment>,
    shown: Option<(Warning, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Duration,
    rms_dbfs: f32,
    peak_dbfs: f32,
    far_dbfs: f32,
    is_muted: bool,
}

impl Warnings {
    pub(super) fn update(&mut self, engine: &EngineStatus, now: Duration) {
        let Some(near) = engine.near_level else {
            return;
        };
        self.moments.push_back(Moment {
            at: now,
            rms_dbfs: near.rms_dbfs,
            peak_dbfs: near.peak_dbfs,
            far_dbfs: engine
                .far_level
                .map_or(f32::NEG_INFINITY, |far| far.rms_dbfs),
            is_muted: engine.muted,
        });
        while self.moments[0].at + WINDOW < now {
            self.moments.pop_front();
        }
        if let Some(warning) = self.judge(now) {
            self.shown = Some((warning, now + SHOWN_FOR));
        }
        let is_over = |(warning, until): (Warning, Duration)| {
            now >= until || (warning == Warning::SpeakingWhileMuted && !engine.muted)
        };
        if self.shown.is_some_and(is_over) {
            self.shown = None;
        }
    }

    /// The most important of this moment.
    pub(super) fn current(&self) -> Option<Warning> {
        self.shown.map(|(warning, _)| warning)
    }

    fn judge(&self, now: Duration) -> Option<Warning> {
        // Digital silence is no room: a device that begins gives it.
        let levels = self.moments.iter().map(|moment| moment.rms_dbfs);
        let floor = levels.filter(|&dbfs| dbfs > -100.0);
        let floor = floor.fold(0.0, f32::min);
        let least = (floor + ABOVE_FLOOR_DB).max(MIN_SPEECH_DBFS);
        let is_speech = |moment: &&Moment| moment.rms_dbfs > least;
        let is_recent = |moment: &&Moment| moment.at + Duration::from_secs(1) > now;
        let recent = || self.moments.iter().filter(is_recent);
        let muted_speech = recent()
            .filter(is_speech)
            .filter(|moment| moment.is_muted && moment.far_dbfs < FAR_END_DBFS);
        if muted_speech.count() >= SPEECH_MOMENTS {
            return Some(Warning::SpeakingWhileMuted);
        }
        // Nobody hears it.
        if self.moments.back().is_some_and(|moment| moment.is_muted) {
            return None;
        }
        let clipped = recent().filter(|moment| moment.peak_dbfs >= CLIPPED_DBFS);
        if clipped.count() >= CLIPPED_MOMENTS {
            return Some(Warning::Clipping);
        }
        let speech: Vec<f32> = self
            .moments
            .iter()
            .filter(is_speech)
            .map(|moment| moment.rms_dbfs)
            .collect();
        let mean = speech.iter().sum::<f32>() / speech.len().max(1) as f32;
        (speech.len() >= JUDGED_MOMENTS && mean < QUIET_DBFS).then_some(Warning::TooQuiet)
    }
}

#[cfg(test)]
mod tests {
    use audio::measure::Level;

    use super::*;

    /// A call on its virtual clock, a tenth of a second a moment.
    #[derive(Default)]
    struct Call {
        warnings: Warnings,
        moments: u64,
        is_muted: bool,
        far_dbfs: Option<f32>,
    }

    impl Call {
        fn hear(&mut self, rms_dbfs: f32, peak_dbfs: f32) -> Option<Warning> {
            self.moments += 1;
            let level = |rms_dbfs, peak_dbfs| Level {
                rms_dbfs,
                peak_dbfs,
            };
            let engine = EngineStatus {
                near_level: Some(level(rms_dbfs, peak_dbfs)),
                far_level: self.far_dbfs.map(|dbfs| level(dbfs, dbfs)),
                muted: self.is_muted,
                ..EngineStatus::default()
            };
            let now = Duration::from_millis(self.moments * 100);
            self.warnings.update(&engine, now);
            self.warnings.current()
        }

        /// Syllables of this level over a room of -70 dBFS, and all that was warned of.
        fn speak(&mut self, dbfs: f32, seconds: u64) -> Vec<Warning> {
            let mut seen = Vec::new();
            for moment in 0..seconds * 10 {
                let dbfs = if moment % 5 < 3 { dbfs } else { -70.0 };
                seen.extend(self.hear(dbfs, dbfs + 10.0));
            }
            seen.dedup();
            seen
        }

        fn stay(&mut self, dbfs: f32, seconds: u64) -> Vec<Warning> {
            let heard = (0..seconds * 10).filter_map(|_| self.hear(dbfs, dbfs + 3.0));
            heard.collect()
        }
    }

    #[test]
    fn speech_of_a_usual_level_is_nothing_to_warn_of() {
        assert_eq!(Call::default().speak(-25.0, 10), []);
        assert_eq!(Call::default().speak(-40.0, 10), []);
    }

    #[test]
    fn speech_while_muted_is_warned_of_until_it_is_unmuted() {
        let mut call = Call {
            is_muted: true,
            ..Call::default()
        };
        call.stay(-70.0, 2);
        assert_eq!(call.speak(-25.0, 3), [Warning::SpeakingWhileMuted]);
        call.is_muted = false;
        assert_eq!(call.hear(-25.0, -15.0), None);
    }

    #[test]
    fn a_noise_a_bang_and_the_other_side_are_no_speech() {
        let mut call = Call {
            is_muted: true,
            ..Call::default()
        };
        assert_eq!(call.stay(-30.0, 10), []);
        call.stay(-70.0, 6);
        assert_eq!(call.hear(-10.0, 0.0), None);
        call.stay(-70.0, 2);
        call.far_dbfs = Some(-30.0);
        assert_eq!(call.speak(-35.0, 5), []);
    }

    #[test]
    fn a_voice_that_is_hardly_there_is_too_quiet_and_a_silent_room_is_not() {
        assert_eq!(Call::default().speak(-50.0, 10), [Warning::TooQuiet]);
        assert_eq!(Call::default().stay(-60.0, 10), []);
        assert_eq!(Call::default().stay(-127.0, 10), []);
    }

    #[test]
    fn peaks_at_full_scale_are_clipping_and_one_is_an_accident() {
        let mut call = Call::default();
        call.stay(-70.0, 1);
        assert_eq!(call.hear(-9.0, 0.0), None);
        assert_eq!(call.hear(-9.0, -0.05), Some(Warning::Clipping));
        // Long enough to be read.
        for _ in 0..29 {
            assert_eq!(call.hear(-70.0, -60.0), Some(Warning::Clipping));
        }
        call.stay(-70.0, 1);
        assert_eq!(call.hear(-70.0, -60.0), None);
    }
}
