//! A loudspeaker next to the microphone, on a virtual clock: the real engine between a room, a line
//! and a far end, which is either the server's leg (an echo call) or somebody who talks.

use std::{
    collections::VecDeque,
    f32::consts::TAU,
    sync::{Arc, Mutex, mpsc::channel},
    time::Duration,
};

use audio::{Decoder, Effects, Encoder, Format, Leg, Resampler, meter::rms_dbfs};
use proto::callcenter::Gap;

use crate::{
    capture_path::CapturePath,
    device::{DeviceStats, Microphone, Speaker},
    echo_control::{EchoControl, EchoMemory, decision::EchoPath, memory::DevicePair},
    engine::{Engine, EngineStatus},
    near_end_choice::{EchoChoice, NearEndChoice, Switch},
    playout_path::{Downlink, Incoming, PlayoutPath},
    uplink::Outgoing,
};

const RATE: usize = 48_000;
const LOOK: Duration = Duration::from_millis(2);
const LINE: Duration = Duration::from_millis(7);

/// What the devices say of themselves, and it is true.
const SPEAKER_LATENCY: Duration = Duration::from_millis(30);
const MICROPHONE_LATENCY: Duration = Duration::from_millis(10);

const ON: NearEndChoice = NearEndChoice {
    echo: EchoChoice::On,
    noise_suppression: Switch::Off,
    gain_control: Switch::Off,
};
const OFF: NearEndChoice = NearEndChoice {
    echo: EchoChoice::Off,
    ..ON
};
const AUTO: NearEndChoice = NearEndChoice {
    echo: EchoChoice::Auto,
    ..ON
};

/// Something like a voice: harmonics of a gliding pitch in syllables of changing colour, with
/// pauses. −20 dBFS or so while it lasts.
fn voice(pitch_hz: f32, seconds: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..seconds * RATE)
        .map(|n| {
            let t = n as f32 / RATE as f32;
            let syllable = (t * 4.0) as usize;
            let within = (t * 4.0).fract();
            let glide = 1.0 + 0.2 * (TAU * 0.31 * t).sin() - 0.1 * within;
            phase = (phase + pitch_hz * glide / RATE as f32).fract();
            if syllable % 5 == 4 || within > 0.8 {
                return 0.0;
            }
            let colour = 400.0 + 350.0 * (syllable * 7 % 5) as f32;
            let loud = (TAU / 2.0 * within / 0.8).sin();
            let sum: f32 = (1..=(3_800.0 / pitch_hz) as usize)
                .map(|k| {
                    let off = (k as f32 * pitch_hz - colour) / 500.0;
                    let level = 1.0 / (1.0 + off * off) + 0.02;
                    level * (TAU * (phase * k as f32).fract()).sin()
                })
                .sum();
            0.12 * loud * sum
        })
        .collect()
}

/// Loudspeaker, air and microphone. One timeline: the microphone's.
struct Room {
    /// What the loudspeaker played.
    air: Vec<f32>,
    /// Paths from the loudspeaker to the microphone: samples, and gain.
    paths: Vec<(usize, f32)>,
    /// Who sits before the microphone.
    voice: Vec<f32>,
    heard: usize,
    /// From which sample on anything of the loudspeaker is heard.
    coupled: usize,
}

