//! Calls on a virtual clock: the real engine, a far end made of the server's own leg, and a line
//! between them that is as late as a test wants it to be.

use std::{collections::VecDeque, time::Duration};

use audio::{Effects, Format, Leg, ToneReport};
use proto::callcenter::Gap;

use crate::{
    capture_path::CapturePath,
    device::{
        DeviceStats, Microphone,
        virtual_microphone::ToneMicrophone,
        virtual_speaker::{Ear, VirtualSpeaker},
    },
    engine::{Engine, EngineStatus},
    playout_path::{Downlink, Incoming, PlayoutPath},
    uplink::Outgoing,
};

const TONE_HZ: f32 = 440.0;
const TONE_DBFS: f32 = -20.0;

/// How often the engine looks at its devices.
const LOOK: Duration = Duration::from_millis(2);

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
    /// What comes from the far end waits until this is over.
    stalled: Span,
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

/// The server: each chunk through a leg, answered at once.
struct FarEnd {
    leg: Leg,
    answer: Vec<u8>,
    /// Where the stream of today began.
    origin: u64,
    heard: Vec<(Duration, Outgoing)>,
}

impl FarEnd {
    fn answer(&mut self, chunk: Outgoing, now: Duration) -> Incoming {
        self.answer.clear();
        if !chunk.payload.is_empty() {
            let processed = self.leg.process(&chunk.payload, &mut self.answer);
            assert!(!processed.unwrap().concealed);
        }
        self.heard.push((now, chunk.clone()));
        let mut stages = chunk.stages;
        stages.uplink += LINE.as_micros() as u32;
        stages.downlink += LINE.as_micros() as u32;
        Incoming {
            payload: self.answer.clone().into(),
            media_time: chunk.media_time - self.origin,
            gap: chunk.gap,
            stages: (!chunk.payload.is_empty()).then_some(stages),
            arrived: Duration::ZERO,
        }
    }
}

/// A call that is over.
struct Call {
    heard: ToneReport,
    status: EngineStatus,
    /// The engine's figures ten times a second.
    course: Vec<EngineStatus>,
    /// What the far end got, and when.
    at_far_end: Vec<(Duration, Outgoing)>,
}

impl Call {
    fn at(&self, now: Duration) -> &EngineStatus {
        &self.course[now.as_millis() as usize / 100]
    }
}

fn call(length: Duration, script: &Script) -> Call {
    let format = Format::OPUS_48K_MONO;
    let microphone = ScriptedMicrophone {
        tone: ToneMicrophone::new(TONE_HZ, TONE_DBFS),
        away: script.away.clone(),
    };
    let ear = Ear::new(TONE_HZ);
    let speaker = VirtualSpeaker::ear(ear.clone());
    let mut engine = Engine::new(
        CapturePath::new(Box::new(microphone), format, 480, 32_000).unwrap(),
        PlayoutPath::new(Box::new(speaker), format).unwrap(),
    );
    let mut far_end = FarEnd {
        leg: Leg::new(format, &Effects::parse("highpass,limiter").unwrap()),
        answer: Vec::new(),
        origin: 0,
        heard: Vec::new(),
    };
    let mut up: VecDeque<(Duration, Outgoing)> = VecDeque::new();
    let mut down: VecDeque<(Duration, Incoming)> = VecDeque::new();
    let mut course = Vec::new();
    let mut began = false;
    let mut now = Duration::ZERO;
    while now < length {
        if script.cut.contains(&now) {
            up.clear();
            down.clear();
            began = false;
        } else if !began {
            began = true;
            // A new stream numbers its sound from anywhere.
            far_end.origin = far_end.heard.last().map_or(0, |(_, last)| last.media_time);
            engine.receive(Downlink::Began, now);
        }
        while let Some((_, chunk)) = pop_due(&mut up, now) {
            down.push_back((now + LINE, far_end.answer(chunk, now)));
        }
        while !script.stalled.contains(&now) {
            let Some((_, mut incoming)) = pop_due(&mut down, now) else {
                break;
            };
            incoming.arrived = now;
            engine.receive(Downlink::Chunk(incoming), now);
        }
        let muted = script.muted.contains(&now);
        engine
            .tick(now, muted, |chunk| up.push_back((now + LINE, chunk)))
            .unwrap();
        if now.as_millis().is_multiple_of(100) {
            course.push(engine.status(muted));
        }
        now += LOOK;
    }
    Call {
        heard: ear.report(),
        status: engine.status(false),
        course,
        at_far_end: far_end.heard,
    }
}

/// The oldest that is due.
fn pop_due<T>(queue: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<(Duration, T)> {
    let is_due = queue.front().is_some_and(|(due, _)| *due <= now);
    is_due.then(|| queue.pop_front()).flatten()
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
        stalled: seconds(2)..seconds(3),
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
    for (at, chunk) in &meanwhile {
        assert!(
            chunk.payload.is_empty() && chunk.gap == Gap::Muted,
            "{at:?}: {chunk:?}"
        );
    }
    let (_, before) = call
        .at_far_end
        .iter()
        .rfind(|(at, _)| *at < arrives.start)
        .unwrap();
    let sound = |(_, chunk): &&(Duration, Outgoing)| !chunk.payload.is_empty();
    let after = call
        .at_far_end
        .iter()
        .filter(|(at, _)| *at >= arrives.end)
        .find(sound);
    let (_, after) = after.unwrap();
    assert_eq!(after.gap, Gap::Muted);
    let jump = Duration::from_micros((after.media_time - before.media_time) * 1_000 / 48);
    assert!(
        jump.abs_diff(seconds(2)) < Duration::from_millis(25),
        "{jump:?}"
    );
}

#[test]
fn a_stall_is_concealed_and_leaves_no_delay() {
    let stalled = seconds(5)..seconds(5) + Duration::from_millis(300);
    let call = call(
        seconds(12),
        &Script {
            stalled,
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
        .filter(|(_, chunk)| chunk.payload.is_empty())
        .collect();
    assert!(empty.len() >= 8, "kept alive by {} chunks", empty.len());
    assert!(empty.iter().all(|(_, chunk)| chunk.gap == Gap::Device));
    let back = call
        .at_far_end
        .iter()
        .find(|(at, chunk)| *at > away.end && !chunk.payload.is_empty());
    let (at, back) = back.unwrap();
    assert_eq!(back.gap, Gap::Device);
    let position = Format::OPUS_48K_MONO.duration_of(back.media_time as usize);
    let due = *at - LINE - Duration::from_millis(10);
    assert!(
        position.abs_diff(due) < Duration::from_millis(5),
        "{position:?}, not {due:?}"
    );
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
