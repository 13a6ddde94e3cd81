//! What the receiving half makes of bad lines: delay, what was concealed, clicks on a tone, PESQ on
//! speech, CPU. One row a line, all on a virtual clock and seeded, so it says the same everywhere
//! (but for CPU, and the last digit of PESQ).
//!
//!     cargo bench -p tests --bench jitter_buffer              the table
//!     cargo bench -p tests --bench jitter_buffer -- --write   and docs/jitter-buffer.md with drawings
//!     cargo bench -p tests --bench jitter_buffer -- --hours 8 samples through hours of drift

use std::{env, fmt::Write as _, fs, path::Path, time::Duration};

use audio::{Format, Tone, ToneDetector};
use plotters::prelude::*;
use tests::{
    pesq,
    playout_line::{Heard, PlayoutLine},
    python::repository,
    signals::speech,
};

const TONE_HZ: f32 = 440.0;
const LENGTH_S: u64 = 40;
/// Until then the delay is not judged: the line is being learned.
const SETTLED_S: f64 = 5.0;

/// One line, and what else was measured on it (see the notes below the table).
struct Trace {
    name: &'static str,
    file: &'static str,
    impairment: &'static str,
    /// The sender drops what has waited longer.
    keeps: bool,
    /// When the last stall ends.
    stall_end_s: Option<f64>,
    baseline: &'static str,
}

const fn trace(name: &'static str, file: &'static str, impairment: &'static str) -> Trace {
    Trace {
        name,
        file,
        impairment,
        keeps: false,
        stall_end_s: None,
        baseline: "",
    }
}

const TRACES: [Trace; 15] = [
    Trace {
        baseline: "18 ms / 20 ms",
        ..trace("steady", "steady", "none")
    },
    trace("jitter σ 5 ms", "jitter-5", "jitter=5ms,seed=1"),
    Trace {
        baseline: "75–86 ms, 34 ticks, PESQ 2.74 / 101–104 ms, 0 ticks, PESQ 3.67",
        ..trace("jitter σ 15 ms", "jitter-15", "jitter=15ms,seed=1")
    },
    trace("jitter σ 40 ms", "jitter-40", "jitter=40ms,seed=1"),
    Trace {
        stall_end_s: Some(20.3),
        baseline: "300, 204, 140, 19 ms, PESQ 2.64 / 266, 46, 26, 26 ms, PESQ 2.95",
        ..trace("stall of 0.3 s", "stall-0.3", "stall=300ms@20s")
    },
    Trace {
        stall_end_s: Some(22.0),
        ..trace("stall of 2 s", "stall-2", "stall=2s@20s")
    },
    Trace {
        stall_end_s: Some(30.0),
        ..trace("stall of 10 s", "stall-10", "stall=10s@20s")
    },
    Trace {
        keeps: true,
        stall_end_s: Some(20.3),
        ..trace(
            "stall of 0.3 s, sender drops",
            "stall-0.3-dropped",
            "stall=300ms@20s",
        )
    },
    Trace {
        keeps: true,
        stall_end_s: Some(22.0),
        ..trace(
            "stall of 2 s, sender drops",
            "stall-2-dropped",
            "stall=2s@20s",
        )
    },
    Trace {
        keeps: true,
        stall_end_s: Some(30.0),
        ..trace(
            "stall of 10 s, sender drops",
            "stall-10-dropped",
            "stall=10s@20s",
        )
    },
    Trace {
        baseline: "PESQ 1.64 / PESQ 2.05",
        ..trace(
            "0.3 s stall every 5 s",
            "stall-every-5",
            "stall-every=300ms/5s",
        )
    },
    Trace {
        baseline: "13 ms / 2 ms at the end",
        ..trace("drift +200 ppm", "drift-plus", "ppm=200")
    },
    Trace {
        baseline: "21 ms / 23 ms at the end",
        ..trace("drift −200 ppm", "drift-minus", "ppm=-200")
    },
    Trace {
        keeps: true,
        stall_end_s: Some(22.0),
        ..trace(
            "all together, +200 ppm",
            "all-plus",
            "jitter=15ms,stall=300ms@10s,stall=2s@20s,ppm=200,seed=7",
        )
    },
    Trace {
        keeps: true,
        stall_end_s: Some(22.0),
        ..trace(
            "all together, −200 ppm",
            "all-minus",
            "jitter=15ms,stall=300ms@10s,stall=2s@20s,ppm=-200,seed=7",
        )
    },
];

const TEXT: &str = "Good morning, you are through to the service desk. My name is Alice, and I am \
    glad to help. The order that you placed on Friday has left our house and should be with you by \
    tomorrow noon. May I read the address back to you, so that nothing goes astray? It is number \
    seventeen, Harbour Street, third floor. If nobody is at home, the driver will leave it with your \
    neighbour, and send you a message. Was there anything else that you wanted to ask today?";