impl Room {
    /// The direct path, and 24 reflections that die away by 60 dB in 200 ms.
    fn new(setting: &Setting) -> Self {
        let latency = SPEAKER_LATENCY + MICROPHONE_LATENCY + setting.delay;
        let direct = (latency.as_secs_f64() * RATE as f64) as usize;
        let gain = 10_f32.powf(setting.gain_db / 20.0);
        let mut paths = vec![(direct, gain)];
        let mut state = 0x2545_f491_u32;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32
        };
        paths.extend((0..24).map(|_| {
            let after = random() * 0.2;
            let sign = if random() < 0.5 { -0.2 } else { 0.2 };
            let later = (after * RATE as f32) as usize;
            (
                direct + 48 + later,
                gain * sign * (-6.9 * after / 0.2).exp(),
            )
        }));
        Self {
            air: Vec::new(),
            paths,
            voice: setting.voice.clone(),
            heard: 0,
            coupled: (setting.coupled.as_secs_f64() * RATE as f64) as usize,
        }
    }

    fn hear(&mut self, count: usize, samples: &mut Vec<f32>) {
        for n in self.heard..self.heard + count {
            let paths: &[_] = if n < self.coupled { &[] } else { &self.paths };
            let echo: f32 = paths
                .iter()
                .filter_map(|&(later, gain)| Some(gain * self.air.get(n.checked_sub(later)?)?))
                .sum();
            let voice = self.voice.get(n).copied().unwrap_or(0.0);
            samples.push((echo + voice).clamp(-1.0, 1.0));
        }
        self.heard += count;
    }
}

struct RoomMicrophone {
    room: Arc<Mutex<Room>>,
    given: usize,
    /// How late the engine fetched the newest sample.
    newest: Duration,
    /// How much it hands over at a time.
    period: Duration,
    away: std::ops::Range<Duration>,
}

impl Microphone for RoomMicrophone {
    fn sample_rate_hz(&self) -> u32 {
        RATE as u32
    }
    fn channels(&self) -> u16 {
        1
    }
    fn read(&mut self, now: Duration, samples: &mut Vec<f32>) {
        let periods = now.as_micros() / self.period.as_micros();
        let period_samples = self.period.as_millis() as usize * RATE / 1_000;
        let due = periods as usize * period_samples - self.given;
        self.given += due;
        if due > 0 {
            self.newest = now.saturating_sub(self.period * periods as u32);
        }
        let before = samples.len();
        self.room.lock().unwrap().hear(due, samples);
        if self.away.contains(&now) {
            samples.truncate(before);
        }
    }
    fn latency_us(&self) -> u32 {
        (MICROPHONE_LATENCY + self.newest).as_micros() as u32
    }
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

struct RoomSpeaker {
    room: Arc<Mutex<Room>>,
    drift_ppm: f64,
    given: u64,
    /// From the speaker's clock to the microphone's.
    resampler: Resampler,
    /// From when on the device is another one, of 44.1 kHz.
    rebuilt: Duration,
    rate_hz: u32,
    name: &'static str,
}

/// A resampler for a clock that is `ppm` faster than the microphone's.
fn clock_resampler(rate_hz: u32, drift_ppm: f64) -> Resampler {
    // Both times ten, so that ppm are whole numbers.
    let from = (f64::from(rate_hz * 10) * (1.0 + drift_ppm / 1e6)).round() as u32;
    Resampler::new(from, RATE as u32 * 10, 1).unwrap()
}

impl Speaker for RoomSpeaker {
    fn sample_rate_hz(&self) -> u32 {
        self.rate_hz
    }
    fn channels(&self) -> u16 {
        1
    }
    fn wanted(&mut self, now: Duration) -> usize {
        if now >= self.rebuilt && self.rate_hz != 44_100 {
            self.rate_hz = 44_100;
            self.resampler = clock_resampler(self.rate_hz, self.drift_ppm);
            let rate = f64::from(self.rate_hz) * (1.0 + self.drift_ppm / 1e6);
            self.given = (now.as_secs_f64() * rate) as u64;
        }
        let rate = f64::from(self.rate_hz) * (1.0 + self.drift_ppm / 1e6);
        let due = (now.as_secs_f64() * rate) as u64;
        (due - std::mem::replace(&mut self.given, due)) as usize
    }
    fn write(&mut self, samples: &[f32]) {
        let mut room = self.room.lock().unwrap();
        self.resampler.process(samples, &mut room.air);
    }
    fn latency_us(&self) -> u32 {
        SPEAKER_LATENCY.as_micros() as u32
    }
    fn stats(&self) -> DeviceStats {
        let is_rebuilt = self.rate_hz == 44_100;
        let name = if is_rebuilt {
            "Loudspeakers"
        } else {
            self.name
        };
        DeviceStats {
            name: name.to_owned(),
            ..DeviceStats::default()
        }
    }
}

/// Who is at the other end of the line.
enum FarEnd {
    /// The server, which answers each chunk through its chain.
    Echo(Box<Leg>),
    /// Somebody who says this, 10 ms at a time.
    Talker(Encoder, Vec<f32>),
}

struct Setting {
    /// The speaker calls itself a headset until it is rebuilt.
    near_end: NearEndChoice,
    /// A call between devices that are not known yet begins with a tone.
    tone: bool,
    memory: EchoMemory,
    /// From when on the microphone hears the loudspeaker.
    coupled: Duration,
    /// What the speaker calls itself until it is rebuilt.
    speaker: &'static str,
    format: Format,
    chunk: Duration,
    gain_db: f32,
    /// Of the air; the devices' latencies come on top of it.
    delay: Duration,
    drift_ppm: f64,
    voice: Vec<f32>,
    /// `None`: an echo call.
    far_voice: Option<Vec<f32>>,
    seconds: u64,
    away: std::ops::Range<Duration>,
    rebuilt: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            near_end: ON,
            tone: true,
            memory: EchoMemory::default(),
            coupled: Duration::ZERO,
            speaker: "Desk",
            format: Format::OPUS_48K_MONO,
            chunk: ms(10),
            gain_db: -6.0,
            delay: Duration::from_millis(5),
            drift_ppm: 0.0,
            voice: Vec::new(),
            far_voice: None,
            seconds: 10,
            away: Duration::ZERO..Duration::ZERO,
            rebuilt: Duration::MAX,
        }
    }
}

