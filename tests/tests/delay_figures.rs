//! What the softphone says of its delay against what a recording of both ends says.

use std::time::Duration;

use serde_json::Value;
use tests::{
    Process, Server,
    analysis::{delays, percentile},
    bin,
    rig::{Rig, Unclean, clean_run},
    signals::{repeated, speech},
};

const LIMIT: Duration = Duration::from_secs(30);
const SPEECH_SECONDS: f64 = 8.0;
const RECORD: Duration = Duration::from_secs(10);

/// What is said and what is measured may differ by so much.
const TOLERANCE_MS: f64 = 5.0;

/// The same on ALSA over PulseAudio, which tells its latency from what the server said some time
/// ago: mostly within 5 ms, up to 7 too much at times.
const ALSA_TOLERANCE_MS: f64 = 10.0;

/// A run on which the delay moved by more than this says nothing: sums of different seconds would
/// be compared.
const STEADY_MS: f64 = 10.0;

/// What was measured outside, as a median, what the softphone said was the median second, and all
/// its figures.
fn measure(
    rig: &Rig,
    host: &str,
    tolerance_ms: f64,
    feed: &[f32],
) -> Result<(f64, f64, Value), Unclean> {
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
    let moved = percentile(&heard, 80.0) - percentile(&heard, 20.0);
    if moved > STEADY_MS {
        return Err(Unclean::because(&format!(
            "the delay moved by {moved:.0} ms on {host}"
        )));
    }
    let measured = percentile(&heard, 50.0);
    let said = figures["delay_ms"]["median"]["sum"].as_f64();
    let said = said.unwrap_or_else(|| panic!("no delay is told: {figures:#}"));
    // A device's word for its latency is as late as the thread that asks for it.
    if (said - measured).abs() > tolerance_ms && is_busy() {
        return Err(Unclean::because(&format!(
            "on a machine that is too busy {measured:.1} ms were told as {said:.1} on {host}"
        )));
    }
    Ok((measured, said, figures))
}

/// Whether more wants to run on this machine than two programs on each core.
fn is_busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    load > 2.0 * cores as f64
}

fn said_is_measured(host: &str, tolerance_ms: f64) {
    let Some(words) = speech("The quick brown fox jumps over the lazy dog, again and again.")
    else {
        return;
    };
    let Some(rig) = Rig::start() else { return };
    let feed = repeated(&words, SPEECH_SECONDS);
    let (measured, said, figures) = clean_run(|| measure(&rig, host, tolerance_ms, &feed));
    let median = figures["delay_ms"]["median"].as_object().expect("stages");
    println!("{host}: measured {measured:.1} ms, said {said:.1}: {median:?}");
    assert!(
        (said - measured).abs() <= tolerance_ms,
        "{host}: measured {measured:.1} ms, said {said:.1}: {figures:#}"
    );
    let stages: f64 = median
        .iter()
        .filter(|(name, _)| *name != "sum")
        .map(|(_, ms)| ms.as_f64().expect("milliseconds"))
        .sum();
    assert!((stages - said).abs() < 1e-6, "{median:?}");
    assert_eq!(median.len(), 11, "{median:?}");
}

#[test]
fn native_pulse_says_the_delay_that_is_measured() {
    said_is_measured("pulseaudio", TOLERANCE_MS);
}

#[test]
fn alsa_says_the_delay_that_is_measured() {
    said_is_measured("alsa", ALSA_TOLERANCE_MS);
}