/// Beyond, a drawing would show nothing but the stall.
const MOST_DRAWN_MS: f64 = 400.0;

const INTRODUCTION: &str = "# The playout side on bad lines

What the jitter buffer, its concealment and the resampler behind it make of bad lines: 40 s each, on a
virtual clock, seeded. Written by

    cargo bench -p tests --bench jitter_buffer -- --write

";

const NOTES: &str = "
How to read it:

- *Delay* is how much older the sound is than it needs to be when the speaker takes it: beyond the
  packet's own 20 ms and beyond the mean delay of the line (three times σ; a line that does not jitter
  has none). The filter of the resampler is in it. Median and 95th percentile are of what is played
  after the first 5 s, stalls included: while nothing arrives, the delay of what should be playing
  grows by a second each second.
- *After* counts from the first arrival after the (last) stall. *Sender drops*: the sender hands
  nothing over while something has been under way for 150 ms, and drops what has waited longer.
- *Concealed* is what was played in place of sound that was late or lost, and *events* how often that
  began. The 0.3 s, 2 s and 10 s of a stall are in it: nobody can play what has not come.
- *Clicks* are steps in a tone that it does not have.
- *PESQ* (wide band, 1 to 4.64) is of the same line with speech, Opus at 96 kb/s, whose own score is
  the first row's: the nearest to that of the baselines' codec (3.95), which was not the low-delay form
  that a call here uses.