/// A call that is over.
struct Call {
    /// What arrived at the far end, decoded, at the format's rate.
    sent: Vec<f32>,
    /// What came out of the loudspeaker.
    played: Vec<f32>,
    /// The engine's figures, second by second.
    course: Vec<EngineStatus>,
    chunks: Vec<Outgoing>,
    /// When the canceller went on and off.
    switched: Vec<(Duration, bool)>,
}

impl Call {
    /// Level of what came out of the loudspeaker in its last five seconds.
    fn last_dbfs(&self) -> f32 {
        rms_dbfs(&self.played[self.played.len() - 5 * RATE..])
    }

    /// The loudest second of the loudspeaker from `from` on.
    fn loudest_dbfs(&self, from: usize) -> f32 {
        let seconds = self.played[from * RATE..].chunks(RATE);
        seconds.map(rms_dbfs).fold(f32::MIN, f32::max)
    }

    fn erle_db(&self, second: usize) -> f32 {
        self.course[second].near_end.unwrap().erle_db.unwrap()
    }
}

fn call(setting: &Setting) -> Call {
    let format = setting.format;
    let chunk_samples = format.samples_in(setting.chunk);
    let frame_samples = format.samples_in(ms(10));
    let room = Arc::new(Mutex::new(Room::new(setting)));
    let microphone = RoomMicrophone {
        room: Arc::clone(&room),
        given: 0,
        newest: Duration::ZERO,
        period: setting.chunk.min(ms(10)),
        away: setting.away.clone(),
    };
    let speaker = RoomSpeaker {
        room: Arc::clone(&room),
        drift_ppm: setting.drift_ppm,
        given: 0,
        resampler: clock_resampler(RATE as u32, setting.drift_ppm),
        rebuilt: setting.rebuilt,
        rate_hz: RATE as u32,
        name: setting.speaker,
    };
    let capture = CapturePath::new(Box::new(microphone), format, chunk_samples, 64_000).unwrap();
    let playout = PlayoutPath::new(Box::new(speaker), format).unwrap();
    let memory = setting.memory.clone();
    let echo = EchoControl::new(setting.near_end, true, setting.tone, memory).unwrap();
    let mut engine = Engine::new(capture, playout, echo);
    engine.follow_devices().unwrap();
    let mut far_end = match &setting.far_voice {
        None => FarEnd::Echo(Box::new(Leg::new(format, &Effects::default()))),
        Some(voice) => FarEnd::Talker(Encoder::new(format, 64_000).unwrap(), voice.clone()),
    };
    let mut ear = Decoder::new(format).unwrap();
    let mut up: VecDeque<(Duration, Outgoing)> = VecDeque::new();
    let mut down: VecDeque<(Duration, Incoming)> = VecDeque::new();
    let mut result = Call {
        sent: Vec::new(),
        played: Vec::new(),
        course: Vec::new(),
        chunks: Vec::new(),
        switched: Vec::new(),
    };
    let mut said = 0;
    let mut now = Duration::ZERO;
    engine.receive(Downlink::Began, now);
    let returns_own_voice = setting.far_voice.is_none();
    engine.receive(Downlink::FarEnd { returns_own_voice }, now);
    while now < Duration::from_secs(setting.seconds) {
        if let FarEnd::Talker(encoder, voice) = &mut far_end
            && now.as_millis().is_multiple_of(10)
        {
            let samples: Vec<f32> = (said..said + frame_samples)
                .map(|n| voice.get(n).copied().unwrap_or(0.0))
                .collect();
            let mut payload = Vec::new();
            encoder.encode(&samples, &mut payload).unwrap();
            down.push_back((now + LINE, incoming(payload, said as u64, Gap::None)));
            said += frame_samples;
        }
        while let Some((_, chunk)) = pop_due(&mut up, now) {
            if !chunk.payload.is_empty() {
                ear.decode(&chunk.payload, &mut result.sent).unwrap();
            }
            if let FarEnd::Echo(leg) = &mut far_end {
                let mut answer = Vec::new();
                if !chunk.payload.is_empty() {
                    leg.process(&chunk.payload, &mut answer).unwrap();
                }
                let answer = incoming(answer, chunk.media_time, chunk.gap);
                down.push_back((now + LINE, answer));
            }
            result.chunks.push(chunk);
        }
        while let Some((_, mut chunk)) = pop_due(&mut down, now) {
            chunk.arrived = now;
            engine.receive(Downlink::Chunk(chunk), now);
        }
        engine
            .tick(now, false, |chunk| up.push_back((now + LINE, chunk)))
            .unwrap();
        engine.search_for_tone(|search| {
            let (found, receiver) = channel();
            found.send(search()).unwrap();
            receiver
        });
        let canceller = engine.status(false).echo.canceller;
        if canceller != result.switched.last().is_some_and(|(_, on)| *on) {
            result.switched.push((now, canceller));
        }
        now += LOOK;
        if now.as_millis().is_multiple_of(1_000) {
            engine.follow_devices().unwrap();
            result.course.push(engine.status(false));
        }
    }
    result.played = std::mem::take(&mut room.lock().unwrap().air);
    result
}

