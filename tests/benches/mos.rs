//! The MOS that a softphone shows beside the PESQ (wide band) of what is heard, for ten calls that differ in
//! codec, bit rate, processing and line. Virtual clock, seeded.
//!
//!     cargo bench -p tests --bench mos              the table
//!     cargo bench -p tests --bench mos -- --write   and docs/mos.md

use std::{env, fs, time::Duration};

use audio::{Chain, Decoder, Effects, Encoder, Format, measure::e_model};
use tests::{
    pesq,
    playout_line::{Heard, PlayoutLine},
    python::repository,
    signals::speech,
};

const LENGTH: Duration = Duration::from_secs(20);

/// Mouth to ear, beside what the jitter buffer adds.
const OTHER_DELAY_MS: f64 = 40.0;

const TEXT: &str = "Good morning, you are through to the service desk. My name is Alice, and I am \
    glad to help. The order that you placed on Friday has left our house and should be with you by \
    tomorrow noon. May I read the address back to you, so that nothing goes astray? It is number \
    seventeen, Harbour Street, third floor. If nobody is at home, the driver will leave it with your \
    neighbour, and send you a message. Was there anything else that you wanted to ask today?";

struct Call {
    name: &'static str,
    codec: &'static str,
    bitrate: u32,
    /// Through the codec and the server's default effects first, as in an echo call.
    echo: bool,
    line: &'static str,
}

const fn call(name: &'static str, codec: &'static str, bitrate: u32, line: &'static str) -> Call {
    Call {
        name,
        codec,
        bitrate,
        echo: false,
        line,
    }
}

const fn echo(name: &'static str, bitrate: u32, line: &'static str) -> Call {
    Call {
        echo: true,
        ..call(name, "opus", bitrate, line)
    }
}

const CALLS: [Call; 10] = [
    echo("the defaults, echo", 64_000, "none"),
    echo("32 kb/s, echo", 32_000, "none"),
    call("24 kb/s", "opus", 24_000, "none"),
    call("128 kb/s", "opus", 128_000, "none"),
    call("PCM", "pcm", 0, "none"),
    call("G.711", "pcmu", 0, "none"),
    call("jitter σ 15 ms", "opus", 64_000, "jitter=15ms,seed=1"),
    call("jitter σ 40 ms", "opus", 64_000, "jitter=40ms,seed=1"),
    call("stall of 2 s", "opus", 64_000, "stall=2s@8s"),
    call(
        "0.3 s stall every 5 s",
        "opus",
        64_000,
        "stall-every=300ms/5s",
    ),
];

const HEAD: [&str; 5] = ["call", "concealed, %", "MOS", "PESQ", "MOS − PESQ"];

const INTRODUCTION: &str = "# The MOS that a softphone shows

The E-model (ITU-T G.107.2) knows the codec and its bit rate, the delay and what had to be concealed. Here
beside the PESQ (wide band) of what is heard, for ten calls of 20 s. Written by

    cargo bench -p tests --bench mos -- --write

";

const NOTES: &str = "
How to read it:

- *Echo* is speech that went through the codec, the server's default effects and the codec again.
- MOS is of the call as a whole, the worse of two: of its delay and all that was missing, a hole counting
  300 ms at most; and the mean of its seconds. The first knows what many short holes do, the second how
  long nothing was heard. Missing is what was concealed, and the silence of a microphone that was away, as
  the far end marks it (`GAP_DEVICE`): a listener does not ask whose fault a hole is. What the far end
  mutes or leaves out because nobody speaks (`GAP_MUTED`, `GAP_SILENCE`) is not missing. PESQ knows nothing
  of delay, and of jitter it hears the stretching of time.
- The impairment of each bit rate was taken from `docs/bit-rate.md`, that of G.711 from a measurement like
  it.
- No MOS is shown where there was nothing to judge (seconds of silence, no microphone, no answer), nor
  of a call that returns one's own voice, or may, where the microphone is found to hear the speaker
  (it is not looked for with `--aec off`): the echo is heard, or a canceller takes one's own voice for
  it, and how much that costs is not known here (`cargo bench -p tests --bench first_call`: PESQ 1.9 and
  1.1).
";

