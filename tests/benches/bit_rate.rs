//! What speech sounds like at each bit rate: PESQ (wide band) through the codec, and through a whole
//! call with processing (codec, the server's chain, codec again), over several voices.
//!
//!     cargo bench -p tests --bench bit_rate              the table
//!     cargo bench -p tests --bench bit_rate -- --write   and docs/bit-rate.md

use std::{env, fs};

use audio::{Chain, Decoder, Effects, Encoder, Format};
use tests::{pesq, python::repository, signals::speech_by};

/// In thousands of bits per second.
const BIT_RATES: [u32; 7] = [16, 24, 32, 48, 64, 96, 128];

/// Voices of espeak-ng, women and men, with what they say.
const VOICES: [(&str, &str); 5] = [
    ("en-us", ENGLISH),
    ("en-gb+f2", ENGLISH),
    ("en-gb-scotland+f4", ENGLISH),
    (
        "de",
        "Guten Morgen, Sie sind mit dem Kundendienst verbunden. Ihre Bestellung vom Freitag hat unser Haus verlassen.",
    ),
    (
        "fr+f3",
        "Bonjour, vous êtes en ligne avec le service clientèle. Votre commande de vendredi a quitté notre maison.",
    ),
];

const ENGLISH: &str = "Good morning, you are through to the service desk. My name is Alice, and I am \
    glad to help. The order that you placed on Friday has left our house.";

/// Samples per channel in a chunk: 10 ms, as a softphone sends by default.
const CHUNK: usize = 480;

/// Voices are brought to this level (RMS), some −23 dBFS.
const LEVEL: f32 = 0.07;

const HEAD: [&str; 6] = [
    "`--bitrate`",
    "measured, kb/s",
    "codec, mean PESQ",
    "worst voice",
    "codec, chain, codec, mean PESQ",
    "worst voice",
];

const INTRODUCTION: &str = "# Speech by bit rate

PESQ (wide band, 1 to 4.64) of speech through Opus as a call here uses it: 48 kHz, mono, packets of 10 ms,
the low-delay form, complexity 5, unconstrained variable bit rate. Five voices of espeak-ng, three
languages. Written by

    cargo bench -p tests --bench bit_rate -- --write

";

const NOTES: &str = "
How to read it:

- *Measured* is what the packets of this speech take. The bit rate that is asked for is the mean over
  speech and pauses: while somebody speaks, packets are up to half as large again, in silence there is
  next to nothing to send.
- *Codec, chain, codec* is an echo call with the server's default effects: the packets are decoded,
  processed, and encoded again at the same bit rate.
- The default is the least that keeps a call through the default chain at 4 or so: 64 kb/s for 48 kHz in
  mono. Other formats get, in kb/s: 24 kHz 48, 16 kHz 40, 12 kHz 32, 8 kHz 24; stereo 96, with
  less of which short packets mix the sides. The server answers at its default, or as the peer speaks
  where that is more.
";

fn main() {
    let voices: Option<Vec<Vec<f32>>> = VOICES
        .iter()
        .map(|(voice, text)| speech_by(voice, text).map(prepared))
        .collect();
    let Some(voices) = voices else { return };
    println!("{}", HEAD.join(" | "));
    let mut rows = Vec::new();
    for thousands in BIT_RATES {
        let Some(row) = measure(thousands, &voices) else {
            return;
        };
        println!("{}", row.join(" | "));
        rows.push(row);
    }
    if env::args().any(|argument| argument == "--write") {
        write_docs(&rows);
    }
}

/// A quarter of a second of silence on either side, whole chunks, one level.
fn prepared(voice: Vec<f32>) -> Vec<f32> {
    let power = voice.iter().map(|sample| sample * sample).sum::<f32>() / voice.len() as f32;
    let gain = LEVEL / power.sqrt();
    let silence = || std::iter::repeat_n(0.0, 12_000);
    let mut sound: Vec<f32> = silence()
        .chain(voice.iter().map(|sample| gain * sample))
        .chain(silence())
        .collect();
    sound.truncate(sound.len() / CHUNK * CHUNK);
    sound
}

fn measure(thousands: u32, voices: &[Vec<f32>]) -> Option<[String; 6]> {
    let mut kbps = 0.0;
    let (mut codec, mut call) = (Vec::new(), Vec::new());
    for voice in voices {
        let (decoded, bytes) = through_codec(voice, thousands * 1_000);
        kbps += bytes as f64 * 8.0 * 48.0 / voice.len() as f64 / voices.len() as f64;
        codec.push(pesq(voice, &decoded, 48_000)?);
        let (heard, _) = through_codec(&through_chain(&decoded), thousands * 1_000);
        call.push(pesq(voice, &heard, 48_000)?);
    }
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let worst = |scores: &[f64]| scores.iter().copied().fold(f64::INFINITY, f64::min);
    Some([
        format!("{thousands}k"),
        format!("{kbps:.0}"),
        format!("{:.2}", mean(&codec)),
        format!("{:.2}", worst(&codec)),
        format!("{:.2}", mean(&call)),
        format!("{:.2}", worst(&call)),
    ])
}

/// What is heard, and how many bytes it took.
fn through_codec(sound: &[f32], bitrate: u32) -> (Vec<f32>, usize) {
    let format = Format::OPUS_48K_MONO;
    let mut encoder = Encoder::new(format, bitrate).expect("libopus works");
    let mut decoder = Decoder::new(format).expect("libopus works");
    let (mut payload, mut heard, mut bytes) = (Vec::new(), Vec::new(), 0);
    for chunk in sound.chunks_exact(CHUNK) {
        payload.clear();
        encoder.encode(chunk, &mut payload).expect("a whole chunk");
        bytes += payload.len();
        decoder
            .decode(&payload, &mut heard)
            .expect("our own packet");
    }
    (heard, bytes)
}

fn through_chain(sound: &[f32]) -> Vec<f32> {
    let mut chain =
        Chain::new(&Effects::default(), 48_000, 1, CHUNK).expect("48 kHz needs nothing");
    let mut heard = Vec::with_capacity(sound.len());
    let mut buffer = Vec::new();
    for chunk in sound.chunks_exact(CHUNK) {
        buffer.clear();
        buffer.extend_from_slice(chunk);
        chain.process(&mut buffer);
        heard.extend_from_slice(&buffer);
    }
    heard
}

fn write_docs(rows: &[[String; 6]]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut page = INTRODUCTION.to_owned();
    page += &line(&HEAD.map(str::to_owned));
    page += &line(&HEAD.map(|_| "---:".to_owned()));
    for row in rows {
        page += &line(row);
    }
    page += NOTES;
    let file = repository().join("docs/bit-rate.md");
    fs::write(&file, page).expect("docs/ is there");
    println!("wrote {}", file.display());
}