fn incoming(payload: Vec<u8>, media_time: u64, gap: Gap) -> Incoming {
    Incoming {
        payload: payload.into(),
        media_time,
        gap,
        stages: None,
        arrived: Duration::ZERO,
    }
}

/// The oldest that is due.
fn pop_due<T>(queue: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<(Duration, T)> {
    let is_due = queue.front().is_some_and(|(due, _)| *due <= now);
    is_due.then(|| queue.pop_front()).flatten()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Signal over error in dB, where the signal is a part of what was sent and the error all else.
fn sdr_db(signal: &[f32], sent: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let gain = dot(signal, sent) / dot(signal, signal);
    let error: f64 = signal
        .iter()
        .zip(sent)
        .map(|(&signal, &sent)| (f64::from(sent) - gain * f64::from(signal)).powi(2))
        .sum();
    (10.0 * (gain * gain * dot(signal, signal) / error).log10()) as f32
}

#[test]
fn an_echo_call_with_the_loudspeaker_next_to_the_microphone_does_not_howl() {
    let voice = voice(125.0, 8);
    let talks = |near_end, gain_db, delay| {
        call(&Setting {
            near_end,
            gain_db,
            delay,
            voice: voice.clone(),
            seconds: 18,
            ..Setting::default()
        })
    };
    let spoken = |call: &Call| rms_dbfs(&call.sent[2 * RATE..8 * RATE]);
    let clean = talks(ON, -200.0, ms(5));
    for delay in [ms(120), ms(300)] {
        for gain_db in [-6.0, 0.0, 6.0] {
            let call = talks(ON, gain_db, delay);
            let setting = format!("{gain_db} dB, {delay:?}");
            let loudest = call.loudest_dbfs(0);
            assert!(loudest < -8.0, "{setting}: {loudest} dBFS");
            let last = call.last_dbfs();
            assert!(last < -60.0, "{setting}: {last} dBFS ten seconds later");
            let (sent, alone) = (spoken(&call), spoken(&clean));
            assert!(
                (sent - alone).abs() < 3.0,
                "{setting}: {sent}, not {alone} dBFS"
            );
        }
    }
    // The same room without the canceller: that is what it is for.
    let off = talks(OFF, 6.0, ms(120));
    assert!(off.last_dbfs() > -12.0, "{} dBFS", off.last_dbfs());
}

#[test]
fn the_echo_stays_away_while_the_two_clocks_drift_apart() {
    for drift_ppm in [200.0, -200.0] {
        let call = call(&Setting {
            drift_ppm,
            far_voice: Some(voice(210.0, 100)),
            seconds: 100,
            ..Setting::default()
        });
        let mut erle: Vec<f32> = (10..100).map(|second| call.erle_db(second)).collect();
        erle.sort_by(f32::total_cmp);
        // Now and then the canceller loses its bearings for a second, on steady clocks as well.
        assert!(
            erle[4] > 30.0,
            "{drift_ppm} ppm: {} dB at the 5th percentile",
            erle[4]
        );
        assert!(
            erle[45] > 45.0,
            "{drift_ppm} ppm: {} dB in the median",
            erle[45]
        );
    }
}

#[test]
fn a_speaker_of_another_rate_and_a_microphone_that_was_away_are_survived() {
    let call = call(&Setting {
        far_voice: Some(voice(210.0, 20)),
        seconds: 20,
        rebuilt: Duration::from_secs(6),
        away: Duration::from_secs(12)..Duration::from_millis(13_500),
        ..Setting::default()
    });
    for second in [5, 11, 18] {
        let erle_db = call.erle_db(second);
        assert!(erle_db > 25.0, "second {second}: {erle_db} dB");
    }
}

#[test]
fn a_headset_that_is_pulled_out_brings_the_canceller() {
    let call = call(&Setting {
        near_end: AUTO,
        speaker: "Headset",
        far_voice: Some(voice(210.0, 14)),
        seconds: 14,
        coupled: Duration::from_secs(6),
        rebuilt: Duration::from_secs(6),
        ..Setting::default()
    });
    assert_eq!(call.course[4].near_end, None);
    assert!(call.erle_db(12) > 25.0, "{} dB", call.erle_db(12));
    // Nothing of the sound is numbered twice.
    let sound = call.chunks.iter().filter(|chunk| !chunk.payload.is_empty());
    let times: Vec<u64> = sound.map(|chunk| chunk.media_time).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + 480));
}

