//! Mouth to ear on virtual devices: what goes into the microphone against what comes out of the
//! speaker, on one clock, through real programs and a real audio server.
//!
//!     cargo bench -p tests --bench mouth_to_ear [-- FILTER] [--minutes N]
//!
//! FILTER keeps the rows that contain it, for example `alsa` or `10 ms`. With `--minutes`, a row is
//! so long, and how far its delay spread is printed below it.

use std::{env, time::Duration};

use serde_json::Value;
use tests::{
    Process, Server,
    analysis::{delays, longest_gap_ms, percentile},
    bin,
    cpu::process_seconds,
    rig::{self, Rig, Unclean, clean_run},
    signals::{repeated, speech},
};

/// How much speech each row is measured on.
const SPEECH: Duration = Duration::from_secs(12);
/// Recorded longer than spoken.
const RECORD_AFTER: Duration = Duration::from_secs(2);
/// How much of the beginning is not counted in the spread.
const SETTLING_MS: f64 = 10_000.0;

/// What the softphone may take to open its devices and to hang up.
const LIMIT: Duration = Duration::from_secs(30);

struct Row {
    host: &'static str,
    frame_ms: u32,
    effects: &'static str,
    aec: &'static str,
}

struct Measured {
    median_ms: f64,
    /// 5th and 95th percentile once settled; NaN where all was over before.
    spread_ms: [f64; 2],
    p95_ms: f64,
    first_ms: f64,
    last_ms: f64,
    gap_ms: f64,
    figures: Value,
    cpu_percent: f64,
}

fn main() {
    let mut args = env::args().skip(1);
    let (mut filter, mut length) = (None, SPEECH);
    while let Some(arg) = args.next() {
        if arg == "--minutes" {
            let minutes: Option<u64> = args.next().and_then(|value| value.parse().ok());
            let minutes = minutes.expect("--minutes takes a whole number, like --minutes 10");
            length = Duration::from_secs(60 * minutes);
        } else if !arg.starts_with("--") {
            filter = Some(arg);
        }
    }
    let Some(words) = speech("The quick brown fox jumps over the lazy dog, again and again.")
    else {
        return;
    };
    let feed = repeated(&words, length.as_secs_f64());
    println!(
        "Mouth to ear in ms, measured; and stage by stage as the softphone reckons its median second."
    );
    println!(
        "{:<44} {:>7} {:>6} {:>6} {:>6} {:>5} | {:>6} {:>7} {:>7} {:>6} {:>6} {:>6} {:>7} | {:>9} {:>6} {:>6}",
        "host, chunk, effects",
        "median",
        "p95",
        "first",
        "last",
        "gap",
        "sum",
        "capture",
        "process",
        "codec",
        "line",
        "buffer",
        "speaker",
        "concealed",
        "CPU %",
        "faults"
    );
    for host in ["pulseaudio", "alsa"] {
        for effects in ["highpass,denoise,agc,limiter", "none"] {
            for (frame_ms, aec) in [(5, "off"), (10, "off"), (20, "off"), (5, "on"), (10, "on")] {
                let row = Row {
                    host,
                    frame_ms,
                    effects,
                    aec,
                };
                let name = row.name();
                if filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
                    continue;
                }
                let measured = clean_run(|| measure(&row, &feed));
                print_row(&name, &measured);
                if length > SPEECH {
                    let [low, high] = measured.spread_ms;
                    let spread = high - low;
                    println!("    p5 {low:.1}, p95 {high:.1}: spread {spread:.1} ms");
                }
            }
        }
    }
}

impl Row {
    fn name(&self) -> String {
        let chain = if self.effects == "none" {
            "none"
        } else {
            "default chain"
        };
        let canceller = if self.aec == "on" { ", canceller" } else { "" };
        format!("{}, {} ms, {chain}{canceller}", self.host, self.frame_ms)
    }
}

fn measure(row: &Row, feed: &[f32]) -> Result<Measured, Unclean> {
    let Some(rig) = Rig::start() else {
        panic!(
            "mouth to ear cannot be measured without PulseAudio: script/setup --tests installs it"
        );
    };
    let server = Server::start(&["--effects", row.effects, "--log", "error"]);
    let frame_ms = row.frame_ms.to_string();
    let addr = server.addr().to_string();
    let args = [
        "--server",
        &addr,
        "--audio-host",
        row.host,
        "--frame-ms",
        &frame_ms,
        // Off: nothing at all is on at the near end, so nothing is framed or delayed there.
        "--aec",
        row.aec,
        "--json",
    ];
    let mut softphone = Process::start(bin("softphone"), &args, &rig.env());
    softphone.wait_for_stderr("connected", LIMIT);
    let before = process_seconds(softphone.id());
    let spoken = Duration::from_secs_f64(feed.len() as f64 / f64::from(rig::RATE));
    let length = spoken + RECORD_AFTER;
    let recording = rig.play_and_record(feed, length)?;
    let cpu_percent = (process_seconds(softphone.id()) - before) / length.as_secs_f64() * 100.0;
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    let figures = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);

    let found = delays(&recording.feed, &recording.speaker, recording.rate);
    let heard_after = |ms: f64| -> Vec<f64> {
        let heard = found
            .iter()
            .filter(|delay| delay.correlation > 0.5 && delay.at_ms >= ms);
        heard.map(|delay| delay.delay_ms).collect()
    };
    let heard = heard_after(0.0);
    let settled = heard_after(SETTLING_MS);
    let median_ms = percentile(&heard, 50.0);
    Ok(Measured {
        median_ms,
        spread_ms: [5.0, 95.0].map(|percent| percentile(&settled, percent)),
        p95_ms: percentile(&heard, 95.0),
        first_ms: heard.first().copied().unwrap_or(f64::NAN),
        last_ms: heard.last().copied().unwrap_or(f64::NAN),
        gap_ms: longest_gap_ms(
            &recording.feed,
            &recording.speaker,
            recording.rate,
            median_ms,
        ),
        figures,
        cpu_percent,
    })
}

fn print_row(name: &str, measured: &Measured) {
    let stages = |keys: &[&str]| -> f64 {
        let median = &measured.figures["delay_ms"]["median"];
        keys.iter()
            .map(|key| median[key].as_f64().unwrap_or(f64::NAN))
            .sum()
    };
    println!(
        "{name:<44} {:>7.1} {:>6.1} {:>6.1} {:>6.1} {:>5.0} | {:>6.1} {:>7.1} {:>7.1} {:>6.1} {:>6.1} {:>6.1} {:>7.1} | {:>7.2} % {:>6.1} {:>6}",
        measured.median_ms,
        measured.p95_ms,
        measured.first_ms,
        measured.last_ms,
        measured.gap_ms,
        stages(&["sum"]),
        stages(&["capture_device", "framing"]),
        stages(&["processing"]),
        stages(&["codec"]),
        stages(&["uplink", "server", "downlink"]),
        stages(&["jitter_buffer"]),
        stages(&["resampler", "playback_device"]),
        measured.figures["concealed_ratio"]
            .as_f64()
            .unwrap_or(f64::NAN)
            * 100.0,
        measured.cpu_percent,
        ["microphone", "speaker"]
            .map(|device| measured.figures[device]["ring_faults"]
                .as_u64()
                .unwrap_or(0))
            .iter()
            .sum::<u64>(),
    );
}
