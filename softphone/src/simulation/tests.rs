//! Calls on the virtual clock, judged by what is heard and by what the far end got.

use std::sync::{Arc, Mutex};

use super::*;

use audio::ToneReport;
use proto::callcenter::Gap;

use crate::device::{
    DeviceStats,
    simulated::{
        virtual_clock::VirtualClock,
        virtual_microphone::ToneMicrophone,
        virtual_speaker::{Ear, VirtualSpeaker},
    },
};

const TONE_HZ: f32 = 440.0;
const TONE_DBFS: f32 = -20.0;

/// From one end of the line to the other, when it is not disturbed.
const LINE: Duration = Duration::from_millis(7);

/// From when to when something is the case.
type Span = std::ops::Range<Duration>;

/// What happens in a call.
#[derive(Clone, Default)]
struct Script {
    /// The near end is muted.
    muted: Span,
    /// The microphone gives nothing.
    away: Span,
    /// What is wrong with the line.
    line: Impairment,
    /// There is no line, and afterwards there is a new stream.
    cut: Span,
}

/// A tone that is not there while the microphone is away.
struct ScriptedMicrophone {
    tone: ToneMicrophone,
    away: Span,
}

impl Microphone for ScriptedMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        self.tone.sample_rate_hz()
    }
    fn channels(&self) -> u16 {
        self.tone.channels()
    }
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let before = samples.len();
        self.tone.read(now, samples);
        if self.away.contains(&now) {
            samples.truncate(before);
        }
    }
    fn latency_us(&self) -> u32 {
        0
    }
    fn stats(&self) -> DeviceStats {
        self.tone.stats()
    }
}

/// A call that is over.
struct Call {
    heard: ToneReport,
    status: EngineStatus,
    /// The engine's figures ten times a second.
    course: Vec<EngineStatus>,
    /// What the far end got, and when.
    at_far_end: Vec<(Duration, AudioChunk)>,
    dropped: u64,
}

impl Call {
    fn at(&self, now: Duration) -> &EngineStatus {
        &self.course[now.as_millis() as usize / 100]
    }
}

fn call(length: Duration, script: &Script) -> Call {
    let options = SimulationOptions {
        format: Format::OPUS_48K_MONO,
        chunk_samples: 480,
        bitrate: audio::codec::DEFAULT_BITRATE,
        effects: Effects::parse("highpass,limiter").unwrap(),
        impairment: Impairment {
            delay: LINE,
            ..script.line.clone()
        },
    };
    let microphone = ScriptedMicrophone {
        tone: ToneMicrophone::new(TONE_HZ, TONE_DBFS),
        away: script.away.clone(),
    };
    let ear = Ear::new(TONE_HZ);
    let speaker = VirtualSpeaker::ear(ear.clone());
    let mut simulation = Simulation::new(options, Box::new(microphone), Box::new(speaker)).unwrap();
    let mut course = Vec::new();
    let mut at_far_end = Vec::new();
    simulation.connect();
    while simulation.now() < length {
        let now = simulation.now();
        if now == script.cut.start && !script.cut.is_empty() {
            simulation.cut();
        }
        if now == script.cut.end && !script.cut.is_empty() {
            simulation.connect();
        }
        simulation.set_muted(script.muted.contains(&now));
        simulation
            .step(|at, chunk| at_far_end.push((at, chunk.clone())))
            .unwrap();
        if now.as_millis().is_multiple_of(100) {
            course.push(simulation.status());
        }
    }
    Call {
        heard: ear.report().expect("it listens").1,
        status: simulation.status(),
        dropped: simulation.dropped(),
        course,
        at_far_end,
    }
}

