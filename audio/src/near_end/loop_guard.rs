//! Notices a loop that nobody feeds: all that the microphone hears may be the loudspeaker, and that
//! goes on.
//!
//! For a call that returns one's own voice to a loudspeaker that the microphone hears. A canceller
//! there may leave so much that it goes round, for seconds or for ever: in such a call what is said
//! now and what is played are one signal, from which nothing certain can be learned. Levels are
//! certain. Pure; works on 10 ms of both ends.

use std::collections::VecDeque;

/// For so many frames an echo may be in the room: its way, up to 0.45 s, and its reverberation.
const ECHO_FRAMES: usize = 65;
/// The loudspeaker is silent below this.
const SILENCE_DBFS: f32 = -62.0;
/// What is louder than the echo by this is somebody. A loop rings where the room is loudest.
const MARGIN_DB: f32 = 6.0;
/// A voice is heard beside its own echo at the latest after a pause of the echo's length. After so many
/// frames without that nobody speaks.
const PATIENCE_FRAMES: u32 = 200;

/// Listens to both ends.
#[derive(Debug)]
pub struct LoopGuard {
    /// Levels of what was played in dBFS, the newest last.
    played: VecDeque<f32>,
    /// Frames that may be nothing but echo, without a break.
    echo_frames: u32,
    loops: u32,
}

impl LoopGuard {
    /// A guard that has heard nothing.
    pub fn new() -> Self {
        Self {
            played: VecDeque::from(vec![f32::NEG_INFINITY; ECHO_FRAMES]),
            echo_frames: 0,
            loops: 0,
        }
    }

    /// Takes the levels of the next 10 ms of what is played, and of what is captured meanwhile. An echo
    /// is `echo_gain_db` louder than what is played, at most.
    pub fn push(&mut self, played_dbfs: f32, captured_dbfs: f32, echo_gain_db: f32) {
        self.played.pop_front();
        self.played.push_back(played_dbfs);
        let loudest = self
            .played
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let may_be_echo = captured_dbfs < loudest + echo_gain_db + MARGIN_DB;
        self.echo_frames = if loudest > SILENCE_DBFS && may_be_echo {
            self.echo_frames.saturating_add(1)
        } else {
            0
        };
        self.loops += u32::from(self.echo_frames == PATIENCE_FRAMES);
    }

    /// Whether what goes round goes round by itself.
    pub fn is_loop(&self) -> bool {
        self.echo_frames >= PATIENCE_FRAMES
    }

    /// How often it began to.
    pub fn loops(&self) -> u32 {
        self.loops
    }
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loop of `lag` frames whose echo is as loud as what was played, begun by 0.2 s of a voice.
    fn run(lag: usize, frames: usize) -> Vec<bool> {
        let mut guard = LoopGuard::new();
        let mut sent = vec![-90.0_f32; lag];
        (0..frames)
            .map(|n| {
                let voice = if n < 20 { -30.0 } else { -90.0 };
                let captured = sent[n].max(voice);
                guard.push(sent[n], captured, 0.0);
                sent.push(captured);
                guard.is_loop()
            })
            .collect()
    }

    #[test]
    fn a_loop_that_goes_on_alone_is_noticed_within_two_seconds_and_a_half() {
        for lag in [6, 20, 40] {
            let noticed = run(lag, 600);
            let first = noticed.iter().position(|&loops| loops).unwrap();
            assert!((200..250).contains(&first), "{lag}: {first}");
            assert!(noticed[first..].iter().all(|&loops| loops), "{lag}");
        }
    }

    #[test]
    fn words_with_pauses_are_somebody() {
        let mut guard = LoopGuard::new();
        for n in 0..3_000 {
            // A word of 0.6 s each 1.5 s, and its echo 0.3 s later, by 6 dB louder.
            let word = |n: usize| if n % 150 < 60 { -30.0_f32 } else { -90.0 };
            let played = if n < 30 { -90.0 } else { word(n - 30) };
            guard.push(played, word(n).max(played + 6.0), 6.0);
            assert!(!guard.is_loop(), "{n}");
        }
    }

    #[test]
    fn a_silent_loudspeaker_is_no_loop_and_ends_one() {
        let mut guard = LoopGuard::new();
        for _ in 0..1_000 {
            guard.push(-70.0, -90.0, 0.0);
        }
        assert!(!guard.is_loop());
        for _ in 0..300 {
            guard.push(-40.0, -40.0, 0.0);
        }
        assert!(guard.is_loop());
        for _ in 0..ECHO_FRAMES {
            guard.push(-90.0, -90.0, 0.0);
        }
        assert!(!guard.is_loop());
        assert_eq!(guard.loops(), 1);
    }
}
