//! What the softphone says of its delay against what a recording of both ends says.

use std::time::Duration;

use serde_json::Value;
use tests::{
    Process, Server,
    analysis::{delays, percentile},
    bin,
    rig::{Rig, Unclean, clean_run},
    signals::{repeated, speech},
    stall_watch::judged_by,
};

const LIMIT: Duration = Duration::from_secs(30);
const SPEECH_SECONDS: f64 = 8.0;
const RECORD: Duration = Duration::from_secs(10);

/// What is said and what is measured may differ by so much.
const TOLERANCE_MS: f64 = 5.0;

/// The same on ALSA over PulseAudio, which tells its latency from what the server said some time
/// ago: mostly within 5 ms, up to 12 too much in one call of five, by its word for the microphone. So
/// the middle one of three calls is judged.
const ALSA_TOLERANCE_MS: f64 = 10.0;
const ALSA_CALLS: usize = 3;

/// A line moves no more than this on a machine that runs.
const STEADY_MS: f64 = 10.0;

/// A call, as it was measured and as the softphone tells it.
struct Measured {
    /// The median outside.
    measured_ms: f64,
    /// How far it moved outside, from the 20th to the 80th percentile.
    moved_ms: f64,
    /// The median second that was told.
    said_ms: f64,
    /// For how long this machine stood still meanwhile.
    stall: Duration,
    figures: Value,
}

fn measure(rig: &Rig, host: &str, feed: &[f32]) -> Result<Measured, Unclean> {
    let server = Server::start(&["--log", "error"]);
    let addr = server.addr().to_string();
    // Who hears only himself would be taken for his own echo.
    let args = [
        "--server",
        &addr,
        "--audio-host",
        host,
        "--aec",
        "off",
        "--json",
    ];
    let mut softphone = Process::start(bin("softphone"), &args, &rig.env());
    softphone.wait_for_stderr("connected", LIMIT);
    let recording = rig.play_and_record(feed, RECORD)?;
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON on stdout");
    let heard: Vec<f64> = delays(&recording.feed, &recording.speaker, recording.rate)
        .iter()
        .filter(|delay| delay.correlation > 0.5)
        .map(|delay| delay.delay_ms)
        .collect();
    let said_ms = figures["delay_ms"]["median"]["sum"].as_f64();
    Ok(Measured {
        measured_ms: percentile(&heard, 50.0),
        moved_ms: percentile(&heard, 80.0) - percentile(&heard, 20.0),
        stall: recording.stall,
        said_ms: said_ms.unwrap_or_else(|| panic!("no delay is told: {figures:#}")),
        figures,
    })
}

/// Of so many `calls` the one whose error is neither the largest nor the smallest.
fn said_is_measured(host: &str, tolerance_ms: f64, calls: usize) {
    let Some(words) = speech("The quick brown fox jumps over the lazy dog, again and again.")
    else {
        return;
    };
    let Some(rig) = Rig::start() else { return };
    let feed = repeated(&words, SPEECH_SECONDS);
    let error = |call: &Measured| call.said_ms - call.measured_ms;
    let call = |_| {
        let call = clean_run(|| measure(&rig, host, &feed));
        // On any machine.
        let median = call.figures["delay_ms"]["median"]
            .as_object()
            .expect("stages");
        let stages: f64 = median
            .iter()
            .filter(|(name, _)| *name != "sum")
            .map(|(_, ms)| ms.as_f64().expect("milliseconds"))
            .sum();
        assert!((stages - call.said_ms).abs() < 1e-6, "{median:?}");
        assert_eq!(median.len(), 11, "{median:?}");
        println!("{host}: said {:.1} ms too much", error(&call));
        call
    };
    let middle = || {
        let mut measured: Vec<Measured> = (0..calls).map(call).collect();
        measured.sort_by(|a, b| error(a).total_cmp(&error(b)));
        measured.swap_remove(calls / 2)
    };
    // A device's word for its latency is as late as the thread that asks for it.
    let is_true = |call: &Measured| call.moved_ms <= STEADY_MS && error(call).abs() <= tolerance_ms;
    let Some(call) = judged_by(middle, |call| call.stall, is_true) else {
        return;
    };
    let summary = format!(
        "{host}: measured {:.1} ms (moved by {:.1}), said {:.1}: {}",
        call.measured_ms, call.moved_ms, call.said_ms, call.figures["delay_ms"]
    );
    println!("{summary}");
    assert!(is_true(&call), "{summary}");
}

#[test]
fn native_pulse_says_the_delay_that_is_measured() {
    said_is_measured("pulseaudio", TOLERANCE_MS, 1);
}

#[test]
fn alsa_says_the_delay_that_is_measured() {
    said_is_measured("alsa", ALSA_TOLERANCE_MS, ALSA_CALLS);
}