/// A voice with a word a second from the beginning on, of its own pitch.
fn far_voice(seed: usize, seconds: usize) -> Vec<f32> {
    voice(170.0 + 13.0 * seed as f32, seconds)
}

#[test]
fn an_echo_is_cancelled_from_the_first_words_on() {
    for (seed, gain_db) in [-20.0, -10.0, 0.0, 6.0].into_iter().enumerate() {
        for delay in [ms(20), ms(120), ms(300)] {
            let call = call(&Setting {
                near_end: AUTO,
                gain_db,
                delay,
                far_voice: Some(far_voice(seed, 6)),
                seconds: 6,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}");
            assert_eq!(call.switched.len(), 1, "{setting}: {:?}", call.switched);
            assert!(
                call.switched[0].0 < ms(1_200),
                "{setting}: {:?}",
                call.switched
            );
            let echo = &call.course[5].echo;
            assert_eq!((echo.reason, echo.changes), ("heard", 0), "{setting}");
            assert!(call.erle_db(5) > 20.0, "{setting}: {}", call.erle_db(5));
            // Nothing was let through before.
            let first = call.chunks.iter().find(|chunk| !chunk.payload.is_empty());
            assert!(first.unwrap().made >= call.switched[0].0, "{setting}");
        }
    }
}

#[test]
fn in_an_echo_call_a_loop_is_cancelled_only_where_it_would_howl() {
    let voice = voice(125.0, 8);
    for delay in [ms(20), ms(120), ms(300)] {
        for (gain_db, tone, canceller) in [
            (-20.0, true, false),
            (-10.0, true, true),
            (0.0, true, true),
            (6.0, true, true),
            (6.0, false, true),
        ] {
            let call = call(&Setting {
                near_end: AUTO,
                tone,
                gain_db,
                delay,
                voice: voice.clone(),
                seconds: 18,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}, tone: {tone}");
            let on = call.course[17].echo.canceller;
            assert_eq!(on, canceller, "{setting}: {:?}", call.course[17].echo);
            let last = call.last_dbfs();
            assert!(last < -60.0, "{setting}: {last} dBFS ten seconds later");
            if tone {
                let loudest = call.loudest_dbfs(0);
                assert!(loudest < -8.0, "{setting}: {loudest} dBFS");
            }
        }
    }
}

/// A second of it, at −80 dBFS.
fn room_noise() -> Vec<f32> {
    let mut state = 1_u32;
    (0..RATE)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state as f32 / u32::MAX as f32 - 0.5) * 3e-4
        })
        .collect()
}

