//! How much of the near end's speech its own processing has removed. A listener misses that as much
//! as what the line lost, so it counts in a judgement of the call. Pure.
//!
//! Speech is what the microphone hears louder than the room is, and louder than the echo can be. How
//! loud that is follows from the second in which the microphone heard least of what was played. Where
//! that is not known yet, and where the echo is as loud as the voice, nothing is counted.

use std::{collections::VecDeque, time::Duration};

/// 10 ms.
const FRAME: Duration = Duration::from_millis(10);
/// An echo may come so many frames after it was played, and last as long.
const ECHO_FRAMES: usize = 50;
/// Energies of so many frames are compared, and so many of these comparisons are remembered.
const BLOCK: usize = 100;
const BLOCKS: usize = 20;
/// Below this mean nothing is played, and nothing is learned of the echo.
const PLAYED_DBFS: f32 = -45.0;
/// A frame of the echo may be so much louder than what was played lets expect.
const ECHO_MARGIN_DB: f32 = 8.0;
/// Speech is so much louder than the room, and than this in any case.
const ABOVE_ROOM_DB: f32 = 12.0;
const LEAST_SPEECH_DBFS: f32 = -55.0;
/// The room is the quietest frame of so many.
const ROOM_FRAMES: usize = 500;
/// What comes out so much more quietly than it went in has been removed.
const REMOVED_DB: f32 = 15.0;
/// The processing delays by less than so many frames.
const LOOK_AHEAD: usize = 3;

/// Speech that was removed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedSpeech {
    /// How much.
    pub duration: Duration,
    /// In how many pieces.
    pub pieces: u64,
}

/// Compares what goes into the near end's processing with what comes out.
#[derive(Debug, Default)]
pub(crate) struct SpeechLoss {
    /// Levels of what was played, the newest last.
    played: VecDeque<f32>,
    /// Levels of what was captured, the newest last.
    captured: VecDeque<f32>,
    /// Energies of the current block: played and captured.
    block: [f64; 2],
    in_block: usize,
    /// Level of captured against played, block by block.
    gains_db: VecDeque<f32>,
    /// Speech whose way out is still awaited: its level, and how loud it came out so far.
    awaited: VecDeque<Option<(f32, f32)>>,
    is_removing: bool,
    removed: RemovedSpeech,
}

impl SpeechLoss {
    /// Takes the powers (mean squares) of 10 ms of what is played, of what is captured meanwhile, and of
    /// what the processing makes of that.
    pub(crate) fn push(&mut self, played: f64, captured: f64, processed: f64) {
        self.learn_echo(played, captured);
        keep(&mut self.played, dbfs(played), ECHO_FRAMES);
        keep(&mut self.captured, dbfs(captured), ROOM_FRAMES);
        let speech = self.is_speech(dbfs(captured)).then_some(dbfs(captured));
        self.awaited
            .push_back(speech.map(|level| (level, f32::MIN)));
        for (_, loudest) in self.awaited.iter_mut().flatten() {
            *loudest = loudest.max(dbfs(processed));
        }
        if self.awaited.len() > LOOK_AHEAD {
            let oldest = self.awaited.pop_front().flatten();
            self.count(oldest);
        }
    }

    /// What was removed so far.
    pub(crate) fn removed(&self) -> RemovedSpeech {
        self.removed
    }

    fn count(&mut self, speech: Option<(f32, f32)>) {
        let is_removed = speech.is_some_and(|(level, loudest)| loudest < level - REMOVED_DB);
        if is_removed {
            self.removed.duration += FRAME;
            self.removed.pieces += u64::from(!self.is_removing);
        }
        self.is_removing = is_removed;
    }

