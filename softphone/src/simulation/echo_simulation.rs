//! A loudspeaker next to the microphone, on a virtual clock: the real engine between a room, a line
//! and a far end, which is either the server's leg (an echo call) or somebody who talks.

mod tests;

use std::{
    collections::VecDeque,
    f32::consts::TAU,
    sync::{Arc, Mutex, mpsc::channel},
    time::Duration,
};

use audio::{Decoder, Effects, Encoder, Format, Leg, Resampler, measure::rms_dbfs};
use proto::callcenter::Gap;

use crate::{
    device::{DeviceStats, Microphone, Speaker},
    engine::{
        Engine, EngineStatus,
        capture_path::CapturePath,
        delay::Stages,
        echo_control::{EchoControl, EchoMemory, decision::EchoPath, memory::DevicePair},
        near_end_choice::{EchoChoice, NearEndChoice, Switch},
        playout_path::{Downlink, Incoming, PlayoutPath},
        uplink::Outgoing,
    },
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
    runs_dry: VecDeque<(Duration, usize)>,
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
        if let Some((_, samples)) = pop_due(&mut self.runs_dry, now) {
            self.given += samples as u64;
            let mut room = self.room.lock().unwrap();
            room.air.extend(std::iter::repeat_n(0.0, samples));
        }
        if now >= self.rebuilt && self.rate_hz != 44_100 {
            self.rate_hz = 44_100;
            self.resampler = clock_resampler(self.rate_hz, self.drift_ppm);
            let rate = f64::from(self.rate_hz) * (1.0 + self.drift_ppm / 1e6);
            self.given = (now.as_secs_f64() * rate) as u64;
        }
        let rate = f64::from(self.rate_hz) * (1.0 + self.drift_ppm / 1e6);
        let due = (now.as_secs_f64() * rate) as u64;
        let wanted = due.saturating_sub(self.given);
        self.given += wanted;
        wanted as usize
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
    /// When the speaker runs dry, the first one first, and for how many samples.
    runs_dry: VecDeque<(Duration, usize)>,
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
            runs_dry: VecDeque::new(),
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
        runs_dry: setting.runs_dry.clone(),
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
    let returns_own_voice = Some(setting.far_voice.is_none());
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
        let canceller = engine.status(false).echo.canceller();
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
        stages: Some(Stages::default()),
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