fn line(words: &str) -> Impairment {
    words.parse().unwrap()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_the_tone(heard: &ToneReport) {
    assert!(heard.heard, "{heard:?}");
    assert!((heard.frequency_hz - TONE_HZ).abs() < 0.2, "{heard:?}");
    assert!((heard.level_dbfs - TONE_DBFS).abs() < 0.5, "{heard:?}");
}

#[test]
fn a_minute_on_a_quiet_line_is_heard_whole() {
    let call = call(seconds(60), &Script::default());
    is_the_tone(&call.heard);
    assert_eq!(call.heard.missing_ms, 0.0);
    assert_eq!(call.heard.clicks, 0);
    assert_eq!(call.status.jitter_buffer.concealed_us, 0);
    assert_eq!(call.at_far_end.len(), 5_999);
    // 10 ms of chunk, 14 of line, 3 of limiter and codecs, and what the jitter buffer keeps.
    let mouth_to_ear_us = call.status.mouth_to_ear_us().unwrap();
    assert!(
        (27_000..60_000).contains(&mouth_to_ear_us),
        "{mouth_to_ear_us}"
    );
    let early = call.at(seconds(10)).mouth_to_ear_us().unwrap();
    assert!(
        mouth_to_ear_us.abs_diff(early) < 3_000,
        "{early} grew to {mouth_to_ear_us}"
    );
}

#[test]
fn the_same_call_twice_is_the_same_call() {
    let script = Script {
        line: line("jitter=15ms,stall=1s@2s,seed=3"),
        ..Script::default()
    };
    let [one, two] = [(); 2].map(|()| call(seconds(5), &script));
    assert_eq!(one.heard, two.heard);
    assert_eq!(one.status.jitter_buffer, two.status.jitter_buffer);
    assert_eq!(one.at_far_end, two.at_far_end);
}

#[test]
fn a_muted_end_is_silent_and_nothing_is_concealed() {
    let muted = seconds(3)..seconds(5);
    let call = call(
        seconds(10),
        &Script {
            muted: muted.clone(),
            ..Script::default()
        },
    );
    is_the_tone(&call.heard);
    let missing_ms = call.heard.longest_missing_ms;
    assert!((1_950.0..2_050.0).contains(&missing_ms), "{missing_ms} ms");
    assert_eq!(call.heard.missing_ms, missing_ms, "{:?}", call.heard);
    assert_eq!(call.status.jitter_buffer.concealed_us, 0);
    assert_eq!(call.status.jitter_buffer.dropped_late_us, 0);

    let arrives = muted.start + LINE..muted.end + LINE;
    let meanwhile: Vec<_> = call
        .at_far_end
        .iter()
        .filter(|(at, _)| arrives.contains(at))
        .collect();
    assert!(
        meanwhile.len() >= 20,
        "kept alive by {} chunks",
        meanwhile.len()
    );
    // The first lets the sound before it fade, or the codecs would play its end after the silence.
    let (closing, silent) = meanwhile.split_first().unwrap();
    assert!(!closing.1.audio_data.is_empty(), "{closing:?}");
    for (at, chunk) in silent {
        assert!(
            chunk.audio_data.is_empty() && chunk.gap() == Gap::Muted,
            "{at:?}: {chunk:?}"
        );
    }
    let (_, before) = call
        .at_far_end
        .iter()
        .rfind(|(at, _)| *at < arrives.start)
        .unwrap();
    let sound = |(_, chunk): &&(Duration, AudioChunk)| !chunk.audio_data.is_empty();
    let after = call
        .at_far_end
        .iter()
        .filter(|(at, _)| *at >= arrives.end)
        .find(sound);
    let (_, after) = after.unwrap();
    assert_eq!(after.gap(), Gap::Muted);
    let jump = Duration::from_micros((after.media_time - before.media_time) * 1_000 / 48);
    assert!(
        jump.abs_diff(seconds(2)) < Duration::from_millis(25),
        "{jump:?}"
    );
}

#[test]
fn a_stall_is_concealed_and_leaves_no_delay() {
    let call = call(
        seconds(12),
        &Script {
            line: line("stall=300ms@5s"),
            ..Script::default()
        },
    );
    is_the_tone(&call.heard);
    let buffer = &call.status.jitter_buffer;
    assert!(
        (200_000..320_000).contains(&buffer.longest_concealed_us),
        "{buffer:?}"
    );
    let hole = call.heard.longest_missing_ms;
    assert!((150.0..320.0).contains(&hole), "{hole} ms");
    // Back within a second of the first chunk that came through again.
    let before = call.at(seconds(5)).jitter_buffer.depth_us;
    let during = call.at(Duration::from_millis(5_400)).jitter_buffer.depth_us;
    let after = call.at(Duration::from_millis(6_300)).jitter_buffer.depth_us;
    assert!(during > 100_000, "{during} µs waited after the burst");
    assert!(after < before + 25_000, "{before} µs became {after}");
    let late = call.status.mouth_to_ear_us().unwrap() as i64
        - i64::from(call.at(seconds(5)).mouth_to_ear_us().unwrap());
    assert!(late < 20_000, "later by {late} µs");
}

#[test]
fn a_microphone_that_was_away_is_told_and_heard_again() {
    let away = seconds(3)..seconds(4);
    let call = call(
        seconds(8),
        &Script {
            away: away.clone(),
            ..Script::default()
        },
    );
    is_the_tone(&call.heard);
    let missing_ms = call.heard.longest_missing_ms;
    assert!((900.0..1_100.0).contains(&missing_ms), "{missing_ms} ms");
    assert!(
        call.heard.missing_ms < missing_ms + 20.0,
        "{:?}",
        call.heard
    );
    let empty: Vec<_> = call
        .at_far_end
        .iter()
        .filter(|(_, chunk)| chunk.audio_data.is_empty())
        .collect();
    assert!(empty.len() >= 8, "kept alive by {} chunks", empty.len());
    assert!(empty.iter().all(|(_, chunk)| chunk.gap() == Gap::Device));
    let back = call
        .at_far_end
        .iter()
        .find(|(at, chunk)| *at > away.end && !chunk.audio_data.is_empty());
    let (at, back) = back.unwrap();
    assert_eq!(back.gap(), Gap::Device);
    let position = Format::OPUS_48K_MONO.duration_of(back.media_time as usize);
    let due = *at - LINE - Duration::from_millis(10);
    assert!(
        position.abs_diff(due) < Duration::from_millis(5),
        "{position:?}, not {due:?}"
    );
}

#[test]
fn a_microphone_that_was_away_costs_quality_and_a_mute_does_not() {
    let [muted, away] = [true, false].map(|is_mute| {
        let span = seconds(3)..seconds(7);
        let (muted, away) = match is_mute {
            true => (span, Span::default()),
            false => (Span::default(), span),
        };
        let script = Script {
            muted,
            away,
            ..Script::default()
        };
        call(seconds(10), &script)
    });
    let mean = |call: &Call| call.status.call_stats.mos.unwrap().mean;
    assert!(mean(&muted) > 4.0, "{}", mean(&muted));
    assert!(mean(&away) < 3.2, "{}", mean(&away));
    assert_eq!(muted.status.jitter_buffer.absent_us, 0);
    // The rest until it was known had to be made up.
    let absent_us = away.status.jitter_buffer.absent_us;
    assert!((3_700_000..4_000_000).contains(&absent_us), "{absent_us}");
}

#[test]
fn a_new_stream_is_heard_at_the_old_delay() {
    let call = call(
        seconds(12),
        &Script {
            cut: seconds(4)..seconds(6),
            ..Script::default()
        },
    );
    is_the_tone(&call.heard);
    let missing_ms = call.heard.longest_missing_ms;
    assert!((1_800.0..2_150.0).contains(&missing_ms), "{missing_ms} ms");
    assert_eq!(call.status.jitter_buffer.out_of_order, 0);
    let before = call.at(seconds(4)).mouth_to_ear_us().unwrap();
    let after = call.status.mouth_to_ear_us().unwrap();
    assert!(after < before + 10_000, "{before} µs became {after}");
}

#[test]
fn on_a_stalled_line_sound_is_dropped_before_it_is_late() {
    let call = call(
        seconds(12),
        &Script {
            line: line("stall=2s@5s"),
            ..Script::default()
        },
    );
    is_the_tone(&call.heard);
    assert!((170..=190).contains(&call.dropped), "{}", call.dropped);
    let burst: Vec<_> = call
        .at_far_end
        .iter()
        .filter(|(at, _)| *at == seconds(7))
        .collect();
    // What was under way when the line stalled, and a probe for each second.
    assert!((15..=20).contains(&burst.len()), "{}", burst.len());
    let late: Vec<_> = call
        .at_far_end
        .iter()
        .filter(|(_, chunk)| chunk.gap() == Gap::Late)
        .collect();
    assert!((1..=4).contains(&late.len()), "{}", late.len());
    let fresh = call.at_far_end.iter().filter(|(at, _)| *at > seconds(7));
    for (at, chunk) in fresh {
        // 150 ms in the queue, and the chunk and look-ahead themselves.
        assert!(chunk.age_us <= 165_000, "{at:?}: {} µs old", chunk.age_us);
    }
}

/// So many samples from one burst to the next: longer than anything is late.
const PERIOD: u64 = 3 * 48_000;

/// A tenth of a second of a tone every three seconds, silence between.
struct Bursts {
    clock: VirtualClock,
    samples: u64,
}

impl Microphone for Bursts {
    fn sample_rate_hz(&self) -> u32 {
        48_000
    }
    fn channels(&self) -> u16 {
        1
    }
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        for _ in 0..self.clock.due(now) {
            let into = self.samples % PERIOD;
            let phase = into as f32 * std::f32::consts::TAU / 48.0;
            samples.push(if into < 4_800 { 0.3 * phase.sin() } else { 0.0 });
            self.samples += 1;
        }
    }
    fn latency_us(&self) -> u32 {
        0
    }
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

/// Remembers where bursts begin, in its own samples.
struct BurstCounter {
    clock: VirtualClock,
    samples: u64,
    quiet_for: u64,
    onsets: Arc<Mutex<Vec<u64>>>,
}

impl Speaker for BurstCounter {
    fn sample_rate_hz(&self) -> u32 {
        48_000
    }
    fn channels(&self) -> u16 {
        1
    }
    fn wanted(&mut self, now: Duration) -> usize {
        self.clock.due(now)
    }
    fn write(&mut self, samples: &[f32]) {
        for sample in samples {
            if sample.abs() > 0.03 {
                if self.quiet_for > 12_000 {
                    self.onsets.lock().unwrap().push(self.samples);
                }
                self.quiet_for = 0;
            }
            self.quiet_for += 1;
            self.samples += 1;
        }
    }
    fn latency_us(&self) -> u32 {
        0
    }
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

#[test]
fn the_delay_that_is_told_is_the_delay_that_is_heard() {
    for line in [
        "none",
        "delay=30ms",
        "delay=10ms,jitter=5ms,seed=2",
        "delay=10ms,jitter=15ms,seed=5",
        "delay=20ms,stall=2s@9s",
        "jitter=5ms,stall=500ms@9s,seed=8",
    ] {
        let options = SimulationOptions {
            format: Format::OPUS_48K_MONO,
            chunk_samples: 480,
            bitrate: audio::codec::DEFAULT_BITRATE,
            effects: Effects::parse("highpass,limiter").unwrap(),
            impairment: line.parse().unwrap(),
        };
        let onsets = Arc::new(Mutex::new(Vec::new()));
        let microphone = Bursts {
            clock: VirtualClock::new(48_000),
            samples: 0,
        };
        let speaker = BurstCounter {
            clock: VirtualClock::new(48_000),
            samples: 0,
            quiet_for: 48_000,
            onsets: Arc::clone(&onsets),
        };
        let mut simulation =
            Simulation::new(options, Box::new(microphone), Box::new(speaker)).unwrap();
        simulation.connect();
        let mut told_ms = Vec::new();
        while simulation.now() < seconds(36) {
            simulation.step(|_, _| {}).unwrap();
            told_ms.push(f64::from(simulation.engine().heard().delay_us) / 1e3);
        }
        let onsets = onsets.lock().unwrap();
        assert!(onsets.len() >= 11, "{line}: {onsets:?}");
        for &onset in onsets.iter().filter(|onset| **onset > 48_000) {
            let heard_ms = (onset % PERIOD) as f64 / 48.0;
            let told_ms = told_ms[(onset / 96) as usize];
            assert!(
                (heard_ms - told_ms).abs() < 5.0,
                "{line}, burst at {onset}: {heard_ms:.1} ms, told as {told_ms:.1}"
            );
        }
    }
}
