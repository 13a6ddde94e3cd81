//! A call as somebody hears it: speech into the virtual microphone, and what comes out of the
//! virtual speaker judged from outside, against what was said.

use std::{path::Path, time::Duration};

use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;

use crate::{
    Process, Server,
    analysis::{Delay, delays, percentile, rms_dbfs},
    bin, pesq,
    rig::{RATE, Rig, Unclean},
};

const LIMIT: Duration = Duration::from_secs(30);
/// Nothing is said for so long at first: the player and the recorder disturb the line when they start,
/// as no caller does, and the jitter buffer keeps more for two seconds then.
const QUIET_FIRST: Duration = Duration::from_secs(3);
/// Recorded longer than spoken.
const RECORD_AFTER: Duration = Duration::from_secs(1);
/// The pieces in which something may be missing.
const PIECE: usize = RATE as usize / 50;
/// A piece of speech that should be heard, and one that is not.
const LOUD_DBFS: f64 = -35.0;
const MISSING_DB: f64 = -20.0;
/// The delays that are looked at around a piece.
const AROUND_MS: f64 = 750.0;
/// And so much do they differ at most: less than a piece, which else would be found beside its place.
const MOVED_MS: f64 = 10.0;

/// What was heard of a call.
#[derive(Debug, Clone)]
pub struct HeardCall {
    /// PESQ in wide band; `None` where it cannot be measured.
    pub pesq: Option<f64>,
    /// Mouth to ear, in ms: median and 95th percentile.
    pub delay_ms: [f64; 2],
    /// Of the loud pieces of 20 ms, how many were not heard: from 0 to 1.
    pub missing: f64,
    /// Level of the last second, long after the last word.
    pub last_dbfs: f64,
    /// For how long this machine stood still meanwhile.
    pub stall: Duration,
    /// What the softphone says of it.
    pub figures: Value,
    /// What it said on the way.
    pub said: String,
}

/// Makes a call between the rig's devices and an own server, with these flags beside the server's
/// address, and says `words`.
///
/// # Errors
/// The rig was not clean.
///
/// # Panics
/// The softphone did not connect, or ended otherwise than well.
pub fn heard_call(rig: &Rig, flags: &[&str], words: &[f32]) -> Result<HeardCall, Unclean> {
    let server = Server::start(&["--log", "error"]);
    let addr = server.addr().to_string();
    let args = [&["--server", &addr, "--json"][..], flags].concat();
    let softphone = Process::start(bin("softphone"), &args, &rig.env());
    softphone.wait_for_stderr("connected", LIMIT);
    if !flags.contains(&"--aec") {
        softphone.wait_for_stderr("echo canceller", LIMIT);
    }
    heard_from(rig, softphone, words)
}

/// How a listener in a call of several hears the one who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// As it was encoded: there is nobody else.
    Relayed,
    /// With a third party, who says nothing.
    Mixed,
}

/// Says `words` into the microphone of one softphone, and judges what comes out of the speaker of another
/// that is in the same call, both with the flags that a person gives, as they are on one clock.
///
/// # Errors
/// The rig was not clean.
///
/// # Panics
/// A softphone did not connect, or ended otherwise than well.
pub fn heard_conference(rig: &Rig, route: Route, words: &[f32]) -> Result<HeardCall, Unclean> {
    let server = Server::start(&["--log", "error"]);
    let addr = server.addr().to_string();
    let silence = rig.dir().join("silence.wav");
    write_silence(&silence);
    let silence = silence.display().to_string();
    let join = |name: &str, args: &[&str]| {
        let all = [
            "--server", &addr, "--call", "room", "--json", "--name", name,
        ];
        let args = [&all[..], args].concat();
        Process::start(bin("softphone"), &args, &rig.env())
    };
    let listener = join("listener", &["--source", &silence]);
    listener.wait_for_stderr("nobody else is in the call yet", LIMIT);
    let mut others = vec![join("speaker", &["--sink", "null"])];
    listener.wait_for_stderr("speaker joined", LIMIT);
    if route == Route::Mixed {
        let third = ["--source", &silence, "--sink", "null"];
        others.push(join("third", &third));
        listener.wait_for_stderr("third joined", LIMIT);
    }
    let heard = heard_from(rig, listener, words);
    for mut other in others {
        other.signal("INT");
        other.wait(LIMIT);
    }
    heard
}