#[test]
fn without_an_echo_nothing_is_done_and_nothing_is_held_back() {
    for far in [None, Some(far_voice(3, 8))] {
        let is_echo_call = far.is_none();
        let call = call(&Setting {
            near_end: AUTO,
            gain_db: -200.0,
            // A quiet room first: while somebody speaks, less can be told.
            voice: [room_noise(), voice(125.0, 7)].concat(),
            far_voice: far,
            seconds: 8,
            ..Setting::default()
        });
        assert_eq!(call.switched, [], "echo call: {is_echo_call}");
        let status = &call.course[7];
        assert_eq!(
            status.echo.message,
            "echo canceller off: the microphone does not hear the speaker"
        );
        assert_eq!(status.near_end, None);
        let stages = call.chunks.last().unwrap().stages;
        assert_eq!((stages.framing, stages.processing), (10_000, 0));
        // And the next call needs no tone.
        assert_eq!(status.learned.count(), 1);
        assert_eq!(status.learned.after(0)[0].path, EchoPath::None);
    }
}

#[test]
fn what_is_remembered_is_not_measured_again() {
    let pair = DevicePair {
        microphone: String::new(),
        speaker: "Desk".to_owned(),
    };
    for (path, reason) in [
        (EchoPath::None, "not_heard"),
        (
            EchoPath::Some {
                gain_db: -6.0,
                lag_ms: 45,
            },
            "heard",
        ),
    ] {
        let mut memory = EchoMemory::default();
        memory.learn(&pair, path);
        let call = call(&Setting {
            near_end: AUTO,
            memory,
            gain_db: if path == EchoPath::None { -200.0 } else { -6.0 },
            far_voice: Some(Vec::new()),
            seconds: 3,
            ..Setting::default()
        });
        assert_eq!(call.course[0].echo.reason, reason);
        // No tone was played, and the microphone was let through at once.
        assert!(rms_dbfs(&call.played) < -100.0);
        assert!(call.chunks[1].made < ms(50));
    }
}