    fn learn_echo(&mut self, played: f64, captured: f64) {
        self.block[0] += played;
        self.block[1] += captured;
        self.in_block += 1;
        if self.in_block < BLOCK {
            return;
        }
        let [played, captured] = self.block.map(|energy| dbfs(energy / BLOCK as f64));
        if played > PLAYED_DBFS {
            keep(&mut self.gains_db, captured - played, BLOCKS);
        }
        (self.block, self.in_block) = ([0.0; 2], 0);
    }

    fn is_speech(&self, level: f32) -> bool {
        let room = self.captured.iter().copied().fold(0.0, f32::min);
        if level < LEAST_SPEECH_DBFS.max(room + ABOVE_ROOM_DB) {
            return false;
        }
        let played = self.played.iter().copied().fold(f32::MIN, f32::max);
        if played < PLAYED_DBFS {
            return true;
        }
        let gain_db = self.gains_db.iter().copied().reduce(f32::min);
        gain_db.is_some_and(|gain_db| level > played + gain_db + ECHO_MARGIN_DB)
    }
}

/// Appends, and forgets the oldest beyond so many.
fn keep(values: &mut VecDeque<f32>, value: f32, most: usize) {
    values.push_back(value);
    if values.len() > most {
        values.pop_front();
    }
}

/// −120 for silence.
fn dbfs(power: f64) -> f32 {
    (10.0 * power.max(1e-12).log10()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels of a second, in dBFS: played, captured, processed.
    type Second = [f32; 3];

    const SILENT: f32 = -90.0;
    const ROOM: f32 = -70.0;
    const VOICE: f32 = -26.0;

    fn removed(seconds: &[Second]) -> RemovedSpeech {
        let mut loss = SpeechLoss::default();
        for second in seconds {
            let [played, captured, processed] = second.map(|db| 10_f64.powf(f64::from(db) / 10.0));
            for frame in 0..100 {
                // A pause in every second shows how quiet the room is.
                let is_pause = frame >= 80;
                let room = 10_f64.powf(f64::from(ROOM) / 10.0);
                match is_pause {
                    true => loss.push(0.0, room, room),
                    false => loss.push(played, captured, processed),
                }
            }
        }
        loss.removed()
    }

    #[test]
    fn a_voice_that_comes_through_has_lost_nothing() {
        assert_eq!(
            removed(&[[SILENT, VOICE, VOICE - 3.0]; 5]),
            RemovedSpeech::default()
        );
    }

    #[test]
    fn a_voice_that_is_taken_away_is_counted_with_its_pieces() {
        let lost = removed(&[
            [SILENT, VOICE, VOICE],
            [SILENT, VOICE, VOICE - 30.0],
            [SILENT, VOICE, VOICE - 30.0],
            [SILENT, VOICE, VOICE],
        ]);
        assert_eq!(lost.pieces, 2);
        let ms = lost.duration.as_millis();
        assert!((1_500..=1_650).contains(&ms), "{ms} ms");
    }

    #[test]
    fn an_echo_that_is_taken_away_is_no_voice() {
        for echo in [VOICE - 30.0, VOICE - 20.0, VOICE, VOICE + 6.0] {
            let lost = removed(&[[VOICE, echo, SILENT]; 8]);
            assert_eq!(lost, RemovedSpeech::default(), "{echo} dBFS");
        }
    }

    #[test]
    fn a_voice_over_an_echo_is_counted_once_the_echo_is_known() {
        let echo = [VOICE, VOICE - 20.0, SILENT];
        let both = [VOICE, VOICE, VOICE - 30.0];
        let lost = removed(&[both, both, echo, both, both]);
        let ms = lost.duration.as_millis();
        assert!((1_500..=1_650).contains(&ms), "{ms} ms");
        // The first two are unknown for ever: the echo might have been as loud.
        assert_eq!(removed(&[both; 5]), RemovedSpeech::default());
    }

    #[test]
    fn the_noise_of_a_room_may_be_removed() {
        assert_eq!(
            removed(&[[SILENT, ROOM + 8.0, SILENT]; 5]),
            RemovedSpeech::default()
        );
    }
}