/// Says `words` into the microphone and judges what this softphone plays.
fn heard_from(rig: &Rig, mut softphone: Process, words: &[f32]) -> Result<HeardCall, Unclean> {
    let mut quiet_first = vec![0.0; (QUIET_FIRST.as_secs_f64() * f64::from(RATE)) as usize];
    quiet_first.extend_from_slice(words);
    let words = &quiet_first;
    let spoken = Duration::from_secs_f64(words.len() as f64 / f64::from(RATE));
    let recording = rig.play_and_record_mixed(words, spoken + RECORD_AFTER * 3)?;
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let figures = serde_json::from_str(&output.stdout).expect("JSON on stdout");
    let speaker = &recording.speaker;
    // The microphone's channel holds the echo too: what was said is known better.
    let begins = recording
        .feed
        .iter()
        .position(|sample| sample.abs() > 1e-3)
        .zip(words.iter().position(|sample| sample.abs() > 1e-3));
    let Some((heard_at, said_at)) = begins else {
        return Err(Unclean::because("nothing was said"));
    };
    let mut said = vec![0.0; heard_at.saturating_sub(said_at)];
    said.extend_from_slice(words);
    said.resize(speaker.len(), 0.0);
    let mut found = delays(&said, speaker, RATE);
    found.retain(|delay| delay.correlation > 0.5);
    let all: Vec<f64> = found.iter().map(|delay| delay.delay_ms).collect();
    Ok(HeardCall {
        pesq: pesq(&said, speaker, RATE),
        delay_ms: [50.0, 95.0].map(|percent| percentile(&all, percent)),
        missing: missing(&said, speaker, &found),
        stall: recording.stall,
        last_dbfs: rms_dbfs(&speaker[speaker.len() - RATE as usize..]),
        figures,
        said: output.stderr,
    })
}

/// More of it than any call here lasts.
fn write_silence(path: &Path) {
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).expect("a file can be made");
    for _ in 0..RATE * 120 {
        writer.write_sample(0_i16).expect("a sample fits");
    }
    writer.finalize().expect("the file can be written");
}

/// Of the loud pieces of `said`, the part that is not in `heard`, at none of the delays that were
/// found around it: a line may move by some ms between two words.
fn missing(said: &[f32], heard: &[f32], delays: &[Delay]) -> f64 {
    let pieces = said.chunks_exact(PIECE).enumerate();
    let loud: Vec<bool> = pieces
        .map(|(index, said)| (index * PIECE, rms_dbfs(said)))
        .filter(|(_, said_dbfs)| *said_dbfs > LOUD_DBFS)
        .map(|(at, said_dbfs)| {
            let at_ms = at as f64 * 1e3 / f64::from(RATE);
            let off = |delay: &Delay| (delay.at_ms - at_ms).abs();
            let nearest = delays.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
            let near = |delay: &&Delay| {
                let moved = |nearest: &Delay| (delay.delay_ms - nearest.delay_ms).abs();
                off(delay) <= AROUND_MS && nearest.is_some_and(|at| moved(at) <= MOVED_MS)
            };
            let is_heard = |delay: &Delay| {
                let from = at + (delay.delay_ms * f64::from(RATE) / 1e3) as usize;
                let there = heard.get(from..from + PIECE);
                there.is_some_and(|there| rms_dbfs(there) - said_dbfs > MISSING_DB)
            };
            delays.iter().filter(near).any(is_heard)
        })
        .collect();
    let missing = loud.iter().filter(|is_heard| !**is_heard).count();
    missing as f64 / loud.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::tone;

    #[test]
    fn what_is_missing_is_counted() {
        let said = tone(440.0, 2.0, 0.3);
        let mut heard = vec![0.0; 480];
        heard.extend(&said);
        let found = |delay_ms| {
            let at = [0.0, 500.0, 1_000.0, 1_500.0];
            at.map(|at_ms| Delay {
                at_ms,
                delay_ms,
                correlation: 1.0,
            })
        };
        assert!(missing(&said, &heard, &found(10.0)) < 0.02);
        heard[48_000..57_600].fill(0.0);
        let part = missing(&said, &heard, &found(10.0));
        assert!((part - 0.1).abs() < 0.02, "{part}");
        assert_eq!(missing(&said, &heard, &[]), 1.0);
    }

    #[test]
    fn what_moves_between_two_words_is_not_missing() {
        let word = tone(440.0, 0.3, 0.3);
        let pause = |samples| vec![0.0; samples];
        let said = [&word[..], &pause(9_600), &word, &pause(9_600)].concat();
        // The second comes 7.5 ms sooner.
        let heard = [
            &pause(1_920)[..],
            &word,
            &pause(9_240),
            &word,
            &pause(9_600),
        ]
        .concat();
        let found = [(0.0, 40.0), (500.0, 32.5)].map(|(at_ms, delay_ms)| Delay {
            at_ms,
            delay_ms,
            correlation: 1.0,
        });
        assert_eq!(missing(&said, &heard, &found), 0.0);
    }
}
