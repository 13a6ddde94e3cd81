//! What the near end's processing does to an echo and to the voice, in a simulated room.
//!
//!     cargo bench -p tests --bench echo
//!
//! The room: a direct path of the stated delay and gain from loudspeaker to microphone, and 60
//! reflections after it that die away by 60 dB in 150 ms. Nothing here depends on the machine but
//! the last column.

use audio::{
    frame::SAMPLES_PER_CHANNEL,
    near_end::{EchoCanceller, NearEnd, NearEndOptions},
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tests::{
    analysis::rms_dbfs,
    cpu::thread_seconds,
    pesq,
    rig::RATE,
    signals::{repeated, resample, speech},
};

const SECONDS: usize = 20;

/// What the line and the far end add to the room before a sound comes round again.
const ROUND_TRIP_SAMPLES: usize = 70 * 48;

/// A loop that is louder than this seven seconds after the last word howls.
const HOWL_DBFS: f64 = -40.0;

const OFF: NearEndOptions = NearEndOptions {
    echo_canceller: None,
    noise_suppression: false,
    gain_control: false,
    high_pass: false,
};
const HIGH_PASS: NearEndOptions = NearEndOptions {
    high_pass: true,
    ..OFF
};
const CANCELLER: NearEndOptions = NearEndOptions {
    echo_canceller: Some(EchoCanceller::Aec3),
    high_pass: true,
    ..OFF
};
const ALL: NearEndOptions = NearEndOptions {
    noise_suppression: true,
    gain_control: true,
    ..CANCELLER
};

/// Paths from the loudspeaker to the microphone: samples, and gain.
struct Room(Vec<(usize, f32)>);

impl Room {
    fn new(delay_ms: usize, gain_db: f32) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let gain = 10_f32.powf(gain_db / 20.0);
        let direct = delay_ms * 48;
        let mut paths = vec![(direct, gain)];
        paths.extend((0..60).map(|_| {
            let after_s: f32 = random.random_range(0.001..0.15);
            let sign = if random.random() { 0.2 } else { -0.2 };
            let later = (after_s * RATE as f32) as usize;
            (direct + later, gain * sign * (-6.9 * after_s / 0.15).exp())
        }));
        Self(paths)
    }

    /// What the microphone hears at `n` of what was played so far.
    fn echo(&self, played: &[f32], n: usize) -> f32 {
        let heard = |&(later, gain): &(usize, f32)| Some(gain * played.get(n.checked_sub(later)?)?);
        self.0.iter().filter_map(heard).sum()
    }
}

/// What is played over the loudspeaker.
enum Far<'a> {
    /// Somebody else's voice.
    Voice(&'a [f32]),
    /// What the near end sent, a round trip later.
    Loop,
}

struct Run {
    microphone: Vec<f32>,
    sent: Vec<f32>,
    us_per_frame: f64,
}

/// `voice` before the microphone, `far` in the loudspeaker.
fn run(options: NearEndOptions, room: &Room, voice: &[f32], far: &Far<'_>) -> Run {
    let mut near_end = NearEnd::new(options);
    let mut sent = Vec::new();
    let mut microphone = Vec::new();
    let frames = (0..SECONDS * RATE as usize).step_by(SAMPLES_PER_CHANNEL);
    let count = frames.len() as f64;
    let before = match far {
        Far::Voice(played) => {
            microphone.extend(
                frames
                    .clone()
                    .flat_map(|start| frame(room, voice, played, start)),
            );
            let before = thread_seconds();
            for start in frames {
                let mut heard = cut(&microphone, start);
                near_end.render(&mut cut(played, start));
                near_end.capture(&mut heard);
                sent.extend_from_slice(&heard);
            }
            before
        }
        Far::Loop => {
            let before = thread_seconds();
            let mut played = vec![0.0; ROUND_TRIP_SAMPLES];
            for start in frames {
                let mut heard = frame(room, voice, &played, start);
                near_end.render(&mut cut(&played, start));
                near_end.capture(&mut heard);
                sent.extend_from_slice(&heard);
                played.extend_from_slice(&heard);
            }
            before
        }
    };
    Run {
        microphone,
        sent,
        us_per_frame: (thread_seconds() - before) * 1e6 / count,
    }
}

