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

struct Row {
    cells: [String; 11],
    heard: Heard,
}

fn main() {
    if let Some(hours) = number("--hours") {
        return drift_for(hours);
    }
    if let Some(words) = env::args().skip_while(|a| a != "--debug").nth(1) {
        return debug(&words);
    }
    let voice = speech(TEXT);
    let rows: Vec<Row> = TRACES
        .iter()
        .map(|trace| {
            let row = measure(trace, voice.as_deref());
            println!("{}", row.cells.join(" | "));
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
    "0.1, 0.5, 1.2, 2.7 s after, ms",
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
        let delays = [0.1, 0.5, 1.2, 2.7].map(|after| heard.delay_at(stall_end + after));
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

fn write_docs(_rows: &[Row]) {}

fn drift_for(_hours: u64) {}

fn number(name: &str) -> Option<u64> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} takes a whole number, not {value:?}"))
    })
}

fn debug(_words: &str) {
    let voice = speech(TEXT).unwrap();
    for words in [
        "jitter=5ms,seed=1",
        "jitter=15ms,seed=1",
        "jitter=15ms,seed=2",
        "jitter=15ms,seed=3",
        "jitter=40ms,seed=1",
        "jitter=40ms,seed=2",
        "stall=300ms@20s",
        "stall-every=300ms/5s",
        "jitter=15ms,stall=300ms@10s,stall=2s@20s,ppm=200,seed=7",
    ] {
        let l = PlayoutLine {
            bitrate: 96_000,
            ..PlayoutLine::new(words)
        };
        let (heard, sent, h) = hear_voice(&l, &voice, Duration::from_secs(LENGTH_S));
        let s = h.stats;
        println!(
            "{words:30} {:.2} delay {:.1} after 20.4/.8/21.5 {:.0} {:.0} {:.0} conc {} in {}+{} cut {} ins {}",
            pesq(&sent, &heard, 48_000).unwrap(),
            h.mean_delay(5.0, 40.0),
            h.delay_at(20.4),
            h.delay_at(20.8),
            h.delay_at(21.5),
            s.concealed_us / 1000,
            s.short_concealments,
            s.long_concealments,
            s.cut_us / 1000,
            s.inserted_us / 1000
        );
    }
}