fn main() {
    let Some(voice) = speech(TEXT) else { return };
    println!("{}", HEAD.join(" | "));
    let mut rows = Vec::new();
    let mut worst = 0.0_f64;
    for call in &CALLS {
        let Some((row, error)) = measure(call, &voice) else {
            return;
        };
        println!("{}", row.join(" | "));
        rows.push(row);
        worst = worst.max(error.abs());
    }
    println!("largest error: {worst:.2}");
    if env::args().any(|argument| argument == "--write") {
        write_docs(&rows, worst);
    }
}

fn measure(call: &Call, voice: &[f32]) -> Option<([String; 5], f64)> {
    let rate = if call.codec == "pcmu" { 8_000 } else { 48_000 };
    let format = Format::parse(call.codec, rate, 1).expect("a format that exists");
    let count = Format::OPUS_48K_MONO.samples_in(LENGTH);
    let said: Vec<f32> = voice.iter().copied().cycle().take(count).collect();
    let sent = if call.echo {
        through_server(&said, call.bitrate)
    } else {
        said.clone()
    };
    let sent = tests::signals::resample(&sent, 48_000, format.sample_rate_hz());
    let line = PlayoutLine {
        format,
        bitrate: call.bitrate,
        packet: Duration::from_millis(10),
        ..PlayoutLine::new(call.line)
    };
    let mut rest = sent.as_slice();
    let mut samples = Vec::with_capacity(count);
    let heard = line.run(
        LENGTH,
        |packet| {
            let (now, later) = rest.split_at(packet.len().min(rest.len()));
            packet[..now.len()].copy_from_slice(now);
            rest = later;
        },
        |period| samples.extend_from_slice(period),
    );
    let delay_ms = OTHER_DELAY_MS + heard.percentile(0.0, LENGTH.as_secs_f64(), 50.0);
    let codec = e_model::CodecImpairment::of(format, call.bitrate);
    let delay = Duration::from_secs_f64(delay_ms / 1e3);
    let mos = whole_call(codec, delay, &heard);
    let score = pesq(&said, &samples, 48_000)?;
    let row = [
        call.name.to_owned(),
        format!("{:.2}", 100.0 * heard.concealed_ratio()),
        format!("{mos:.2}"),
        format!("{score:.2}"),
        format!("{:+.2}", mos - score),
    ];
    Some((row, mos - score))
}

/// As `softphone` reckons it: by all holes, or by the mean of the seconds, whichever is worse.
fn whole_call(codec: e_model::CodecImpairment, delay: Duration, heard: &Heard) -> f64 {
    let stats = &heard.stats;
    let concealed = Duration::from_micros(stats.concealed_us);
    let played = concealed + Duration::from_micros(stats.played_us);
    let ratio = e_model::concealed_ratio(concealed, stats.concealment_events, played);
    let whole = e_model::rate(codec, delay, ratio).mos;
    // Seconds without a hole, and as many as there is concealment in which nothing is heard.
    let [best, lost] = [0.0, 1.0].map(|ratio| e_model::rate(codec, delay, ratio).mos);
    let seconds = best + heard.concealed_ratio() * (lost - best);
    whole.min(seconds)
}

/// Encoded, decoded and processed.
fn through_server(said: &[f32], bitrate: u32) -> Vec<f32> {
    const CHUNK: usize = 480;
    let format = Format::OPUS_48K_MONO;
    let mut encoder = Encoder::new(format, bitrate).expect("libopus works");
    let mut decoder = Decoder::new(format).expect("libopus works");
    let mut chain =
        Chain::new(&Effects::default(), 48_000, 1, CHUNK).expect("48 kHz needs nothing");
    let mut answer = Vec::with_capacity(said.len());
    let (mut payload, mut samples) = (Vec::new(), Vec::new());
    for chunk in said.chunks_exact(CHUNK) {
        payload.clear();
        samples.clear();
        encoder.encode(chunk, &mut payload).expect("a whole chunk");
        decoder
            .decode(&payload, &mut samples)
            .expect("our own packet");
        chain.process(&mut samples);
        answer.extend_from_slice(&samples);
    }
    answer
}

fn write_docs(rows: &[[String; 5]], worst: f64) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut page = INTRODUCTION.to_owned();
    page += &line(&HEAD.map(str::to_owned));
    page += "| --- | ---: | ---: | ---: | ---: |\n";
    for row in rows {
        page += &line(row);
    }
    page += &format!("\nThe largest error is {worst:.2}.\n");
    page += NOTES;
    let file = repository().join("docs/mos.md");
    fs::write(&file, page).expect("docs/ is there");
    println!("wrote {}", file.display());
}