/// What the microphone hears from `start` on for 10 ms.
fn frame(room: &Room, voice: &[f32], played: &[f32], start: usize) -> [f32; SAMPLES_PER_CHANNEL] {
    std::array::from_fn(|offset| {
        let said = voice.get(start + offset).copied().unwrap_or(0.0);
        (said + room.echo(played, start + offset)).clamp(-1.0, 1.0)
    })
}

fn cut(samples: &[f32], start: usize) -> [f32; SAMPLES_PER_CHANNEL] {
    std::array::from_fn(|offset| samples.get(start + offset).copied().unwrap_or(0.0))
}

/// From one second to another.
fn part(samples: &[f32], from: usize, to: usize) -> &[f32] {
    let at = |second: usize| (second * RATE as usize).min(samples.len());
    &samples[at(from)..at(to)]
}

fn howls(options: NearEndOptions, room: &Room, words: &[f32]) -> (f64, &'static str) {
    let run = run(options, room, part(words, 0, 8), &Far::Loop);
    let last = rms_dbfs(part(&run.sent, 15, 20)).max(-127.0);
    (last, if last > HOWL_DBFS { "howls" } else { "quiet" })
}

fn quality(clean: &[f32], sent: &[f32]) -> String {
    // The canceller has had its time to learn.
    let score = pesq(part(clean, 8, 16), part(sent, 8, 16), RATE);
    score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"))
}

fn main() {
    let (Some(near), Some(far)) = (
        speech("The quick brown fox jumps over the lazy dog, and then it sleeps in the sun."),
        speech("Please hold the line. Somebody will be with you in less than seven minutes."),
    ) else {
        return;
    };
    let voice = repeated(&near, SECONDS as f64);
    // Another voice: faster and higher by a fifth.
    let far = repeated(&resample(&far, RATE, RATE * 5 / 6), SECONDS as f64);
    println!(
        "Near end's processing in a room; the far end's voice in the loudspeaker at {:.0} dBFS,",
        rms_dbfs(&far)
    );
    println!(
        "the near end's at the microphone at {:.0} dBFS. PESQ-WB of the near end's voice.",
        rms_dbfs(&voice)
    );
    let silence = Room(Vec::new());
    for (name, options) in [
        ("nothing on", OFF),
        ("high-pass", HIGH_PASS),
        ("canceller", CANCELLER),
        ("canceller, suppressor, gain", ALL),
    ] {
        let alone = run(options, &silence, &voice, &Far::Voice(&[]));
        println!(
            "{name}: near end alone, PESQ {}, {:.0} µs per 10 ms",
            quality(&voice, &alone.sent),
            alone.us_per_frame
        );
    }
    println!();
    println!(
        "{:>7} {:>7} | {:>8} {:>10} {:>12} | {:>15} {:>15} | {:>9} {:>9} | {:>6}",
        "gain",
        "delay",
        "ERLE",
        "ERLE at 2 s",
        "residue",
        "loop, off",
        "loop, on",
        "PESQ off",
        "PESQ on",
        "µs"
    );
    for delay_ms in [20, 120, 300] {
        for gain_db in [-18.0, -6.0, 0.0, 6.0] {
            let room = Room::new(delay_ms, gain_db);
            let echo = run(CANCELLER, &room, &[], &Far::Voice(&far));
            let erle = |from, to| {
                rms_dbfs(part(&echo.microphone, from, to)) - rms_dbfs(part(&echo.sent, from, to))
            };
            let (off_dbfs, off) = howls(OFF, &room, &voice);
            let (on_dbfs, on) = howls(CANCELLER, &room, &voice);
            let [plain, cancelled] =
                [OFF, CANCELLER].map(|options| run(options, &room, &voice, &Far::Voice(&far)));
            println!(
                "{gain_db:>4} dB {delay_ms:>4} ms | {:>5.1} dB {:>8.1} dB {:>7.1} dBFS | {off} {off_dbfs:>4.0} dBFS {on} {on_dbfs:>4.0} dBFS | {:>9} {:>9} | {:>6.0}",
                erle(5, 20),
                erle(2, 3),
                rms_dbfs(part(&echo.sent, 5, 20)),
                quality(&voice, &plain.sent),
                quality(&voice, &cancelled.sent),
                echo.us_per_frame,
            );
        }
    }
}