#[test]
fn an_echo_that_begins_in_the_midst_of_a_call_is_cancelled_within_two_seconds() {
    for (seed, gain_db) in [-10.0, 0.0, 6.0].into_iter().enumerate() {
        for delay in [ms(20), ms(120), ms(300)] {
            let begins = Duration::from_secs(5);
            let call = call(&Setting {
                near_end: AUTO,
                gain_db,
                delay,
                coupled: begins,
                far_voice: Some(far_voice(seed, 10)),
                seconds: 10,
                ..Setting::default()
            });
            let setting = format!("{gain_db} dB, {delay:?}");
            assert_eq!(call.switched.len(), 1, "{setting}: {:?}", call.switched);
            let after = call.switched[0].0.checked_sub(begins).expect(&setting);
            assert!(after < ms(2_000), "{setting}: {after:?}");
            assert!(call.erle_db(9) > 15.0, "{setting}: {}", call.erle_db(9));
            // Every sample has its place, over the change too.
            let sound = call.chunks.iter().filter(|chunk| !chunk.payload.is_empty());
            let times: Vec<u64> = sound.map(|chunk| chunk.media_time).collect();
            assert!(
                times.windows(2).all(|pair| pair[1] == pair[0] + 480),
                "{setting}"
            );
        }
    }
}

#[test]
fn both_speak_at_once_and_the_near_end_is_heard() {
    let setting = |far_voice| Setting {
        voice: [vec![0.0; 5 * RATE], voice(125.0, 10)].concat(),
        far_voice: Some(far_voice),
        seconds: 15,
        ..Setting::default()
    };
    let alone = call(&setting(Vec::new()));
    let both = call(&setting(voice(210.0, 15)));
    let part = |call: &Call| call.sent[6 * RATE..14 * RATE].to_vec();
    let (alone, both) = (part(&alone), part(&both));
    let lost_db = rms_dbfs(&alone) - rms_dbfs(&both);
    let sdr_db = sdr_db(&alone, &both);
    assert!(lost_db < 6.0, "{lost_db} dB");
    assert!(sdr_db > 3.0, "{sdr_db} dB");
}

#[test]
fn a_telephone_codec_gets_the_same_processing() {
    let call = call(&Setting {
        format: Format::parse("pcmu", 8_000, 1).unwrap(),
        far_voice: Some(voice(210.0, 60).into_iter().step_by(6).collect()),
        seconds: 8,
        ..Setting::default()
    });
    let erle_db = call.erle_db(7);
    assert!(erle_db > 25.0, "{erle_db} dB");
    let left = rms_dbfs(&call.sent[5 * 8_000..7 * 8_000]);
    assert!(left < -50.0, "{left} dBFS");
}

#[test]
fn the_stated_age_is_the_true_one() {
    let all = NearEndChoice {
        noise_suppression: Switch::On,
        gain_control: Switch::On,
        ..ON
    };
    // With nothing on, nothing is framed: 5 ms chunks wait for 5 ms, not for 10.
    for (near_end, chunk_ms, at_most_ms) in [
        (OFF, 5, 16),
        (OFF, 10, 20),
        (ON, 5, 30),
        (ON, 10, 30),
        (all, 20, 46),
    ] {
        let at = 2 * RATE + 100;
        let mut voice = vec![0.0; 3 * RATE];
        voice[at] = 0.9;
        let call = call(&Setting {
            near_end,
            format: Format::parse("pcm", 48_000, 1).unwrap(),
            chunk: ms(chunk_ms),
            voice,
            seconds: 3,
            ..Setting::default()
        });
        let (position, _) = call
            .sent
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
            .unwrap();
        let samples = chunk_ms as usize * 48;
        let chunk = &call.chunks[position / samples];
        let click_made = MICROPHONE_LATENCY + chunk.made;
        let captured_s = (at as f64 - (position % samples) as f64) / RATE as f64;
        let true_us = ((click_made.as_secs_f64() - captured_s) * 1e6) as i64;
        let stated_us = i64::from(chunk.stages.total());
        assert!(
            (true_us - stated_us).abs() < 300,
            "{near_end:?}: {true_us}, not {stated_us} µs"
        );
        assert!(
            stated_us <= at_most_ms * 1_000,
            "{near_end:?}: {stated_us} µs"
        );
    }
}