- The last column was measured before this was built, on like lines: delay (taken to be with the line's own) or
  delay 0.1, 0.5, 1.2, 2.7 s after the stall, 10 ms ticks concealed in 20 s, PESQ; first neteq 0.9.1,
  then a 60-line prototype (95th percentile, pitch-period cut and insert, libopus PLC).
- The packets are 20 ms, the speaker takes 10 ms at once. CPU is printed by the command and not kept
  here, as it is another on each machine.

## Delay over time

The most of each tenth of a second; drawn to 400 ms at most.
";

struct Row {
    cells: [String; 11],
    heard: Heard,
}

fn main() {
    if let Some(hours) = number("--hours") {
        return drift_for(hours);
    }
    let voice = speech(TEXT);
    println!("{} | CPU", HEAD.join(" | "));
    let rows: Vec<Row> = TRACES
        .iter()
        .map(|trace| {
            let row = measure(trace, voice.as_deref());
            let cpu = row.heard.cpu_us_per_10_ms;
            println!("{} | {cpu:.0} µs per 10 ms", row.cells.join(" | "));
            row
        })
        .collect();
    if env::args().any(|argument| argument == "--write") {
        write_docs(&rows);
    }
}

const HEAD: [&str; 11] = [
    "line",
    "delay median, ms",
    "p95, ms",
    "0.1, 0.5, 1.0, 2.7 s after, ms",
    "at the end, ms",
    "concealed, %",
    "events ≤ 60 ms",
    "events > 60 ms",
    "clicks",
    "PESQ",
    "neteq 0.9.1 / a 60-line prototype",
];

fn line(trace: &Trace) -> PlayoutLine {
    PlayoutLine {
        keeps: trace.keeps.then_some(Duration::from_millis(150)),
        bitrate: 96_000,
        ..PlayoutLine::new(trace.impairment)
    }
}

fn measure(trace: &Trace, voice: Option<&[f32]>) -> Row {
    let length = Duration::from_secs(LENGTH_S);
    let (heard, clicks) = hear_tone(&line(trace), length);
    let score = voice.and_then(|voice| {
        let (heard, sent, _) = hear_voice(&line(trace), voice, length);
        pesq(&sent, &heard, 48_000)
    });
    let end = LENGTH_S as f64;
    let after = trace.stall_end_s.map(|stall_end| {
        let delays = [0.1, 0.5, 1.0, 2.7].map(|after| heard.delay_at(stall_end + after));
        delays.map(|delay| format!("{delay:.0}")).join(", ")
    });
    let stats = heard.stats;
    Row {
        cells: [
            trace.name.to_owned(),
            format!("{:.1}", heard.percentile(SETTLED_S, end, 50.0)),
            format!("{:.1}", heard.percentile(SETTLED_S, end, 95.0)),
            after.unwrap_or_default(),
            format!("{:.1}", heard.mean_delay(end - 1.0, end)),
            format!("{:.2}", 100.0 * heard.concealed_ratio()),
            stats.short_concealments.to_string(),
            stats.long_concealments.to_string(),
            clicks.to_string(),
            score.map(|score| format!("{score:.2}")).unwrap_or_default(),
            trace.baseline.to_owned(),
        ],
        heard,
    }
}

/// What is heard, what was sent, and the figures.
fn hear_voice(line: &PlayoutLine, voice: &[f32], length: Duration) -> (Vec<f32>, Vec<f32>, Heard) {
    let count = line.format.samples_in(length);
    let sent: Vec<f32> = voice.iter().copied().cycle().take(count).collect();
    let mut rest = sent.as_slice();
    let mut samples = Vec::with_capacity(count);
    let heard = line.run(
        length,
        |packet| {
            let (now, later) = rest.split_at(packet.len().min(rest.len()));
            packet[..now.len()].copy_from_slice(now);
            rest = later;
        },
        |period| samples.extend_from_slice(period),
    );
    (samples, sent, heard)
}

fn hear_tone(line: &PlayoutLine, length: Duration) -> (Heard, u32) {
    let mut tone = Tone::new(TONE_HZ, -12.0, line.format.sample_rate_hz());
    let mut ear = ToneDetector::new(TONE_HZ, line.speaker_hz);
    let heard = line.run(
        length,
        |samples| tone.fill(samples),
        |samples| ear.push(samples),
    );
    (heard, ear.report().clicks)
}

fn write_docs(rows: &[Row]) {
    let docs = repository().join("docs");
    let drawings = docs.join("jitter-buffer");
    fs::create_dir_all(&drawings).expect("the directory of the drawings can be made");
    let mut text = String::from(INTRODUCTION);
    let rule: Vec<&str> = HEAD.iter().map(|_| "---").collect();
    for cells in [HEAD.join(" | "), rule.join(" | ")]
        .into_iter()
        .chain(rows.iter().map(|row| row.cells.join(" | ")))
    {
        let _ = writeln!(text, "| {cells} |");
    }
    text.push_str(NOTES);
    for (trace, row) in TRACES.iter().zip(rows) {
        draw(&row.heard, &drawings.join(format!("{}.svg", trace.file)));
        let (name, file, words) = (trace.name, trace.file, trace.impairment);
        let _ = write!(
            text,
            "\n### {name}\n\n`{words}`\n\n![delay over time: {name}](jitter-buffer/{file}.svg)\n"
        );
    }
    let file = docs.join("jitter-buffer.md");
    fs::write(&file, text).expect("the page can be written");
    println!("wrote {} and {}", file.display(), drawings.display());
}

/// The delay over time: of each tenth of a second, the most.
fn draw(heard: &Heard, file: &Path) {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for moment in &heard.course {
        let at_s = (moment.at_s * 10.0).floor() / 10.0;
        let delay_ms = moment.delay_ms.min(MOST_DRAWN_MS);
        match points.last_mut() {
            Some((last, most)) if *last == at_s => *most = most.max(delay_ms),
            _ => points.push((at_s, delay_ms)),
        }
    }
    let highest = points
        .iter()
        .fold(40.0_f64, |most, point| most.max(point.1));
    let area = SVGBackend::new(file, (720, 200)).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..LENGTH_S as f64, 0.0..highest * 1.1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("s")
            .y_desc("delay, ms")
            .y_labels(5)
            .draw()?;
        let line = ShapeStyle::from(&RGBColor(20, 90, 160)).stroke_width(2);
        chart.draw_series(LineSeries::new(points, line))?;
        area.present()?;
        Ok(())
    };
    drawn().unwrap_or_else(|error| panic!("cannot draw {}: {error}", file.display()));
}

/// With samples, through hours: to see that nothing creeps.
fn drift_for(hours: u64) {
    let seconds = hours * 3_600;
    for ppm in [-200.0, 200.0] {
        let line = PlayoutLine {
            format: Format::parse("pcm", 16_000, 1).expect("a format that exists"),
            speaker_hz: 16_000,
            ..PlayoutLine::new(&format!("ppm={ppm}"))
        };
        let (heard, clicks) = hear_tone(&line, Duration::from_secs(seconds));
        let end = seconds as f64;
        let (early, late) = (
            heard.mean_delay(60.0, 120.0),
            heard.mean_delay(end - 60.0, end),
        );
        let (least, most) = (
            heard.percentile(SETTLED_S, end, 0.0),
            heard.percentile(SETTLED_S, end, 100.0),
        );
        println!(
            "{ppm:+} ppm for {hours} h: delay {early:.2} ms in the second minute, {late:.2} ms in \
             the last, always within {least:.2}–{most:.2}; learned {:.2} ppm; cut {} ms, inserted \
             {} ms, concealed {} ms, {clicks} clicks",
            heard.drift_ppm,
            heard.stats.cut_us / 1_000,
            heard.stats.inserted_us / 1_000,
            heard.stats.concealed_us / 1_000,
        );
    }
}

fn number(name: &str) -> Option<u64> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} takes a whole number, not {value:?}"))
    })
}
